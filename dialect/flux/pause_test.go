package flux_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// owned returns an entry of managedFields: a manager's fields since some minutes
// after noon.
func owned(manager string, minutes int, fields string) any {
	var f any
	if err := json.Unmarshal([]byte(fields), &f); err != nil {
		panic(err)
	}
	return map[string]any{
		"manager": manager, "operation": "Update", "fieldsV1": f,
		"time": noon.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339),
	}
}

// What is said with a suspension counts; what was said before it does not.
func TestPause(t *testing.T) {
	const (
		suspend  = `{"f:spec":{"f:suspend":{}}}`
		notes    = `{"f:metadata":{"f:annotations":{"f:sane-gitops.io/suspend-until":{},"f:sane-gitops.io/suspend-reason":{},"f:sane-gitops.io/suspended-by":{}}}}`
		both     = `{"f:metadata":{"f:annotations":{"f:sane-gitops.io/suspend-until":{},"f:sane-gitops.io/suspend-reason":{},"f:sane-gitops.io/suspended-by":{}}},"f:spec":{"f:suspend":{}}}`
		interval = `{"f:spec":{"f:interval":{}}}`
	)
	at := func(minutes int) string { return noon.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339) }
	for _, tt := range []struct {
		name    string
		suspend any
		until   string
		owners  []any
		want    string
	}{
		{"not", nil, "", nil, "going on"},
		{"not, it says", false, at(60), []any{owned("flux", 5, suspend)}, "going on by flux at 12:05"},
		{"at once", true, at(60), []any{owned("git", 0, interval), owned("sane", 5, both)}, "paused by ada at 12:05 until 13:00 release"},
		{"later", true, at(60), []any{owned("flux", 5, suspend), owned("kubectl-annotate", 10, notes)}, "paused by ada at 12:05 until 13:00 release"},
		{"left behind", true, at(60), []any{owned("sane", 0, notes), owned("flux", 5, suspend)}, "paused by flux at 12:05"},
		{"suspended again", true, at(4), []any{owned("git", 5, both)}, "paused by ada at 12:05 release"},
		{"no time", true, "tomorrow", []any{owned("git", 5, both)}, "paused by ada at 12:05 release"},
		{"by nobody known", true, at(60), nil, "paused by ada until 13:00 release"},
	} {
		o := object.Of(map[string]any{
			"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
			"metadata": map[string]any{"namespace": "apps", "name": "web", "managedFields": tt.owners, "annotations": map[string]any{
				"sane-gitops.io/suspend-until": tt.until, "sane-gitops.io/suspend-reason": "release", "sane-gitops.io/suspended-by": "ada",
			}},
			"spec": map[string]any{"suspend": tt.suspend},
		})
		if got := said(flux.New(flux.Config{}).Pause(o)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func said(p dialect.Pause) string {
	s := "going on"
	if p.On {
		s = "paused"
	}
	if p.By != "" {
		s += " by " + p.By
	}
	if !p.Since.IsZero() {
		s += " at " + p.Since.Format("15:04")
	}
	if !p.Until.IsZero() {
		s += " until " + p.Until.Format("15:04")
	}
	if p.Why != "" {
		s += " " + p.Why
	}
	return s
}

// What a patch says is read back, and nothing of it is left at the end.
func TestSetPause(t *testing.T) {
	speaks := flux.New(flux.Config{})
	c := memory.New(memory.Kinds("source.toolkit.fluxcd.io/v1", "Bucket")...)
	o := object.Of(map[string]any{
		"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "Bucket", "metadata": map[string]any{"name": "b", "namespace": "default"},
		"spec": map[string]any{"interval": "1m"},
	})
	_, err := c.Create(t.Context(), o, cluster.How{Manager: "test"})
	must(t, err)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, tt := range []struct {
		set  dialect.Pause
		want string
	}{
		{dialect.Pause{On: true, By: "ada", Why: "release", Until: until}, "paused by ada until " + until.Format("15:04") + " release 3"},
		{dialect.Pause{On: true}, "paused by sane 0"},
		{dialect.Pause{On: true, Why: "release"}, "paused by sane release 1"},
		{dialect.Pause{}, "going on by sane 0"},
	} {
		data, err := json.Marshal(speaks.SetPause(tt.set))
		must(t, err)
		got, err := c.Patch(t.Context(), o.ID(), cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: "sane"})
		must(t, err)
		p := speaks.Pause(got)
		p.Since = time.Time{}
		if got := fmt.Sprint(said(p), " ", len(got.Annotations())); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.set, got, tt.want)
		}
	}
}
