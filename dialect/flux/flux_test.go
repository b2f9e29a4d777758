package flux_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/inventory"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

var update = flag.Bool("update", false, "rewrite what the cases in testdata want")

// A case is a file. "objects" holds YAML: the first object is read, the rest
// are there to be referred to. Then come, in any number, the files
//
//	config    what flux.Config is to be, for all that follows
//	asked     what Read is to return
//	recalled  what RecallFeed or RecallUnit is to return
//	tell N    a status, in YAML; the one of the last tell is what was before
//	status N  what the object's status is to be then, or "same"
//	events N  what is to be told then
func TestCases(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { testCase(t, file) })
	}
}

func testCase(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &tale{t: t, dialect: flux.New(flux.Config{})}
	for i, f := range ar.Files {
		got, ok := c.play(f)
		switch {
		case !ok:
		case *update:
			ar.Files[i].Data = got
		case !bytes.Equal(got, f.Data):
			t.Errorf("%s: got\n%s\nwant\n%s", f.Name, got, f.Data)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A tale is a case as far as it was played.
type tale struct {
	t       *testing.T
	dialect dialect.Dialect
	objects objects
	object  object.Object // as it was told last
	before  object.Object
	was     told
	events  []report.Event
}

type told struct {
	feed source.Status
	unit unit.Status
}

// objects is a [dialect.Reader].
type objects []object.Object

func (os objects) Get(id object.ID) (object.Object, bool, error) {
	for _, o := range os {
		if o.ID() == id {
			return o, true, nil
		}
	}
	return object.Object{}, false, nil
}

// play returns what f is to hold, unless f is a given.
func (c *tale) play(f txtar.File) ([]byte, bool) {
	verb, _, _ := strings.Cut(f.Name, " ")
	switch verb {
	case "config":
		var config flux.Config
		must(c.t, yaml.UnmarshalStrict(f.Data, &config))
		c.dialect = flux.New(config)
	case "objects":
		var err error
		c.objects, err = object.Parse(f.Data)
		must(c.t, err)
		c.object = c.objects[0]
	case "tell":
		c.tell(f.Data)
	case "asked":
		return c.asked(), true
	case "recalled":
		return printed(c.recall()), true
	case "status":
		return c.status(), true
	case "events":
		return c.told(), true
	default:
		c.t.Fatalf("don't know what %q is", f.Name)
	}
	return nil, false
}

func (c *tale) read() (source.Feed, unit.Unit) {
	asked, err := c.dialect.Read(c.object, c.objects)
	must(c.t, err)
	if len(asked.Feeds) > 0 {
		return asked.Feeds[0], unit.Unit{}
	}
	return source.Feed{}, asked.Units[0]
}

func (c *tale) asked() []byte {
	feed, u := c.read()
	if u.Name.Name == "" {
		return printed(struct {
			source.Feed
			Err    string
			Access map[string]string
		}{feed, explain(feed.Err), accessOf(feed.Remote.Access)})
	}
	return printed(struct {
		unit.Unit
		Err    string
		Target map[string]string
		Facts  render.Known `json:",omitempty"`
	}{u, explain(u.Err), targetOf(u.Target), u.Facts})
}

// explain returns the words of err and what it is one of.
func explain(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	for name, is := range sentinels {
		if errors.Is(err, is) {
			s += " [" + name + "]"
		}
	}
	if h := new(unit.HeldError); errors.As(err, &h) {
		s += " [held " + string(h.Approval) + "]"
	}
	if fault.IsInput(err) {
		s += " [input]"
	}
	return s
}

var sentinels = map[string]error{
	"source.ErrURL": source.ErrURL, "source.ErrAuth": source.ErrAuth, "source.ErrEmpty": source.ErrEmpty,
	"source.ErrNetwork": source.ErrNetwork, "source.ErrNotFound": source.ErrNotFound, "source.ErrStorage": source.ErrStorage,
	"source.ErrRef": source.ErrRef, "source.ErrContent": source.ErrContent, "source.ErrProof": source.ErrProof, "source.ErrInclude": source.ErrInclude,
	"unit.ErrAccess": unit.ErrAccess, "unit.ErrNoSource": unit.ErrNoSource, "render.ErrNoPath": render.ErrNoPath,
	"unit.ErrDependencies": unit.ErrDependencies, "unit.ErrHealth": unit.ErrHealth, "unit.ErrCanceled": unit.ErrCanceled,
}

// targetOf shows what a test may show.
func targetOf(t unit.Target) map[string]string {
	login := ""
	if t.Login != (unit.Login{}) {
		login = fmt.Sprintf("%+v", t.Login)
	}
	return filled(map[string]string{"as": t.As, "kubeconfig": string(t.Kubeconfig), "login": login, "error": explain(t.Err)})
}

func issuerOf(i *source.Issuer) string {
	if i == nil {
		return ""
	}
	return fmt.Sprint(i.Type, " ", i.Endpoint, " ", accessOf(i.Access))
}

// lacks are errors that are more than one of the sentinels.
var lacks = map[string]func(why string) error{
	"commit signature": func(why string) error { return &source.ProofError{Of: "commit", Why: why} },
	"tag signature":    func(why string) error { return &source.ProofError{Of: "tag", Why: why} },
	"tag unsigned":     func(why string) error { return &source.ProofError{Of: "tag", Unsigned: true, Why: why} },
	"no feed":          func(why string) error { return lackOf(source.LacksFeed, why) },
	"no tree":          func(why string) error { return lackOf(source.LacksTree, why) },
	"no path":          func(why string) error { return lackOf(source.LacksPath, why) },
	"held sha256:0f":   func(why string) error { return &unit.HeldError{What: why, Approval: "sha256:0f"} },
}

func lackOf(what, why string) error {
	return &source.IncludeError{Feed: source.FeedName{Kind: "GitRepository", Namespace: "flux-system", Name: "lib"}, Lacks: what, Why: why}
}

// accessOf shows what a test may show.
func accessOf(a source.Access) map[string]string {
	app := ""
	if a := a.App; a != nil {
		app = strings.Join([]string{a.ID, a.Installation, a.Owner, string(a.Key), a.API}, " | ")
	}
	return filled(map[string]string{
		"app": app, "cloud": cloudOf(a.Cloud), "grant": grantOf(a.Grant),
		"username": a.Username, "password": a.Password, "bearer": a.Bearer,
		"cert": string(a.Cert), "key": string(a.Key), "proxy": a.Proxy, "issuer": issuerOf(a.Issuer),
		"ca": string(a.CA), "identity": string(a.Identity), "knownHosts": string(a.KnownHosts),
	})
}

func grantOf(g *source.Grant) string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf("%q", []string{g.Account, g.AccountKey, g.SAS, g.Tenant, g.Client, g.Secret, string(g.Certificate), g.Password, fmt.Sprint(g.Chain), g.Authority})
}

func cloudOf(id cloud.Identity) string {
	if id == (cloud.Identity{}) {
		return ""
	}
	return fmt.Sprintf("%+v", id)
}

// filled returns m without what is empty.
func filled(m map[string]string) map[string]string {
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

// A saying is a status in a case.
type saying struct {
	Phase      unit.Phase
	Err        string // "words [source.ErrAuth] [input]", or "asked" of Read, or "recalled"
	Waits      string // "unit: dependency 'a/b' is not ready"
	Generation int64
	Revision   string // of a feed
	Artifact   source.Artifact
	Commit     string // its subject
	Origin     string
	Proven     string // the method
	Signed     string
	Included   map[string]string // GitRepository to its revision
	Metadata   map[string]string

	AttemptedOrigin, AppliedOrigin string // of a unit: what its revisions were made from

	Since     time.Time
	Busy      bool
	Attempted string
	Applied   string
	Rendered  digest.Digest
	Owned     []string // "Deployment.apps/web/frontend v1"
	Health    string   // "Degraded: why"
	Token     string
	Changes   []string // "Deployment.apps/web/frontend created"
	Began     time.Time
	Ended     time.Time
	Now       time.Time
}

func (c *tale) tell(data []byte) {
	var s saying
	must(c.t, yaml.UnmarshalStrict(data, &s))
	now := s.Now
	if now.IsZero() {
		now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	}
	st := told{s.feed(c), s.unit(c)}
	feed, u := c.read()
	say := func(was told, now time.Time) (object.Object, []report.Event) {
		if u.Name.Name == "" {
			return c.dialect.TellFeed(c.object, feed, was.feed, st.feed, now)
		}
		return c.dialect.TellUnit(c.object, u, was.unit, st.unit, now)
	}
	c.before = c.object
	c.object, c.events = say(c.was, now)
	again, events := say(st, now.Add(time.Hour))
	if !bytes.Equal(again.JSON(), c.object.JSON()) {
		c.t.Errorf("told again: status became\n%s\nwas\n%s", statusOf(again), statusOf(c.object))
	}
	if len(events) > 0 {
		c.t.Errorf("told again: events %v", events)
	}
	st.unit.Changes, st.feed.Artifact.Mended = nil, "" // after a restart nothing is left to be done
	if _, events := say(c.recallOf(), now); len(events) > 0 {
		c.t.Errorf("told again after a restart: events %v", events)
	}
	c.was = told{s.feed(c), s.unit(c)}
}

func (s saying) feed(c *tale) source.Status {
	st := source.Status{
		Revision: revision(s.Revision), Commit: source.Commit{Subject: s.Commit}, Since: s.Since,
		Err: s.err(c), Token: s.Token, Busy: s.Busy, Artifact: s.Artifact,
		Origin: s.Origin, Proven: s.Proven, Signed: s.Signed, Metadata: s.Metadata,
	}
	for name, r := range s.Included {
		st.Own = revision(s.Revision)
		st.Included = append(st.Included, source.Included{
			Feed: source.FeedName{Kind: "GitRepository", Namespace: "flux-system", Name: name}, Revision: revision(r), Since: s.Since,
		})
	}
	if st.Included != nil {
		feed, _ := c.read()
		st.Revision = feed.Composite(st.Own, st.Included)
	}
	return st
}

func (s saying) unit(c *tale) unit.Status {
	on, what, _ := strings.Cut(s.Waits, ": ")
	st := unit.Status{
		Phase: s.Phase, Err: s.err(c), Waits: unit.Wait{On: unit.On(on), What: what}, Generation: s.Generation,
		Attempted: revision(s.Attempted), Applied: revision(s.Applied), Rendered: s.Rendered,
		Token: s.Token, Began: s.Began, Ended: s.Ended,
		AttemptedOrigin: s.AttemptedOrigin, AppliedOrigin: s.AppliedOrigin,
	}
	if s.Owned != nil {
		st.Owned = make(inventory.Set)
	}
	for _, line := range s.Owned {
		name, v, _ := strings.Cut(line, " ")
		st.Owned[id(name)] = v
	}
	for _, line := range s.Changes {
		name, done, _ := strings.Cut(line, " ")
		st.Changes = append(st.Changes, unit.Change{ID: id(name), Done: done})
	}
	if status, why, _ := strings.Cut(s.Health, ": "); status != "" {
		for h := health.Healthy; h <= health.Degraded; h++ {
			if h.String() == status {
				st.Health = health.Verdict{Status: h, Why: why}
			}
		}
	}
	return st
}

func (s saying) err(c *tale) error {
	if s.Err == "" {
		return nil
	}
	if s.Err == "asked" {
		feed, u := c.read()
		return errors.Join(feed.Err, u.Err)
	}
	if s.Err == "recalled" {
		return c.dialect.RecallUnit(c.object).Err
	}
	words, input := strings.CutSuffix(s.Err, " [input]")
	err := errors.New(words)
	for name, lack := range lacks {
		if w, ok := strings.CutSuffix(words, " ["+name+"]"); ok {
			err = lack(w)
		}
	}
	for name, is := range sentinels {
		if w, ok := strings.CutSuffix(words, " ["+name+"]"); ok {
			err = fmt.Errorf("%s%w", w, silent{is})
		}
	}
	if input {
		err = fault.Input(err)
	}
	return err
}

// silent is an error without words.
type silent struct{ is error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.is }

func id(s string) object.ID {
	parts := strings.Split(s, "/")
	name, group, _ := strings.Cut(parts[0], ".")
	out := object.ID{Kind: object.Kind{Group: group, Name: name}, Name: parts[len(parts)-1]}
	if len(parts) == 3 {
		out.Namespace = parts[1]
	}
	return out
}

func revision(s string) source.Revision {
	if s == "" {
		return source.Revision{}
	}
	return source.Revision{Name: s, Digest: digest.Digest(s[strings.LastIndex(s, "@")+1:])}
}

func (c *tale) recallOf() told {
	if c.object.ID().Kind != flux.Kustomization {
		return told{feed: c.dialect.RecallFeed(c.object)}
	}
	return told{unit: c.dialect.RecallUnit(c.object)}
}

func (c *tale) recall() any {
	st := c.recallOf()
	if c.object.ID().Kind != flux.Kustomization {
		return struct {
			source.Status
			Err string
		}{st.feed, explain(st.feed.Err)}
	}
	owned := make(map[string]string)
	for id, v := range st.unit.Owned {
		owned[id.Kind.String()+"/"+id.Namespace+"/"+id.Name] = v
	}
	return struct {
		unit.Status
		Owned map[string]string
		Err   string
	}{st.unit, owned, explain(st.unit.Err)}
}

func (c *tale) status() []byte {
	if bytes.Equal(c.object.JSON(), c.before.JSON()) {
		return []byte("same\n")
	}
	return statusOf(c.object)
}

func statusOf(o object.Object) []byte {
	st, _ := o.Get("status")
	data, _ := yaml.Marshal(st)
	return data
}

func (c *tale) told() []byte {
	var b bytes.Buffer
	for _, e := range c.events {
		fmt.Fprintf(&b, "%s %s %s: %s\n", e.Severity, e.By, e.Reason, strings.ReplaceAll(e.Message, "\n", "\n  "))
		if len(e.Meta) > 0 {
			meta, _ := json.Marshal(e.Meta)
			fmt.Fprintf(&b, "  %s\n", meta)
		}
		if f := e.Facts; f.Kind != "" {
			fmt.Fprintf(&b, "  kept as %s\n", strings.Join(strings.Fields(fmt.Sprint(f.Kind, " ", f.Revision, " ", f.Who, " ", f.Cluster)), ", "))
		}
	}
	return b.Bytes()
}

// printed returns v as YAML without what is empty.
func printed(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var m any
	if err := yaml.Unmarshal(data, &m); err != nil {
		panic(err)
	}
	data, _ = yaml.Marshal(full(m))
	return data
}

func full(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if x = full(x); x == nil {
				delete(v, k)
			} else {
				v[k] = x
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" || v == "0001-01-01T00:00:00Z" || v == "(credentials)" || v == "(secret)" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
