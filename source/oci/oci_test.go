package oci

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	godigest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/internal/ociserver"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/sourcetest"
	"github.com/sane-gitops/sane/source/unpack"
)

func open(t testing.TB, dir string, fresh time.Duration) *Source {
	t.Helper()
	store, err := unpack.Open(unpack.Config{Dir: dir, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Store: store, Fresh: fresh})
	t.Cleanup(func() {
		s.Close()
		store.Close()
	})
	return s
}

func serve(t testing.TB, opts ociserver.Options) *ociserver.Server {
	t.Helper()
	s, err := ociserver.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func remoteOf(r *ociserver.Server) source.Remote {
	return source.Remote{Type: "oci", URL: r.URL("team/app"), Insecure: true, Timeout: 10 * time.Second}
}

// branches takes branches for tags.
type branches struct{ *Source }

func atTag(ref source.Ref) source.Ref {
	return source.Ref{Tag: strings.ReplaceAll(ref.Branch, "/", ".")}
}

func (b branches) Resolve(ctx context.Context, at source.Remote, ref source.Ref) (source.Revision, error) {
	return b.Source.Resolve(ctx, at, atTag(ref))
}

func (b branches) Fetch(ctx context.Context, at source.Remote, ref source.Ref, rev source.Revision) (*source.Snapshot, error) {
	return b.Source.Fetch(ctx, at, atTag(ref), rev)
}

func TestSource(t *testing.T) {
	r := serve(t, ociserver.Options{})
	sourcetest.Run(t, branches{open(t, t.TempDir(), -1)}, remoteOf(r), func(branch string, files map[string]string) {
		_, err := r.Files("team/app", atTag(source.Ref{Branch: branch}).Tag, files)
		must(t, err)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s *Source, at source.Remote, ref source.Ref) (*source.Snapshot, error) {
	t.Helper()
	rev, err := s.Resolve(t.Context(), at, ref)
	if err != nil {
		return nil, err
	}
	return s.Fetch(t.Context(), at, ref, rev)
}

func TestReferences(t *testing.T) {
	r := serve(t, ociserver.Options{})
	ids := make(map[string]digest.Digest)
	for _, tag := range []string{"1.0.0", "1.2.0", "v1.2.1", "1.10.0-rc.1", "2.0.0", "latest", "staging-1.9.0", "1.2.1-staging", "nonsense"} {
		id, err := r.Files("team/app", tag, map[string]string{"tag": tag})
		must(t, err)
		ids[tag] = id
	}
	s := open(t, t.TempDir(), -1)
	for _, tt := range []struct {
		name string
		ref  source.Ref
		want string // the tag
		err  error
	}{
		{"nothing", source.Ref{}, "latest", nil},
		{"tag", source.Ref{Tag: "1.0.0"}, "1.0.0", nil},
		{"range", source.Ref{Semver: "1.x"}, "v1.2.1", nil},
		{"range with candidates", source.Ref{Semver: "~1-0"}, "1.10.0-rc.1", nil},
		{"range before tag", source.Ref{Semver: ">=2", Tag: "1.0.0"}, "2.0.0", nil},
		{"filter", source.Ref{Semver: "1.x-0", Filter: ".*-staging$"}, "1.2.1-staging", nil},
		{"digest before all", source.Ref{Digest: ids["1.0.0"], Semver: "2.x", Tag: "latest"}, "1.0.0", nil},
		{"no version in range", source.Ref{Semver: "3.x"}, "", source.ErrNotFound},
		{"no such tag", source.Ref{Tag: "none"}, "", source.ErrNotFound},
		{"no such digest", source.Ref{Digest: digest.Of(nil)}, "", source.ErrNotFound},
		{"no range", source.Ref{Semver: "one"}, "", source.ErrRef},
		{"no expression", source.Ref{Semver: "1.x", Filter: "("}, "", source.ErrRef},
		{"no tag", source.Ref{Tag: "../x"}, "", source.ErrRef},
		{"no digest", source.Ref{Digest: "sha256:1"}, "", source.ErrRef},
	} {
		snap, err := get(t, s, remoteOf(r), tt.ref)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
		}
		if fault.IsInput(err) != (tt.err == source.ErrRef) {
			t.Errorf("%s: input is %v of %v", tt.name, fault.IsInput(err), err)
		}
		if err != nil || tt.err != nil {
			continue
		}
		want := tt.want + "@" + string(ids[tt.want])
		if tt.ref.Digest != "" {
			want = string(ids[tt.want])
		}
		if snap.Revision.Name != want || snap.Revision.Digest != ids[tt.want] {
			t.Errorf("%s: revision %v, want %s", tt.name, snap.Revision, want)
		}
		if got, err := fs.ReadFile(snap.Tree, "tag"); err != nil || string(got) != tt.want {
			t.Errorf("%s: holds %q, %v", tt.name, got, err)
		}
	}
}

// A layer that is to be left as it is can be had as it is, be it an archive or not;
// units see what is in it.
func TestCopy(t *testing.T) {
	r := serve(t, ociserver.Options{})
	s := open(t, t.TempDir(), -1)
	archive := ociserver.Archive(map[string]string{"a": "1", "b.jpg": "2"})
	for _, tt := range []struct {
		name  string
		data  []byte
		holds string // in the file "a"; "" if it is no archive
		err   string
	}{
		{"an archive", archive, "1", ""},
		{"something else", []byte("kind: ConfigMap"), "", ""},
		{"too large", make([]byte, 2<<20), "", "more than 1048576"},
	} {
		_, err := r.Push("team/app", "copied", nil, ociserver.Layer{Data: tt.data})
		must(t, err)
		snap, err := get(t, s, remoteOf(r), source.Ref{Tag: "copied", Copy: true})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
			}
			continue
		}
		must(t, err)
		body, err := snap.Packed.Open(t.Context())
		must(t, err)
		data, err := io.ReadAll(body)
		body.Close()
		must(t, err)
		if string(data) != string(tt.data) || digest.Of(data) != snap.Packed.Digest || snap.Packed.Size != int64(len(data)) {
			t.Errorf("%s: it can be had as %d bytes, %s; want %d", tt.name, len(data), snap.Packed.Digest, len(tt.data))
		}
		got, err := fs.ReadFile(snap.Tree, "a")
		if string(got) != tt.holds || (err == nil) != (tt.holds != "") {
			t.Errorf("%s: holds %q, %v", tt.name, got, err)
		}
		if tt.holds == "" && !errors.Is(err, source.ErrContent) {
			t.Errorf("%s: reading it fails by %v", tt.name, err)
		}
	}
	if snap, err := get(t, s, remoteOf(r), source.Ref{Tag: "copied"}); err == nil {
		t.Errorf("without that it is %v", snap.Packed)
	}
}

