package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// A Query says what somebody wants to read.
type Query struct {
	Scopes []Scope       // of which units and sources; nil means all, and none of them means nothing
	Kinds  []report.Kind // nil means all
	Errors bool          // only those
	From   time.Time     // zero means ever
	To     time.Time     // zero means now; what happened then is left out

	Before Mark // older than that
	After  Mark // or newer: the next ones
	Limit  int  // 0 means 100
}

// A Scope is all units or sources of a kind, those of a namespace, or one.
type Scope struct {
	Kind            object.Kind
	Namespace, Name string // "" means all
}

// A Mark is a place in a journal: at an entry. The zero Mark is none.
type Mark struct{ at, id int64 }

// Mark returns where x is.
func (x Entry) Mark() Mark { return Mark{micros(x.At), x.ID} }

// String returns a mark as [ParseMark] reads it; "" if it is none.
func (m Mark) String() string {
	if m == (Mark{}) {
		return ""
	}
	return strconv.FormatInt(m.at, 36) + "-" + strconv.FormatInt(m.id, 36)
}

// ParseMark reads a mark. What is none is the zero Mark.
func ParseMark(s string) Mark {
	at, id, _ := strings.Cut(s, "-")
	var m Mark
	var err1, err2 error
	m.at, err1 = strconv.ParseInt(at, 36, 64)
	m.id, err2 = strconv.ParseInt(id, 36, 64)
	if err1 != nil || err2 != nil {
		return Mark{}
	}
	return m
}

// A Page is a part of a journal, the newest first.
type Page struct {
	Entries []Entry
	Older   bool // there are
	Newer   bool // there are
}

// Read returns what a query asks for.
func (j *Journal) Read(ctx context.Context, q Query) (Page, error) {
	p, err := j.now().read(ctx, q)
	if damaged(err) {
		select {
		case j.broken <- struct{}{}:
		default:
		}
	}
	if err != nil {
		return p, fmt.Errorf("read the journal: %w", err)
	}
	return p, nil
}

func (s *store) read(ctx context.Context, q Query) (Page, error) {
	q.Limit = cmp.Or(q.Limit, 100)
	var all []Entry
	for _, sub := range q.parts() {
		text, args := sub.sql()
		rows, err := s.reader.QueryContext(ctx, text, args...)
		if err != nil {
			return Page{}, err
		}
		for rows.Next() {
			x, err := scan(rows)
			if err != nil {
				rows.Close()
				return Page{}, err
			}
			all = append(all, x)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return Page{}, err
		}
	}
	return q.page(all), nil
}

// page returns what is asked for of the first of each part.
func (q Query) page(all []Entry) Page {
	up := q.After != (Mark{})
	slices.SortFunc(all, func(a, b Entry) int {
		c := cmp.Or(cmp.Compare(micros(b.At), micros(a.At)), cmp.Compare(b.ID, a.ID))
		if up {
			return -c
		}
		return c
	})
	more := len(all) > q.Limit
	p := Page{Entries: all[:min(len(all), q.Limit)], Older: more, Newer: q.Before != (Mark{})}
	if up {
		slices.Reverse(p.Entries)
		p.Older, p.Newer = true, more
	}
	return p
}

// A part is what one index answers.
type part struct {
	Query
	scope *Scope
	kind  report.Kind // "" means all
}

// parts splits a query up so that each part is read along an index, in order,
// and no further than its limit.
func (q Query) parts() []part {
	if q.Scopes == nil {
		if len(q.Kinds) == 0 {
			return []part{{Query: q}}
		}
		var all []part
		for _, k := range q.Kinds {
			all = append(all, part{Query: q, kind: k})
		}
		return all
	}
	var all []part
	for _, sc := range q.Scopes {
		all = append(all, part{Query: q, scope: &sc})
	}
	return all
}

// sql returns a statement, which names its index: the planner knows nothing of
// what there is.
func (p part) sql() (string, []any) {
	index := "by_time"
	var where []string
	var args []any
	add := func(cond string, arg ...any) {
		where, args = append(where, cond), append(args, arg...)
	}
	switch {
	case p.scope == nil && p.kind != "":
		index = "by_what"
		add("what = ?", string(p.kind))
	case p.scope == nil && p.Errors:
		index = "by_error"
	case p.scope != nil:
		index = "by_subject"
		add("subject = ?", p.scope.Kind.String())
		if p.scope.Namespace != "" {
			index = "by_namespace"
			add("namespace = ?", p.scope.Namespace)
			if p.scope.Name != "" {
				index = "by_name"
				add("name = ?", p.scope.Name)
			}
		}
		if len(p.Kinds) > 0 {
			marks := strings.TrimSuffix(strings.Repeat("?,", len(p.Kinds)), ",")
			var kinds []any
			for _, k := range p.Kinds {
				kinds = append(kinds, string(k))
			}
			add("what IN ("+marks+")", kinds...)
		}
	}
	if p.Errors {
		add("severity = 'error'")
	}
	if !p.From.IsZero() {
		add("at >= ?", micros(p.From))
	}
	if !p.To.IsZero() {
		add("at < ?", micros(p.To))
	}
	order := "DESC"
	switch none := (Mark{}); {
	case p.After != none:
		order = "ASC"
		add("(at, id) > (?, ?)", p.After.at, p.After.id)
	case p.Before != none:
		add("(at, id) < (?, ?)", p.Before.at, p.Before.id)
	}
	cond := "1"
	if len(where) > 0 {
		cond = strings.Join(where, " AND ")
	}
	return fmt.Sprintf("SELECT %s FROM happening INDEXED BY %s WHERE %s ORDER BY at %s, id %s LIMIT %d", columns, index, cond, order, order, p.Limit+1), args
}
