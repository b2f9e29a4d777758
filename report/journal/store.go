package journal

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"modernc.org/sqlite"

	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// What tells our files from others', and this form of them from earlier ones.
const (
	application = 0x53414e45 // "SANE"
	version     = 1
)

const schema = `
CREATE TABLE happening (
	id       INTEGER PRIMARY KEY,
	at       INTEGER NOT NULL, -- microseconds since 1970
	last     INTEGER NOT NULL,
	times    INTEGER NOT NULL,
	subject  TEXT NOT NULL,    -- the kind of the unit or source
	namespace TEXT NOT NULL,
	name     TEXT NOT NULL,
	what     TEXT NOT NULL,
	severity TEXT NOT NULL,
	reason   TEXT NOT NULL,
	message  TEXT NOT NULL,
	revision TEXT NOT NULL,
	who      TEXT NOT NULL,
	until    INTEGER NOT NULL, -- 0 if nobody said
	cluster  TEXT NOT NULL,
	changes  TEXT NOT NULL,    -- JSON, or ''
	more     INTEGER NOT NULL,
	key      TEXT              -- of what was recalled
);
CREATE UNIQUE INDEX by_key ON happening (key) WHERE key IS NOT NULL;
CREATE INDEX by_time ON happening (at);
CREATE INDEX by_namespace ON happening (subject, namespace, at);
CREATE INDEX by_name ON happening (subject, namespace, name, at);
CREATE INDEX by_what ON happening (what, at);
CREATE INDEX by_error ON happening (at) WHERE severity = 'error';
CREATE INDEX by_pause ON happening (subject, namespace, name, at) WHERE what IN ('suspended', 'resumed');
`

const columns = "id, at, last, times, subject, namespace, name, what, severity, reason, message, revision, who, until, cluster, changes, more"

// A store is an open file.
type store struct {
	writer *sql.DB // of one connection
	reader *sql.DB // the same one in memory
	most   int64   // bytes that it may have, about
}

// mostMemory is how many bytes a journal in memory has at most.
const mostMemory = 32 << 20

var errForeign = errors.New("it is none of ours, or of another version")

// openStore opens the file, or begins a new one if that can't be. Nobody is to
// do without a controller because it can't remember what it did: if there can be
// no file either, what happens is kept in memory.
func openStore(c Config) (*store, error) {
	s, err := open(c.Path)
	if damaged(err) || errors.Is(err, errForeign) {
		setAside(c, err.Error())
		s, err = open(c.Path)
	}
	if err != nil && c.Path != "" {
		c.Log.Error("journal: what happens is kept in memory", "error", err)
		c.Path = ""
		s, err = open("")
	}
	if err != nil {
		return nil, err
	}
	if s.most = c.Size; c.Path == "" {
		s.most = min(c.Size, mostMemory)
	}
	return s, nil
}

func open(path string) (_ *store, err error) {
	at := ":memory:"
	if path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		f.Close()
		at = "file:" + (&url.URL{Path: path}).EscapedPath()
	}
	s := new(store)
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal: open %s: %w", path, err)
			_ = s.close()
		}
	}()
	if s.writer, err = sql.Open("sqlite", at); err != nil {
		return nil, err
	}
	s.writer.SetMaxOpenConns(1)
	s.reader = s.writer
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if path == "" {
		return s, nil
	}
	if s.reader, err = sql.Open("sqlite", at+"?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"); err != nil {
		s.reader = s.writer
		return nil, err
	}
	s.reader.SetMaxOpenConns(4)
	s.reader.SetConnMaxIdleTime(time.Minute)
	return s, nil
}

// prepare checks whose the file is, and fills a new one.
func (s *store) prepare() error {
	for _, p := range []string{"busy_timeout = 5000", "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = NORMAL", "journal_size_limit = 4194304"} {
		if _, err := s.writer.Exec("PRAGMA " + p); err != nil {
			return err
		}
	}
	var app, form, tables int
	for q, v := range map[string]*int{"PRAGMA application_id": &app, "PRAGMA user_version": &form, "SELECT count(*) FROM sqlite_schema": &tables} {
		if err := s.writer.QueryRow(q).Scan(v); err != nil {
			return err
		}
	}
	switch {
	case app == application && form == version:
		_, err := s.writer.Exec("SELECT " + columns + ", key FROM happening LIMIT 1")
		if err != nil && !damaged(err) {
			err = errors.Join(errForeign, err)
		}
		return err
	case app != 0 || form != 0 || tables != 0:
		return errForeign
	}
	tx, err := s.writer.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it was committed
	if _, err := tx.Exec(fmt.Sprintf("%s; PRAGMA application_id = %d; PRAGMA user_version = %d", schema, application, version)); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *store) close() error {
	var err error
	if s.reader != nil && s.reader != s.writer {
		err = s.reader.Close()
	}
	if s.writer != nil {
		err = errors.Join(err, s.writer.Close())
	}
	return err
}