// A registry that begins to give a layer and does not go on is waited for no longer
// than for any other answer.
func TestCopyHasAnEnd(t *testing.T) {
	var stalls atomic.Bool
	r := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, q *http.Request) bool {
		if !stalls.Load() || !strings.Contains(q.URL.Path, "/blobs/") {
			return false
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
		return true
	}})
	_, err := r.Push("team/app", "copied", nil, ociserver.Layer{Data: []byte("kind: ConfigMap")})
	must(t, err)
	at := remoteOf(r)
	at.Timeout = time.Second
	snap, err := get(t, open(t, t.TempDir(), -1), at, source.Ref{Tag: "copied", Copy: true})
	must(t, err)
	stalls.Store(true)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // or else a test that fails would never end
	defer stop()
	body, err := snap.Packed.Open(ctx)
	if err == nil {
		_, err = io.ReadAll(body)
		body.Close()
	}
	if !errors.Is(err, source.ErrNetwork) || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("error %v, want one that says how long it was waited for", err)
	}
}

func TestLayers(t *testing.T) {
	r := serve(t, ociserver.Options{})
	files := func(text string) ociserver.Layer { return ociserver.Layer{Files: map[string]string{"a": text}} }
	other := func(l ociserver.Layer) ociserver.Layer { l.MediaType = "text/other"; return l }
	s := open(t, t.TempDir(), -1)
	for _, tt := range []struct {
		name   string
		layers []ociserver.Layer
		want   string // the media type that is asked for
		holds  string
		err    string
	}{
		{"the first", []ociserver.Layer{files("1"), other(files("2"))}, "", "1", ""},
		{"by type", []ociserver.Layer{files("1"), other(files("2")), other(files("3"))}, "text/other", "2", ""},
		{"none of the type", []ociserver.Layer{files("1")}, "text/other", "", "failed to find layer with media type 'text/other'"},
		{"none at all", nil, "", "", "no layers found"},
		{"no archive", []ociserver.Layer{{Data: []byte("kind: ConfigMap")}}, "", "", "no whole tar archive"},
		{"a path that climbs", []ociserver.Layer{{Data: ociserver.Archive(map[string]string{"../../a": "1"})}}, "", "", "leads out of it"},
		{"a bomb", []ociserver.Layer{files(strings.Repeat("0", 2<<20))}, "", "", "more than 1048576 bytes"},
		{"too large", []ociserver.Layer{{Data: make([]byte, 2<<20)}}, "", "", "more than 1048576"},
	} {
		_, err := r.Push("team/app", "layers", nil, tt.layers...)
		must(t, err)
		snap, err := get(t, s, remoteOf(r), source.Ref{Tag: "layers", Layer: tt.want})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, source.ErrContent) || !fault.IsInput(err) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got, err := fs.ReadFile(snap.Tree, "a"); err != nil || string(got) != tt.holds {
			t.Errorf("%s: holds %q, %v", tt.name, got, err)
		}
	}
}

