package flux_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// eventAbout returns an Event about a Kustomization, or as more has it.
func eventAbout(reason, message string, more ...any) object.Object {
	o := object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{
			"namespace": "apps", "name": "web.1", "annotations": map[string]any{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:1"},
		},
		"involvedObject": map[string]any{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "namespace": "apps", "name": "web"},
		"type":           "Normal", "reason": reason, "message": message, "firstTimestamp": "2026-09-01T12:00:00Z",
	})
	for i := 0; i < len(more); i += 2 {
		o = o.With(more[i+1], strings.Split(more[i].(string), ".")...)
	}
	return o
}

// What an Event tells is read from its words.
func TestRecountEvent(t *testing.T) {
	const hostile = "<script>alert(1)</script>\x00\xff"
	for _, tt := range []struct {
		name string
		o    object.Object
		want string
	}{
		{"changes", eventAbout("Progressing", "Deployment/apps/web configured\nNamespace/apps created"),
			"12:00 Kustomization apps/web applied info main@sha1:1 Deployment/apps/web configured Namespace/apps created"},
		{"deletions", eventAbout("Progressing", "Deployment/apps/web deleted"), "12:00 Kustomization apps/web pruned info main@sha1:1 Deployment/apps/web deleted"},
		{"progress", eventAbout("Progressing", "Health check passed"), ""},
		{"other progress", eventAbout("Progressing", "a/b/c/d created\n/ created\nDeployment/apps/web is configured\nconfigured"), ""},
		{"ready", eventAbout("ReconciliationSucceeded", "Reconciliation finished"), "12:00 Kustomization apps/web ready info main@sha1:1"},
		{"failed", eventAbout("BuildFailed", hostile, "type", "Warning"), "12:00 Kustomization apps/web failed error main@sha1:1"},
		{"held", eventAbout("DeletionHeld", "x", "type", "Warning"), "12:00 Kustomization apps/web held error main@sha1:1"},
		{"waiting", eventAbout("DependencyNotReady", "x"), "12:00 Kustomization apps/web waiting info main@sha1:1"},
		{"conflict", eventAbout("FieldManagerConflict", "x", "type", "Warning"), "12:00 Kustomization apps/web conflict error main@sha1:1"},
		{"resumed", eventAbout("Resumed", "x"), "12:00 Kustomization apps/web resumed info main@sha1:1"},
		{"another's", eventAbout("Whatever", "x"), ""},
		{"a source", eventAbout("NewArtifact", "x", "involvedObject.apiVersion", "source.toolkit.fluxcd.io/v1", "involvedObject.kind", "GitRepository"),
			"12:00 GitRepository apps/web revision info"},
		{"no source of ours", eventAbout("NewArtifact", "x", "involvedObject.apiVersion", "source.example.com/v1", "involvedObject.kind", "GitRepository"), ""},
		{"of a pod", eventAbout("Failed", "x", "involvedObject.apiVersion", "v1", "involvedObject.kind", "Pod"), ""},
		{"about nothing", eventAbout("Failed", "x", "involvedObject", "nonsense"), ""},
		{"no first time", eventAbout("Resumed", "x", "firstTimestamp", nil, "eventTime", "2026-09-01T13:00:00.5Z"), "13:00 Kustomization apps/web resumed info main@sha1:1"},
		{"no time", eventAbout("Resumed", "x", "firstTimestamp", "yesterday"), "00:00 Kustomization apps/web resumed info main@sha1:1"},
		{"odd fields", eventAbout("Progressing", "x", "message", int64(5), "metadata.annotations", "none"), ""},
	} {
		if got := recounted(flux.New(flux.Config{}).Recount(tt.o)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	long := flux.New(flux.Config{}).Recount(eventAbout("BuildFailed", strings.Repeat("é", 1<<20), "type", "Warning"))
	if n := len(long[0].Message); n > 20_000 {
		t.Errorf("%d bytes of a message", n)
	}
}

// recounted returns what events tell, a line for each.
func recounted(all []report.Event) string {
	var lines []string
	for _, e := range all {
		line := fmt.Sprintf("%s %s %s/%s %s %s %s", e.At.Format("15:04"), e.About.Kind, e.About.Namespace, e.About.Name, e.Facts.Kind, e.Severity, e.Facts.Revision)
		for _, c := range e.Facts.Changes {
			line += fmt.Sprintf(" %s %s", c.ID, c.Done)
		}
		if e.Facts.Who != "" {
			line += " by " + e.Facts.Who
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// What a resource tells is in its history, and in that it is left alone.
func TestRecountHistory(t *testing.T) {
	entry := func(first, last, status, revision string) any {
		return map[string]any{"firstReconciled": first, "lastReconciled": last, "lastReconciledStatus": status, "metadata": map[string]any{"revision": revision}}
	}
	o := object.Of(map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"namespace": "apps", "name": "web", "managedFields": []any{owned("flux", 30, `{"f:spec":{"f:suspend":{}}}`)}},
		"spec":     map[string]any{"suspend": true},
		"status": map[string]any{"history": []any{
			entry("2026-09-01T11:00:00Z", "2026-09-01T11:30:00Z", "DeletionHeld", "main@sha1:4"),
			entry("2026-09-01T10:00:00Z", "2026-09-01T10:30:00Z", "BuildFailed", "main@sha1:3"),
			entry("2026-09-01T09:00:00Z", "2026-09-01T09:30:00Z", "ReconciliationSucceeded", "main@sha1:2"),
			entry("never", "", "ReconciliationSucceeded", "main@sha1:1"), "nonsense", nil,
		}},
	})
	want := `09:00 Kustomization apps/web ready info main@sha1:2
10:30 Kustomization apps/web failed error main@sha1:3
11:30 Kustomization apps/web held error main@sha1:4
12:30 Kustomization apps/web suspended trace  by flux`
	if got := recounted(flux.New(flux.Config{}).Recount(o)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := recounted(flux.New(flux.Config{}).Recount(o.With("nonsense", "status", "history").With(nil, "spec"))); got != "" {
		t.Error(got)
	}
	if got := flux.New(flux.Config{}).Recount(object.Of(map[string]any{"apiVersion": "v1", "kind": "Pod"})); got != nil {
		t.Error(got)
	}
}

// Who approves is whoever wrote it, or in whose name it was written then.
func TestTellApproval(t *testing.T) {
	const approve, by = `{"f:metadata":{"f:annotations":{"f:sane-gitops.io/approve":{}}}}`, `{"f:metadata":{"f:annotations":{"f:sane-gitops.io/approved-by":{}}}}`
	const both = `{"f:metadata":{"f:annotations":{"f:sane-gitops.io/approve":{},"f:sane-gitops.io/approved-by":{}}}}`
	for _, tt := range []struct {
		name   string
		owners []any
		want   string
	}{
		{"in somebody's name", []any{owned("sane", 5, both)}, "12:05 Kustomization apps/web approved trace  by ada"},
		{"by themselves", []any{owned("sane", 5, by), owned("kubectl-annotate", 10, approve)}, "12:10 Kustomization apps/web approved trace  by kubectl-annotate"},
		{"said later", []any{owned("sane", 5, approve), owned("flux", 10, by)}, "12:05 Kustomization apps/web approved trace  by ada"},
		{"by nobody known", nil, "12:30 Kustomization apps/web approved trace  by ada"},
	} {
		o := object.Of(map[string]any{
			"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
			"metadata": map[string]any{"namespace": "apps", "name": "web", "managedFields": tt.owners, "annotations": map[string]any{
				"sane-gitops.io/approve": "sha256:1", "sane-gitops.io/approved-by": "ada",
			}},
		})
		if got := recounted(flux.New(flux.Config{}).TellApproval(o, noon.Add(30*time.Minute))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