// damaged reports whether err says that the file is not what it should be.
func damaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == 11 || code == 26 // SQLITE_CORRUPT, SQLITE_NOTADB
}

// setAside takes the file out of the way. One is kept, for who wants to know.
func setAside(c Config, why string) {
	if c.Path == "" {
		return
	}
	bad := c.Path + ".bad"
	c.Log.Warn("journal: the file is set aside, and a new one begun", "file", c.Path, "now", bad, "why", why)
	for _, part := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(bad + part)
		_ = os.Rename(c.Path+part, bad+part) // where there is one
	}
}

// write writes entries, all or none, and returns how many said anything new.
func (s *store) write(all []Entry) (n int, err error) {
	tx, err := s.writer.Begin()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // it was committed
	for _, x := range all {
		news, err := put(tx, x)
		if err != nil {
			return 0, err
		}
		if news {
			n++
		}
	}
	return n, tx.Commit()
}

// put writes x if it says anything new, and reports whether it did.
func put(tx *sql.Tx, x Entry) (bool, error) {
	switch x.Kind {
	case report.Suspended, report.Resumed:
		last, there, err := lastOf(tx, x, "by_pause", "AND what IN ('suspended', 'resumed')")
		if err != nil || there && x.repeats(last) {
			return false, err
		}
	case report.Failed, report.Waiting, report.Held, report.Fought:
		last, there, err := lastOf(tx, x, "by_name", "")
		if err != nil {
			return false, err
		}
		if there && x.repeats(last) && x.key == "" {
			_, err := tx.Exec("UPDATE happening SET times = times + 1, last = max(last, ?) WHERE id = ?", micros(x.At), last.ID)
			return true, err
		}
	}
	if there, err := known(tx, x); there || err != nil {
		return false, err
	}
	changes := ""
	if len(x.Changes) > 0 {
		data, err := json.Marshal(packed(x.Changes))
		if err != nil {
			return false, err
		}
		changes = string(data)
	}
	res, err := tx.Exec("INSERT INTO happening (at, last, times, subject, namespace, name, what, severity, reason, message, revision, who, until, cluster, changes, more, key)"+
		" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key) WHERE key IS NOT NULL DO UPDATE SET times = excluded.times, last = excluded.last"+
		" WHERE times < excluded.times",
		micros(x.At), micros(x.Last), x.Times, x.About.Kind.String(), x.About.Namespace, x.About.Name, string(x.Kind), string(x.Severity),
		x.Reason, x.Message, x.Revision, x.Who, micros(x.Until), x.Cluster, changes, x.More, sql.NullString{String: x.key, Valid: x.key != ""})
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// known reports whether we were told what x recalls. An Event says when to the
// second, and knows neither whose changes were undone nor what had failed before.
// What a history says is known if anything is of that revision.
func known(tx *sql.Tx, x Entry) (there bool, err error) {
	if x.key == "" {
		return false, nil
	}
	const about = "SELECT EXISTS (SELECT 1 FROM happening INDEXED BY by_name WHERE subject = ? AND namespace = ? AND name = ?"
	args := []any{x.About.Kind.String(), x.About.Namespace, x.About.Name}
	if x.bare {
		err = tx.QueryRow(about+" AND revision = ? AND severity = ?)", append(args, x.Revision, string(x.Severity))...).Scan(&there)
		return there, err
	}
	other := map[report.Kind]report.Kind{report.Applied: report.Undone, report.Settled: report.Recovered}[x.Kind]
	second := x.At.Truncate(time.Second)
	args = append(args, micros(second.Add(time.Second)), micros(second), string(x.Kind), string(other), x.Revision, x.Reason, x.Message)
	err = tx.QueryRow(about+" AND at < ? AND last >= ? AND key IS NULL AND what IN (?, ?) AND revision = ? AND reason = ? AND message = ?)", args...).Scan(&there)
	return there, err
}

// repeats reports whether x says what last said. Of suspensions, who says more of
// one says something else.
func (x Entry) repeats(last Entry) bool {
	return x.Kind == last.Kind && x.Reason == last.Reason && x.Message == last.Message && x.Revision == last.Revision &&
		x.Who == last.Who && micros(x.Until) == micros(last.Until)
}

// lastOf returns the last entry about what x is about.
func lastOf(tx *sql.Tx, x Entry, index, and string) (Entry, bool, error) {
	rows, err := tx.Query("SELECT "+columns+" FROM happening INDEXED BY "+index+" WHERE subject = ? AND namespace = ? AND name = ? "+and+
		" ORDER BY at DESC, id DESC LIMIT 1", x.About.Kind.String(), x.About.Namespace, x.About.Name)
	if err != nil {
		return Entry{}, false, err
	}
	defer rows.Close()
	for rows.Next() {
		last, err := scan(rows)
		return last, err == nil, err
	}
	return Entry{}, false, rows.Err()
}

// trim forgets some of what is older than a time, and of the oldest of what is too
// much. It reports whether there may be more of that.
func (s *store) trim(before time.Time) (more bool, err error) {
	const some = 500 // rows at a time, so that nobody waits for long
	var pages, free, page int64
	for q, v := range map[string]*int64{"PRAGMA page_count": &pages, "PRAGMA freelist_count": &free, "PRAGMA page_size": &page} {
		if err := s.writer.QueryRow(q).Scan(v); err != nil {
			return false, err
		}
	}
	until := micros(before)
	if (pages-free)*page > s.most {
		until = math.MaxInt64
	}
	res, err := s.writer.Exec("DELETE FROM happening WHERE id IN (SELECT id FROM happening INDEXED BY by_time WHERE at < ? ORDER BY at, id LIMIT ?)", until, some)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	_, err = s.writer.Exec("PRAGMA incremental_vacuum")
	return n == some || until == math.MaxInt64, err
}

// micros returns t as it is kept; 0 is the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// A change is a [report.Change] as it is kept.
type change struct {
	Kind      string `json:"k"`
	Namespace string `json:"n,omitempty"`
	Name      string `json:"o"`
	Done      string `json:"d,omitempty"`
	Undid     bool   `json:"u,omitempty"`
	By        string `json:"b,omitempty"`
}

func packed(all []report.Change) []change {
	var out []change
	for _, c := range all {
		out = append(out, change{c.ID.Kind.String(), c.ID.Namespace, c.ID.Name, c.Done, c.Undid, c.By})
	}
	return out
}

func unpacked(data string) ([]report.Change, error) {
	if data == "" {
		return nil, nil
	}
	var all []change
	if err := json.Unmarshal([]byte(data), &all); err != nil {
		return nil, err
	}
	var out []report.Change
	for _, c := range all {
		out = append(out, report.Change{ID: object.ID{Kind: kindOf(c.Kind), Namespace: c.Namespace, Name: c.Name}, Done: c.Done, Undid: c.Undid, By: c.By})
	}
	return out, nil
}

// kindOf reads what [object.Kind.String] wrote.
func kindOf(s string) object.Kind {
	name, group, _ := strings.Cut(s, ".")
	return object.Kind{Group: group, Name: name}
}

func scan(rows *sql.Rows) (x Entry, err error) {
	var at, last, until int64
	var subject, changes string
	err = rows.Scan(&x.ID, &at, &last, &x.Times, &subject, &x.About.Namespace, &x.About.Name, &x.Kind, &x.Severity, &x.Reason,
		&x.Message, &x.Revision, &x.Who, &until, &x.Cluster, &changes, &x.More)
	if err != nil {
		return x, err
	}
	x.At, x.Last, x.Until, x.About.Kind = timeOf(at), timeOf(last), timeOf(until), kindOf(subject)
	x.Changes, err = unpacked(changes)
	return x, err
}

// shorten cuts a message to what is kept of it.
func shorten(s string) string {
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) <= longest {
		return s
	}
	const end = "... (cut)"
	n := longest - len(end)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + end
}