func TestAnnotations(t *testing.T) {
	r := serve(t, ociserver.Options{})
	said := map[string]string{"org.opencontainers.image.revision": "main@sha1:1f0c3d", "org.opencontainers.image.source": "https://example.com"}
	_, err := r.Push("team/app", "v1", said, ociserver.Layer{Files: map[string]string{"a": "1"}})
	must(t, err)
	s := open(t, t.TempDir(), -1)
	snap, err := get(t, s, remoteOf(r), source.Ref{Tag: "v1"})
	must(t, err)
	if log, err := s.History(t.Context(), remoteOf(r), source.Ref{Tag: "v1"}, snap.Revision, source.Query{}); err != nil || len(log.Entries) != 1 ||
		log.Entries[0].ID != snap.Revision.Digest || log.Entries[0].Metadata["org.opencontainers.image.source"] != "https://example.com" {
		t.Errorf("its history is %+v, %v", log, err)
	}
	if snap.Origin != "main@sha1:1f0c3d" || len(snap.Metadata) != 2 || snap.Proven != "" {
		t.Errorf("the snapshot is %+v", snap)
	}
}

func TestIndex(t *testing.T) {
	r := serve(t, ociserver.Options{})
	s := open(t, t.TempDir(), -1)
	push := func(tag string, archs ...string) digest.Digest {
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
		index.SchemaVersion = 2
		for _, arch := range archs {
			id, err := r.Files("team/app", arch, map[string]string{"arch": arch})
			must(t, err)
			index.Manifests = append(index.Manifests, ocispec.Descriptor{
				MediaType: ocispec.MediaTypeImageManifest, Digest: godigest.Digest(id), Size: 1,
				Platform: &ocispec.Platform{OS: "linux", Architecture: arch},
			})
		}
		id, err := r.Manifest("team/app", tag, index.MediaType, index)
		must(t, err)
		return id
	}
	id := push("many", "arm64", "amd64")
	snap, err := get(t, s, remoteOf(r), source.Ref{Tag: "many"})
	must(t, err)
	if got, _ := fs.ReadFile(snap.Tree, "arch"); string(got) != "amd64" || snap.Revision.Digest != id {
		t.Errorf("taken: %s at %v", got, snap.Revision)
	}
	push("foreign", "arm64", "s390x")
	if _, err := get(t, s, remoteOf(r), source.Ref{Tag: "foreign"}); !errors.Is(err, source.ErrContent) || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("an index without ours: %v", err)
	}
}

// Who asks at the same time shares a request; who has been let in asks no more.
func TestRequests(t *testing.T) {
	var heads, gets atomic.Int64
	r := serve(t, ociserver.Options{Hook: func(_ http.ResponseWriter, q *http.Request) bool {
		switch {
		case q.Method == http.MethodHead && strings.Contains(q.URL.Path, "/manifests/v1"):
			heads.Add(1)
		case q.Method == http.MethodGet:
			gets.Add(1)
		}
		return false
	}})
	_, err := r.Files("team/app", "v1", map[string]string{"a": "1"})
	must(t, err)
	dir := t.TempDir()
	s := open(t, dir, time.Hour)
	at, ref := remoteOf(r), source.Ref{Tag: "v1"}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := get(t, s, at, ref); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if heads.Load() != 1 || gets.Load() > 3 { // whether it speaks TLS, the manifest, the layer
		t.Errorf("%d questions for the tag, %d downloads", heads.Load(), gets.Load())
	}
	s.Expire(at.URL)
	rev, err := s.Resolve(t.Context(), at, ref)
	must(t, err)
	if heads.Load() != 2 {
		t.Errorf("%d questions for the tag after Expire", heads.Load())
	}

	s.Close()
	s.Store.Close()
	r.Close()
	again := open(t, dir, time.Hour)
	snap, err := again.Fetch(t.Context(), at, ref, rev)
	if err != nil {
		t.Fatalf("after a restart, without the registry: %v", err)
	}
	if got, _ := fs.ReadFile(snap.Tree, "a"); string(got) != "1" {
		t.Errorf("holds %q", got)
	}
	at.Access.Username, at.Access.Password = "mallory", "guessed"
	if _, err := again.Fetch(t.Context(), at, ref, rev); err == nil {
		t.Error("what is kept is given to whoever has another way in")
	}
}

