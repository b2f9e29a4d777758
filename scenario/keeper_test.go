package scenario

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// A keeper keeps sources in place of a controller: it serves tarballs, and
// writes into the objects' statuses where they are.
type keeper struct {
	*scene
	server *httptest.Server
	files  *files
}

// files are what a keeper serves.
type files struct {
	mu     sync.Mutex
	byPath map[string][]byte // guarded by mu
}

func keep(s *scene) *keeper {
	k := &keeper{scene: s, files: &files{byPath: make(map[string][]byte)}}
	k.server = httptest.NewServer(k.files)
	s.Cleanup(k.server.Close)
	return k
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	data, ok := f.byPath[r.URL.Path]
	f.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data) // who has asked may have gone
}

// in returns a keeper for a part of a test.
func (k *keeper) in(t *testing.T) *keeper {
	s := *k.scene
	s.T = t
	return &keeper{scene: &s, server: k.server, files: k.files}
}

// A tarball is what an artifact is of.
type tarball struct {
	path   string
	data   []byte
	status map[string]any
}

// pack makes a tarball of files, as another program does, for a revision of a
// source.
func (k *keeper) pack(id object.ID, revision string, files map[string]string) tarball {
	k.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := []byte(k.expand(files[name]))
		k.must(w.WriteHeader(&tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(data))}))
		_, err := w.Write(data)
		k.must(err)
	}
	k.must(w.Close())
	k.must(z.Close())
	sum := sha256.Sum256(b.Bytes())
	hexSum := hex.EncodeToString(sum[:])
	path := strings.ToLower(id.Kind.Name) + "/" + id.Namespace + "/" + id.Name + "/" + hexSum + ".tar.gz"
	return tarball{"/" + path, b.Bytes(), map[string]any{
		"digest": "sha256:" + hexSum, "lastUpdateTime": "2026-09-01T12:00:00Z", "path": path,
		"revision": revision, "size": len(b.Bytes()), "url": k.server.URL + "/" + path,
	}}
}

// serve serves data where a tarball is to be; nil is nothing.
func (k *keeper) serve(t tarball, data []byte) {
	k.files.mu.Lock()
	defer k.files.mu.Unlock()
	if data == nil {
		delete(k.files.byPath, t.path)
		return
	}
	k.files.byPath[t.path] = data
}

// tell writes into a source's status that a tarball is its artifact.
func (k *keeper) tell(id object.ID, t tarball) {
	k.Helper()
	data, err := json.Marshal(map[string]any{"status": map[string]any{"artifact": t.status}})
	k.must(err)
	_, err = k.Patch(context.Background(), id, cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: "keeper", Subresource: "status"})
	k.must(err)
}

// offer serves a tarball of files, and tells of it.
func (k *keeper) offer(id object.ID, revision string, files map[string]string) tarball {
	k.Helper()
	t := k.pack(id, revision, files)
	k.serve(t, t.data)
	k.tell(id, t)
	return t
}

// repo makes a GitRepository that nobody else keeps.
func (k *keeper) repo(name string) object.ID {
	k.Helper()
	k.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: " + name + ", namespace: $NS}\n" +
		"spec: {interval: 1m, url: 'https://git.example/" + name + "'}")
	return k.id(feeds, name)
}

// of makes a Kustomization of a GitRepository.
func (k *keeper) of(repo object.ID, name string, fields ...string) object.ID {
	k.Helper()
	k.unit(name, append([]string{"sourceRef: {kind: " + repo.Kind.Name + ", name: " + repo.Name + "}"}, fields...)...)
	return k.unitID(name)
}
