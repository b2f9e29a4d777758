package kube

import (
	"bufio"
	"errors"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// TestLogs reads logs of canned pods: no kubelet runs where the others are tested.
func TestLogs(t *testing.T) {
	const of = "/api/v1/namespaces/apps/pods/"
	s, c := start(t, map[string][]answer{
		"/api": {{header: fair, body: `{"kind":"APIGroupDiscoveryList","items":[{"versions":[{"version":"v1","resources":[
			{"resource":"pods","scope":"Namespaced","responseKind":{"kind":"Pod"}}]}]}]}`}},
		of + "web/log":  {{body: "one\ntwo\n", hang: true}},
		of + "lost/log": {{code: 500, body: `{"kind":"Status","status":"Failure","reason":"InternalError","code":500,"message":"dial tcp 10.0.0.1:10250: connection refused"}`}},
	})
	pod := object.ID{Kind: object.Kind{Name: "Pod"}, Namespace: "apps", Name: "web"}
	log, err := c.Logs(t.Context(), pod, cluster.LogOptions{
		Container: "main", Follow: true, Tail: 2, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Limit: 9, Previous: true, Timestamps: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for _, want := range []string{"one", "two"} {
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("%q, want %q (%v)", lines.Text(), want, lines.Err())
		}
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	got := s.asked[len(s.asked)-1].URL.RawQuery
	s.mu.Unlock()
	const want = "container=main&follow=true&limitBytes=9&previous=true&sinceTime=2026-01-02T03%3A04%3A05Z&tailLines=2&timestamps=true"
	if got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	pod.Name = "lost"
	_, err = c.Logs(t.Context(), pod, cluster.LogOptions{})
	if want := "read log of Pod/apps/lost: its node does not give it: dial tcp 10.0.0.1:10250: connection refused"; !errors.Is(err, cluster.ErrUnavailable) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
