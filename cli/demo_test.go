package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	plaindir "github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/unit"
)

func samples(t *testing.T) map[string]string {
	t.Helper()
	files, err := sampleTree("http://127.0.0.1:1/shop")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSample reads what the sample repository asks for and renders all of it.
func TestSample(t *testing.T) {
	files := samples(t)
	tree := make(fstest.MapFS)
	for name, data := range files {
		tree[name] = &fstest.MapFile{Data: []byte(data)}
	}
	all := render.First(plaindir.Renderer{}, kustomize.Renderer{})
	units := make(map[unit.Name]bool)
	owner := make(map[object.ID]string)
	asked := askedFor(t, files)
	for _, u := range asked {
		units[u.Name] = true
	}
	for _, u := range asked {
		if u.Err != nil {
			t.Errorf("%s: %v", u.Name, u.Err)
		}
		for _, dep := range u.After {
			if !units[dep] {
				t.Errorf("%s depends on %s, which is not there", u.Name, dep)
			}
		}
		objects, err := all.Render(t.Context(), render.Input{Tree: tree, Recipe: u.Recipe})
		if err != nil || len(objects) == 0 {
			t.Errorf("%s: %d objects, %v", u.Name, len(objects), err)
		}
		for _, o := range objects {
			if was := owner[o.ID()]; was != "" {
				t.Errorf("%s is of both %s and %s", o.ID(), was, u.Name.Name)
			}
			owner[o.ID()] = u.Name.Name
		}
	}
	if owner[web] != "production-web" {
		t.Errorf("%s, which is to be deleted by hand, is of %q", web, owner[web])
	}
}

// askedFor returns the units that files ask for.
func askedFor(t *testing.T, files map[string]string) []unit.Unit {
	t.Helper()
	says := flux.New(flux.Config{})
	var units []unit.Unit
	for name, data := range files {
		if !strings.HasPrefix(name, "cluster/") {
			continue
		}
		objects, err := object.Parse([]byte(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, o := range objects {
			asked, err := says.Read(o, dialect.Nothing{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, f := range asked.Feeds {
				if f.Err != nil {
					t.Errorf("%s: %v", f.Name, f.Err)
				}
			}
			units = append(units, asked.Units...)
		}
	}
	return units
}

// TestSampleEdits checks that what is changed in the demo, and what people are
// asked to change, is there.
func TestSampleEdits(t *testing.T) {
	files := samples(t)
	asked := edit{file: "apps/base/web/deployment.yaml", from: "web:3.1.0"}
	for _, e := range []edit{newVersion, mistake, asked} {
		if strings.Count(files[e.file], e.from) != 1 {
			t.Errorf("%s holds %q %d times, want once", e.file, e.from, strings.Count(files[e.file], e.from))
		}
	}
	if !strings.Contains(files[syncFile], "http://127.0.0.1:1/shop") {
		t.Errorf("%s does not hold the server's URL", syncFile)
	}
}

func TestShopTellsOfPushes(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	pushes := 0
	s, err := openShop(t.TempDir(), func(context.Context, time.Time) { pushes++ })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	was := s.head
	if err := s.commit(t.Context(), newVersion); err != nil {
		t.Fatal(err)
	}
	if pushes != 0 {
		t.Errorf("a clone and a commit were told as %d pushes", pushes)
	}
	if err := s.push(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pushes != 1 || s.head == was {
		t.Errorf("%d pushes, head was %s and is %s", pushes, was, s.head)
	}
	if err := s.commit(t.Context(), newVersion); err == nil {
		t.Error("an edit was made twice")
	}
}

// ks returns a Kustomization as its controller leaves it.
func ks(name, ready, message, rev string) object.Object {
	return object.Of(map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"name": name, "namespace": home, "generation": int64(1)},
		"status": map[string]any{
			"lastAppliedRevision": rev,
			"conditions": []any{map[string]any{
				"type": "Ready", "status": ready, "message": message, "observedGeneration": int64(1),
			}},
		},
	})
}

func demoOf(objects ...object.Object) (*demo, view) {
	v := make(view)
	for _, o := range objects {
		v[o.ID()] = o
	}
	return &demo{desk: &desk{Program: Program{
		Dialect:  func(Speech) (dialect.Dialect, error) { return flux.New(flux.Config{}), nil },
		Language: ask.Language{Nouns: []ask.Noun{{Kind: flux.Kustomization}, {Kind: flux.GitRepository, Feed: true}}},
	}}}, v
}

func TestLacks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		objects []object.Object
		want    string
	}{
		{"nothing", nil, "there are no units"},
		{"all", []object.Object{ks("a", "True", "", "main@sha1:12"), ks("b", "True", "", "main@sha1:12")}, ""},
		{"behind", []object.Object{ks("a", "True", "", "main@sha1:11"), ks("b", "True", "", "main@sha1:12")},
			"not all is healthy: a is still at main@sha1:11"},
		{"failed", []object.Object{ks("a", "False", "no\nway", "main@sha1:12"), ks("b", "Unknown", "", "")},
			"not all is healthy: a is not ready: no way; b is not ready: "},
	} {
		d, v := demoOf(tt.objects...)
		if got := d.lacks(v, "12"); got != tt.want {
			t.Errorf("%s: lacks = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestBoardUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(func(cluster.Change) {})
		there := func(v view) string {
			if len(v) == 0 {
				return "there is nothing"
			}
			return ""
		}
		err := b.until(t.Context(), time.Minute, there)
		if err == nil || err.Error() != "after 1m0s, there is nothing" {
			t.Errorf("until = %v", err)
		}
		time.AfterFunc(time.Second, func() { b.put(cluster.Change{Type: cluster.Put, Object: ks("a", "True", "", "")}) })
		if err := b.until(t.Context(), time.Minute, there); err != nil {
			t.Error(err)
		}
		b.keepOnly(flux.Kustomization, nil)
		if v, _ := b.see(); len(v) != 0 {
			t.Errorf("%d objects are left", len(v))
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := b.until(ctx, time.Minute, there); err != context.Canceled {
			t.Errorf("until = %v", err)
		}
	})
}

// TestStory tells a push as the controller does.
func TestStory(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	s := newStory(screen{Writer: &b}, func() time.Time { now = now.Add(100 * time.Millisecond); return now })
	tell := func(kind, name string, severity report.Severity, reason, message string) {
		s.Report(report.Event{
			About:    report.Object{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: kind, Name: name},
			Severity: severity, Reason: reason, Message: message,
			Meta: map[string]string{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:12"},
		})
	}
	s.open()
	s.pushed(now)
	tell("GitRepository", "shop", report.Info, "NewArtifact", "stored artifact for commit 'api'")
	tell("Kustomization", "idle", report.Info, "ReconciliationSucceeded", "Reconciliation finished")
	tell("Kustomization", "api", report.Info, "Progressing", "Deployment/a/api configured\nService/a/api created")
	tell("Kustomization", "api", report.Info, "Progressing", "Health check passed")
	tell("Kustomization", "api", report.Info, "ReconciliationSucceeded", "Reconciliation finished")
	tell("Kustomization", "web", report.Info, "DependencyNotReady", "waits")
	tell("Kustomization", "web", report.Error, "BuildFailed", "no\nway")
	at := object.Of(map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "api", "namespace": "a"}})
	s.heard(cluster.Change{Type: cluster.Put, Object: at})
	s.heard(cluster.Change{Type: cluster.Gone, Object: at})
	s.heard(cluster.Change{Type: cluster.Put, Object: at})
	want := `
A push
   0.10s  ● Git server            has it, and tells the controller
   0.20s  ● source shop           stored artifact for commit 'api'
   0.60s  ● api                   ready: configured Deployment/a/api, created Service/a/api
   0.80s  ✗ web                   no way
   1.10s  ● the cluster           Deployment/a/api was gone for 0.10 s
`
	if b.String() != want {
		t.Errorf("got%swant%s", b.String(), want)
	}
	if !s.caughtUp([]object.Object{ks("idle", "", "", ""), ks("api", "", "", "")}, "12") {
		t.Error("it has not heard that api and idle are ready")
	}
	if s.caughtUp([]object.Object{ks("web", "", "", "")}, "12") {
		t.Error("it has heard that web is ready")
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if got := tail(file, 2); got != "" {
		t.Errorf("tail of nothing = %q", got)
	}
	if err := os.WriteFile(file, []byte("a\nb\nlevel=DEBUG c\nd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(file, 2); got != "b\nd" {
		t.Errorf("tail = %q", got)
	}
}

// TestDemoThatCannotStart looks at what is said, and at what is left.
func TestDemoThatCannotStart(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, script, want string
	}{
		{"dies", "echo 'devcluster: etcd died' >&2; exit 1", "the control plane: it has ended (exit status 1): etcd died"},
		{"hangs", "exec sleep 100", "the control plane: it is not ready after 1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			program := filepath.Join(dir, "devcluster")
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(dir, "data")
			d := &demo{
				desk:       &desk{out: screen{Writer: &bytes.Buffer{}}, now: time.Now},
				devcluster: program, dir: data, timeout: time.Second, once: true,
			}
			err := d.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run = %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(data); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", data, err)
			}
		})
	}
	d := &demo{desk: &desk{now: time.Now}, dir: full}
	if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("run = %v", err)
	}
	if _, err := os.Stat(filepath.Join(full, "file")); err != nil {
		t.Error(err)
	}
}