// What does not match its digest is not taken, and not said to be the image's
// fault for good.
func TestDamage(t *testing.T) {
	var what atomic.Value
	what.Store("")
	r := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, q *http.Request) bool {
		if bad := what.Load().(string); q.Method == http.MethodGet && bad != "" && strings.Contains(q.URL.Path, bad) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			_, _ = w.Write([]byte(`{"something": "else"}`))
			return true
		}
		return false
	}})
	_, err := r.Files("team/app", "v1", map[string]string{"a": "1"})
	must(t, err)
	s := open(t, t.TempDir(), -1)
	for _, bad := range []string{"/manifests/sha256", "/blobs/", ""} {
		what.Store(bad)
		if _, err := get(t, s, remoteOf(r), source.Ref{Tag: "v1"}); (err == nil) != (bad == "") || fault.IsInput(err) {
			t.Errorf("%q damaged: error %v", bad, err)
		}
	}
}

// TestLayersOfOthers holds that a layer that is here is given only to whoever is
// let in to it.
func TestLayersOfOthers(t *testing.T) {
	files := map[string]string{"payroll.yaml": "a: 1"}
	private := serve(t, ociserver.Options{Username: "alice", Password: "hunter2"})
	_, err := private.Files("team/app", "v1", files)
	must(t, err)
	s := open(t, t.TempDir(), -1)
	at := remoteOf(private)
	at.Access.Username, at.Access.Password = "alice", "hunter2"
	if _, err := get(t, s, at, source.Ref{Tag: "v1"}); err != nil {
		t.Fatal(err)
	}

	layer := ociserver.Archive(files)
	theirs := serve(t, ociserver.Options{})
	config, err := theirs.Blob("team/app", ociserver.ConfigType, []byte("{}"))
	must(t, err)
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config}
	m.SchemaVersion = 2
	m.Layers = []ocispec.Descriptor{{MediaType: ociserver.ContentType, Digest: godigest.FromBytes(layer), Size: int64(len(layer))}}
	_, err = theirs.Manifest("team/app", "v1", m.MediaType, m)
	must(t, err)
	if _, err := get(t, s, remoteOf(theirs), source.Ref{Tag: "v1"}); err == nil {
		t.Error("a layer of a private image is given to whoever names it")
	}
}

// A password that has changed costs no download, and whoever may see an image
// but not its layer does not get it.
func TestRotation(t *testing.T) {
	r := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, q *http.Request) bool {
		_, password, _ := q.BasicAuth()
		layer := q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/")
		switch {
		case password == "eve" && layer:
			w.WriteHeader(http.StatusForbidden)
			return true
		case q.Method == http.MethodGet && password == "" && strings.Contains(q.URL.Path, "/team/"):
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		case layer && password != "one":
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // it begins to give it, which must do
		}
		return false
	}})
	_, err := r.Files("team/app", "v1", map[string]string{"a": "1"})
	must(t, err)
	s := open(t, t.TempDir(), -1)
	at := remoteOf(r)
	for _, c := range []struct {
		password string
		ok       bool
	}{{"one", true}, {"two", true}, {"eve", false}, {"eve", false}, {"two", true}} {
		at.Access.Username, at.Access.Password = "ada", c.password
		if snap, err := get(t, s, at, source.Ref{Tag: "v1"}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.password, err)
		} else if c.ok {
			if got, err := fs.ReadFile(snap.Tree, "a"); string(got) != "1" {
				t.Errorf("%s reads %q, %v", c.password, got, err)
			}
		}
	}
}
