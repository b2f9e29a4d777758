package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// TestKill kills the controller at one of its writes, before or after the server
// has carried it out, in each of many rounds with a push. Sometimes it loses
// its data as well. In the end all is as if nothing had been.
func TestKill(t *testing.T) {
	const rounds, window = 12, 5
	s := openAlone(t)
	f := stand(t, s.stage)
	s.apply(configMap("foreign") + configMap("cm-03", "theirs: v"))
	foreign, early := s.get(s.id(configMaps, "foreign")), s.get(s.id(configMaps, "cm-03"))
	data := filepath.Join(t.TempDir(), "data")
	s.feed()
	s.unit("apps", "wait: true")
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	var rev string
	for n := range rounds {
		files := map[string]string{"web.yaml": deployment(fmt.Sprintf("web-%d", n/4), fmt.Sprintf("web:%d", n), 1, "")}
		for i := n; i < n+window; i++ {
			files[fmt.Sprintf("cm-%02d.yaml", i)] = configMap(fmt.Sprintf("cm-%02d", i), fmt.Sprintf("round: r%d", n))
		}
		if n > 0 {
			files[fmt.Sprintf("cm-%02d.yaml", n-1)] = gitserver.Delete
		}
		rev = s.push(files)
		if n%4 == 3 {
			s.must(os.RemoveAll(data))
		}
		p := s.controller(f.kubeconfig, data)
		killed := s.killAt(f, p, 1+random.IntN(12), random.IntN(2) == 0)
		done := s.readyOr("apps", rev, killed)
		f.obey(nil)
		p.kill()
		t.Logf("round %d: ready before it was killed: %v", n, done)
	}
	p := s.controller(f.kubeconfig, data)
	ks := s.ready("apps", rev)

	want, entries := []string{}, []string{s.ns + "_web-2_apps_Deployment v1"}
	for i := rounds - 1; i < rounds-1+window; i++ {
		want = append(want, fmt.Sprintf("cm-%02d", i))
		entries = append(entries, fmt.Sprintf("%s_cm-%02d__ConfigMap v1", s.ns, i))
	}
	slices.Sort(entries)
	s.same("ConfigMaps", s.owned(configMaps, "apps"), want...)
	s.same("Deployments", s.owned(deployments, "apps"), "web-2")
	s.same("inventory", inventory(ks), entries...)
	for _, name := range want {
		s.is(s.get(s.id(configMaps, name)), fmt.Sprintf("r%d", rounds-1), "data", "round")
	}
	s.is(s.get(foreign.ID()), foreign.ResourceVersion(), "metadata", "resourceVersion")
	var left []string
	for o, err := range s.List(context.Background(), cluster.Selection{Kind: configMaps, Namespace: s.ns}) {
		s.must(err)
		left = append(left, o.Name())
	}
	slices.Sort(left)
	if o := s.get(early.ID()); !o.IsZero() { // it was meant to be adopted, and every time we were killed before
		s.is(o, early.ResourceVersion(), "metadata", "resourceVersion")
		want = append([]string{"cm-03"}, want...)
	}
	s.same("all ConfigMaps", left, append(want, "foreign", "kube-root-ca.crt")...)

	// It is killed while it takes all down.
	s.delete(s.unitID("apps"))
	p.kill()
	for range 2 {
		p := s.controller(f.kubeconfig, data)
		killed := s.killAt(f, p, 1+random.IntN(4), random.IntN(2) == 0)
		s.race(s.unitID("apps"), killed, object.Object.IsZero)
		f.obey(nil)
		p.kill()
	}
	s.controller(f.kubeconfig, data)
	s.gone(s.unitID("apps"))
	s.same("ConfigMaps", s.owned(configMaps, "apps"))
	s.same("Deployments", s.owned(deployments, "apps"))
	s.is(s.get(foreign.ID()), foreign.ResourceVersion(), "metadata", "resourceVersion")
	s.delete(s.feedID())
	s.gone(s.feedID())
}

// killAt kills the controller at its nth write, and returns a context that is done
// when that has happened.
func (s *scene) killAt(f *front, p *program, n int, after bool) context.Context {
	killed, cancel := context.WithCancel(context.Background())
	s.Cleanup(cancel)
	var mu sync.Mutex
	f.obey(func(_ http.ResponseWriter, r *http.Request) bool {
		if !changes(r) {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if n--; n > 0 || killed.Err() != nil {
			return false
		}
		if after {
			f.behind.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		}
		p.kill()
		cancel()
		panic(http.ErrAbortHandler)
	})
	return killed
}

// readyOr reports whether a unit gets ready at a revision before something else
// happens.
func (s *scene) readyOr(unit, rev string, other context.Context) bool {
	s.Helper()
	return s.race(s.unitID(unit), other, func(o object.Object) bool {
		status, _, _ := condition(o, "Ready")
		return status == "True" && text(o, "status", "lastAppliedRevision") == rev
	})
}

// race reports whether an object becomes as it should be before something else
// happens.
func (s *scene) race(id object.ID, other context.Context, ok func(object.Object) bool) bool {
	s.Helper()
	ctx, cancel := context.WithTimeout(other, patience)
	defer cancel()
	for ch, err := range s.Watch(ctx, cluster.Selection{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}) {
		switch {
		case err != nil:
		case ch.Type == cluster.Put && ok(ch.Object), ch.Type == cluster.Gone && ok(object.Object{}):
			return true
		}
	}
	if other.Err() == nil {
		s.Fatalf("%s: neither is it as it should be nor was the controller killed", id)
	}
	return false
}
