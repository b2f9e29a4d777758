package journal

import (
	"cmp"
	"context"
	"encoding/json"
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
	Within []Scope       // and of which of these; nil means all
	Kinds  []report.Kind // nil means all
	Words  []string      // that are all in what is told, in any case
	From   time.Time     // zero means ever
	To     time.Time     // zero means now; what happened then is left out

	Before Mark // older than that
	After  Mark // or newer: the next ones
	Limit  int  // 0 means 100
	Reach  int  // how many entries are looked at; 0 means 20,000
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

// Time returns when m is.
func (m Mark) Time() time.Time { return timeOf(m.at) }

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
	Older   bool // there are, or there may be
	Newer   bool // there are, or there may be
	Reached Mark // how far was looked, if that was not to the end and there are fewer entries than asked for
}

// Read returns what a query asks for.
func (j *Journal) Read(ctx context.Context, q Query) (Page, error) {
	s := j.now()
	p, err := s.read(ctx, q)
	j.check(s, err)
	if err != nil {
		return p, fmt.Errorf("read the journal: %w", err)
	}
	return p, nil
}

// Namespaces returns those of which there is anything to be read.
func (j *Journal) Namespaces(ctx context.Context, k object.Kind) ([]string, error) {
	s := j.now()
	all, err := s.namespaces(ctx, k)
	j.check(s, err)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return all, nil
}

// check has a store replaced that a reader has found damaged.
func (j *Journal) check(s *store, err error) {
	if !damaged(err) {
		return
	}
	select {
	case j.broken <- s:
	default:
	}
}

// namespaces goes from one to the next along an index.
func (s *store) namespaces(ctx context.Context, k object.Kind) ([]string, error) {
	rows, err := s.reader.QueryContext(ctx, `WITH RECURSIVE each (n) AS (
		SELECT min(namespace) FROM happening INDEXED BY by_namespace WHERE subject = ?1
		UNION ALL
		SELECT (SELECT min(namespace) FROM happening INDEXED BY by_namespace WHERE subject = ?1 AND namespace > n) FROM each WHERE n IS NOT NULL
	) SELECT n FROM each WHERE n IS NOT NULL`, k.String())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

func (s *store) read(ctx context.Context, q Query) (Page, error) {
	q.Limit, q.Reach = cmp.Or(q.Limit, 100), cmp.Or(q.Reach, 20_000)
	var all []Entry
	var reached []Mark
	parts := q.parts()
	for _, p := range parts {
		p.reach = max(q.Reach/len(parts), q.Limit+1)
		found, err := s.find(ctx, p)
		if err != nil {
			return Page{}, err
		}
		all = append(all, found...)
		if len(found) > q.Limit || p.sure() {
			continue
		}
		m, err := s.reached(ctx, p)
		if err != nil {
			return Page{}, err
		}
		if m != (Mark{}) {
			reached = append(reached, m)
		}
	}
	return q.page(all, reached), nil
}

// find returns the first entries of a part, and one more than asked for if there
// is one within reach.
func (s *store) find(ctx context.Context, p part) ([]Entry, error) {
	text, args := p.sql()
	rows, err := s.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Entry
	for rows.Next() {
		x, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, rows.Err()
}

// reached returns where the reach of a part ends; none if all of it was seen.
func (s *store) reached(ctx context.Context, p part) (m Mark, err error) {
	text, args := p.end()
	rows, err := s.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return m, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&m.at, &m.id); err != nil {
			return m, err
		}
	}
	return m, rows.Err()
}

func (q Query) up() bool { return q.After != (Mark{}) }

// compare orders marks as a query wants to read them.
func (q Query) compare(a, b Mark) int {
	c := cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.id, a.id))
	if q.up() {
		return -c
	}
	return c
}

// page returns what is asked for of the first of each part, and nothing beyond
// where one of them was not looked at any more.
func (q Query) page(all []Entry, reached []Mark) Page {
	slices.SortFunc(all, func(a, b Entry) int { return q.compare(a.Mark(), b.Mark()) })
	var p Page
	if len(reached) > 0 {
		p.Reached = slices.MinFunc(reached, q.compare)
		n := slices.IndexFunc(all, func(x Entry) bool { return q.compare(x.Mark(), p.Reached) > 0 })
		if n >= 0 {
			all = all[:n]
		}
	}
	more := len(all) > q.Limit
	if more {
		all, p.Reached = all[:q.Limit], Mark{}
	}
	more = more || p.Reached != (Mark{})
	p.Entries, p.Older, p.Newer = all, more, q.Before != (Mark{})
	if q.up() {
		slices.Reverse(p.Entries)
		p.Older, p.Newer = true, more
	}
	return p
}

// A part is what is read along one index, in its order.
type part struct {
	Query
	index string
	along conditions // that the index answers
	sieve conditions // the others
	reach int
}

// Conditions are those of a statement, with what their question marks stand for.
type conditions struct {
	all  []string
	args []any
}

func (c *conditions) add(cond string, args ...any) {
	c.all, c.args = append(c.all, cond), append(c.args, args...)
}

