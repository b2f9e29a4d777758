package ask

import (
	"reflect"
	"testing"
	"time"

	"github.com/sane-gitops/sane/object"
)

func TestHistory(t *testing.T) {
	o, err := object.FromJSON([]byte(`{"status":{"history":[
		{"digest":"sha256:2","firstReconciled":"2026-01-02T03:00:00Z","lastReconciled":"2026-01-02T03:04:05Z","lastReconciledDuration":"1.5s",
		 "lastReconciledStatus":"ReconciliationSucceeded","totalReconciliations":3,"metadata":{"revision":"main@sha1:2","originRevision":"v2"}},
		{"lastReconciledStatus":"HealthCheckFailed","lastReconciledDuration":"soon","metadata":1}, "odd"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Attempt{
		{
			Revision: "main@sha1:2", Origin: "v2", Digest: "sha256:2", Result: "ReconciliationSucceeded", Well: true,
			First: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), Last: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 1500 * time.Millisecond, Times: 3,
		},
		{Result: "HealthCheckFailed"},
		{},
	}
	if got := History(o); !reflect.DeepEqual(got, want) {
		t.Errorf("history is %+v, want %+v", got, want)
	}
	if got := History(object.Object{}); got != nil {
		t.Errorf("nothing has the history %+v", got)
	}
}
