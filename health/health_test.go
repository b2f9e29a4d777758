package health_test

import (
	"testing"

	"github.com/sane-gitops/sane/health"
	"github.com/sane-gitops/sane/object"
)

func TestOf(t *testing.T) {
	const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","generation":2},"spec":{"replicas":1},"status":`
	const job = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"status":`
	for _, tt := range []struct {
		name, object string
		want         health.Status
	}{
		{"nothing", "", health.Missing},
		{"ConfigMap", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}`, health.Healthy},
		{"being deleted", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","deletionTimestamp":"2026-01-01T00:00:00Z"}}`, health.Progressing},
		{"available", deployment + `{"observedGeneration":2,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,"conditions":[{"type":"Available","status":"True"}]}}`, health.Healthy},
		{"not observed yet", deployment + `{"observedGeneration":1}}`, health.Progressing},
		{"past its deadline", deployment + `{"observedGeneration":2,"conditions":[{"type":"Progressing","status":"False","reason":"ProgressDeadlineExceeded"}]}}`, health.Degraded},
		{"Job begun", job + `{"startTime":"2026-01-01T00:00:00Z","active":1}}`, health.Progressing},
		{"Job complete", job + `{"startTime":"2026-01-01T00:00:00Z","succeeded":1,"conditions":[{"type":"Complete","status":"True"}]}}`, health.Healthy},
		{"Job failed", job + `{"startTime":"2026-01-01T00:00:00Z","conditions":[{"type":"Failed","status":"True","reason":"BackoffLimitExceeded"}]}}`, health.Degraded},
		{"custom, not ready", `{"apiVersion":"a/v1","kind":"B","metadata":{"name":"x"},"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, health.Progressing},
		{"custom, stalled", `{"apiVersion":"a/v1","kind":"B","metadata":{"name":"x"},"status":{"conditions":[{"type":"Stalled","status":"True"}]}}`, health.Degraded},
		{"custom, silent", `{"apiVersion":"a/v1","kind":"B","metadata":{"name":"x"}}`, health.Healthy},
	} {
		var o object.Object
		if tt.object != "" {
			var err error
			if o, err = object.FromJSON([]byte(tt.object)); err != nil {
				t.Fatal(tt.name, err)
			}
		}
		if got := health.Of(o); got.Status != tt.want {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Status, got.Why, tt.want)
		}
	}
}

func TestWorst(t *testing.T) {
	a, b := health.Verdict{Status: health.Degraded, Why: "a"}, health.Verdict{Status: health.Degraded, Why: "b"}
	if got := health.Worst(health.Verdict{}, a, b); got != a {
		t.Errorf("got %v, want the first of the worst", got)
	}
	if got := health.Worst(); got.Status != health.Healthy {
		t.Errorf("of nothing: %v", got)
	}
}

func TestPassed(t *testing.T) {
	for _, tt := range []struct {
		object          string
		passing, passed bool
	}{
		{`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"status":{"conditions":[{"type":"Complete","status":"True"}]}}`, false, false},
		{`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"spec":{"ttlSecondsAfterFinished":0}}`, true, false},
		{`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"spec":{"ttlSecondsAfterFinished":0},"status":{"conditions":[{"type":"Failed","status":"True"}]}}`, true, false},
		{`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x","deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"ttlSecondsAfterFinished":0},"status":{"conditions":[{"type":"Complete","status":"True"}]}}`, true, true},
		{`{"apiVersion":"example.com/v1","kind":"Job","metadata":{"name":"x"},"spec":{"ttlSecondsAfterFinished":0},"status":{"conditions":[{"type":"Complete","status":"True"}]}}`, false, false},
	} {
		o, err := object.FromJSON([]byte(tt.object))
		if err != nil {
			t.Fatal(err)
		}
		if passing, passed := health.Passing(o), health.Passed(o); passing != tt.passing || passed != tt.passed {
			t.Errorf("%s: Passing = %v, Passed = %v", tt.object, passing, passed)
		}
	}
}