func (c conditions) String() string {
	if len(c.all) == 0 {
		return "1"
	}
	return strings.Join(c.all, " AND ")
}

// sure reports whether all that a part finds along its index is asked for.
func (p part) sure() bool { return len(p.sieve.all) == 0 }

// maxParts is how many scopes are each read along an index of its own.
const maxParts = 16

// parts splits a query up so that each part is read along an index, in order.
// What no index answers is left to a sieve.
func (q Query) parts() []part {
	var sieve conditions
	if q.Within != nil {
		sieve.among(q.Within)
	}
	for _, w := range q.Words {
		sieve.add(text+" LIKE ? ESCAPE '\\'", "%"+escaper.Replace(w)+"%")
	}
	var all []part
	add := func(index string, also ...func(*part)) {
		p := part{Query: q, index: index, sieve: conditions{slices.Clone(sieve.all), slices.Clone(sieve.args)}}
		for _, f := range also {
			f(&p)
		}
		all = append(all, p)
	}
	kinds := func(p *part) {
		if len(q.Kinds) > 0 {
			p.sieve.add("what IN (SELECT value FROM json_each(?))", packedList(q.Kinds))
		}
	}
	narrow := q.Scopes != nil && len(q.Scopes) <= maxParts && !slices.ContainsFunc(q.Scopes, func(sc Scope) bool { return sc.Namespace == "" })
	switch {
	case q.Scopes == nil && len(q.Kinds) > 0:
		for _, k := range q.Kinds {
			add("by_what", func(p *part) { p.along.add("what = ?", string(k)) })
		}
	case q.Scopes == nil:
		add("by_time")
	case narrow:
		for _, sc := range q.Scopes {
			if sc.Name == "" {
				add("by_namespace", kinds, func(p *part) { p.along.add("subject = ? AND namespace = ?", sc.Kind.String(), sc.Namespace) })
				continue
			}
			add("by_name", kinds, func(p *part) {
				p.along.add("subject = ? AND namespace = ? AND name = ?", sc.Kind.String(), sc.Namespace, sc.Name)
			})
		}
	default:
		add("by_time", kinds, func(p *part) { p.sieve.among(q.Scopes) })
	}
	return all
}

// text is all that an entry tells, to be searched for words.
const text = "(subject || ' ' || namespace || '/' || name || ' ' || what || ' ' || reason || ' ' || message || ' ' || revision || ' ' || who || ' ' || changes)"

var escaper = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)

// among has what is about one of some scopes.
func (c *conditions) among(scopes []Scope) {
	var kinds, namespaces, names []string
	for _, sc := range scopes {
		switch subject := sc.Kind.String(); {
		case sc.Namespace == "":
			kinds = append(kinds, subject)
		case sc.Name == "":
			namespaces = append(namespaces, subject+"/"+sc.Namespace)
		default:
			names = append(names, subject+"/"+sc.Namespace+"/"+sc.Name)
		}
	}
	c.add("(subject IN (SELECT value FROM json_each(?)) OR subject || '/' || namespace IN (SELECT value FROM json_each(?)) OR"+
		" subject || '/' || namespace || '/' || name IN (SELECT value FROM json_each(?)))", packedList(kinds), packedList(namespaces), packedList(names))
}

// packedList returns a list as SQLite reads it.
func packedList[T ~string](all []T) string {
	data, err := json.Marshal(append([]T{}, all...))
	if err != nil {
		panic(err) // strings can always be marshalled
	}
	return string(data)
}

// span returns where along its index a part is read, and in which order.
func (p part) span() (conditions, string) {
	where := conditions{slices.Clone(p.along.all), slices.Clone(p.along.args)}
	if !p.From.IsZero() {
		where.add("at >= ?", micros(p.From))
	}
	if !p.To.IsZero() {
		where.add("at < ?", micros(p.To))
	}
	switch {
	case p.up():
		where.add("(at, id) > (?, ?)", p.After.at, p.After.id)
	case p.Before != (Mark{}):
		where.add("(at, id) < (?, ?)", p.Before.at, p.Before.id)
	}
	if p.up() {
		return where, "ORDER BY at ASC, id ASC"
	}
	return where, "ORDER BY at DESC, id DESC"
}

// sql returns a statement that names its index: the planner knows nothing of what
// there is.
func (p part) sql() (string, []any) {
	where, order := p.span()
	all := fmt.Sprintf("SELECT %s FROM happening INDEXED BY %s WHERE %s %s LIMIT ", columns, p.index, where, order)
	if p.sure() {
		return all + strconv.Itoa(p.Limit+1), where.args
	}
	return fmt.Sprintf("SELECT %s FROM (%s%d) WHERE %s LIMIT %d", columns, all, p.reach, p.sieve, p.Limit+1), append(where.args, p.sieve.args...)
}

// end returns a statement that finds the last entry within reach.
func (p part) end() (string, []any) {
	where, order := p.span()
	return fmt.Sprintf("SELECT at, id FROM happening INDEXED BY %s WHERE %s %s LIMIT 1 OFFSET %d", p.index, where, order, p.reach-1), where.args
}
