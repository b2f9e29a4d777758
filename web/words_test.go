package web

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"":              "",
		"ada@localhost": "ada@localhost",
		"git: https://ada:s3cret@example.com/x: no":             "git: https://example.com/x: no",
		"HTTPS://t0ken@example.com":                             "HTTPS://example.com",
		`Get "https://example.com/x?token=s3cret": refused`:     `Get "https://example.com/x?…": refused`,
		"https://s3.example.com/b?X-Amz-Signature=abc and more": "https://s3.example.com/b?… and more",
		"ssh://git@example.com/x and ssh://git:pw@example.com":  "ssh://git@example.com/x and ssh://git@example.com",
		"two: https://a:b@x/ https://c@y/":                      "two: https://x/ https://y/",
		"what? https://example.com/a@b is a path":               "what? https://example.com/a@b is a path",
		"<img src=https://u:p@x>":                               "<img src=https://x>",
	} {
		if got := plainText(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// What comes from outside with a password in it is shown without, wherever it is.
func TestPlainPages(t *testing.T) {
	const secret = "s3cret"
	const said = "clone https://ada:" + secret + "@example.com/x?token=" + secret + ": denied"
	st := past(t, true)
	st.story()
	b := st.insider()
	conditions := func(reason string) map[string]any {
		return map[string]any{"conditions": []any{says("Ready", "False", reason, said)}}
	}
	st.world.SetStatus(webID, conditions("BuildFailed"))
	st.world.SetStatus(appsID, conditions("GitOperationFailed"))
	st.befalls(20, webID, report.Facts{Kind: report.Failed}, said)
	for _, about := range []object.ID{webID, appsID, deployID} {
		o, _, err := st.world.Get(t.Context(), about)
		if err != nil {
			t.Fatal(err)
		}
		st.apply(map[string]any{
			"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"namespace": "shop", "name": "said-of-" + strings.ToLower(about.Kind.Name)},
			"involvedObject": map[string]any{"kind": about.Kind.Name, "namespace": "shop", "name": about.Name, "uid": o.UID()},
			"type":           "Warning", "reason": "Because", "message": said, "lastTimestamp": "2026-01-02T03:00:00Z", "count": int64(1),
		})
	}
	for path, want := range map[string]string{
		"/": "clone https://example.com/x?… denied", "/sources": "clone https://example.com/x?… denied", webUnit: "clone https://example.com/x?… denied",
		appsSource: "clone https://example.com/x?… denied", "/timeline": "clone https://example.com/x?… denied", "/object/Deployment.apps/shop/web": "clone https://example.com/x?… denied",
	} {
		for !b.shows(path, want) {
			if t.Context().Err() != nil {
				t.Fatal(path)
			}
		}
		b.get(path).has(t, want, "!"+secret)
	}
	st.world.Fail(func(op string, id object.ID) error {
		if op == "list" || op == "get" && id == deployID {
			return errors.New(said)
		}
		return nil
	})
	for _, path := range []string{webUnit, appsSource, "/object/Deployment.apps/shop/web", "/object/Deployment.apps/shop/web/logs", webUnit + "/plan", appsSource + "/log", "/object/Secret/shop/key/origin"} {
		b.get(path).has(t, "!"+secret)
	}
	st.world.Fail(func(string, object.ID) error { return fmt.Errorf("%w: %s", cluster.ErrUnavailable, said) })
	for _, path := range []string{webUnit, appsSource, "/object/Secret/shop/key", "/", "/timeline"} {
		b.get(path).has(t, "!"+secret)
	}
}

// Lists that a page is made of and that are not as they are now are said to be so.
func TestOldLists(t *testing.T) {
	st := past(t, true)
	next := unitBody("shop", "next", "apps", says("Ready", "True", "ReconciliationSucceeded", "Applied"))
	next["spec"].(map[string]any)["dependsOn"] = []any{map[string]any{"name": "web"}}
	st.apply(next)
	b := st.insider()
	b.get(webUnit).has(t, "After it come", "/shop/next", "!not as it is now")
	b.get(appsSource).has(t, "/shop/next", "!not as it is now")
	st.world.Fail(func(op string, _ object.ID) error {
		if op == "watch" {
			return fmt.Errorf("%w: gone fishing", cluster.ErrUnavailable)
		}
		return nil
	})
	st.world.Lose()
	for _, path := range []string{webUnit, appsSource, "/timeline", "/", "/sources"} {
		for !b.shows(path, "gone fishing") {
			if t.Context().Err() != nil {
				t.Fatal(path)
			}
		}
		b.get(path).has(t, "Kustomization: not as it is now")
	}
	b.get(webUnit).has(t, "/shop/next")
	b.get(appsSource).has(t, "/shop/next")
}

// shows reports whether a page has a text in it.
func (b *caller) shows(path, text string) bool { return strings.Contains(b.get(path).body, text) }
