package web

import (
	"context"
	"errors"
	"fmt"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

func TestPlainText(t *testing.T) {
	const sum = "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
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
		"https://ada:p@ss@example.com/x: no":                    "https://example.com/x: no",
		"https://ada:p'ss@example.com/x":                        "https://example.com/x",
		"https://ada:p/s@s@example.com/x":                       "https://example.com/x",
		"ssh://git:p@w/'@example.com/x":                         "ssh://git@example.com/x",
		"https://localhost:5000/a?b@c/x":                        "https://c/x", // it may be a password
		"oci://localhost:5000/x" + sum + ": no":                 "oci://localhost:5000/x" + sum + ": no",
		"oci://u:p@localhost:5000/x" + sum:                      "oci://localhost:5000/x" + sum,
		"https://example.com/x main" + sum:                      "https://example.com/x main" + sum,
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
		b.until(path, want)
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
		b.until(path, "gone fishing")
		b.get(path).has(t, "Kustomization: not as it is now")
	}
	b.get(webUnit).has(t, "/shop/next")
	b.get(appsSource).has(t, "/shop/next")
	// Who looks at them is told when they are as they are now.
	pages := []string{"/timeline", webUnit, appsSource}
	lines := make(map[string]*stream)
	for _, path := range pages {
		_, live, _ := strings.Cut(b.get(path).body, `data-live="`)
		live, _, _ = strings.Cut(live, `"`)
		lines[path] = b.stream(html.UnescapeString(live))
	}
	st.world.Fail(nil)
	for _, path := range pages {
		for strings.Contains(b.get(path).body, "gone fishing") {
			if lines[path].event() == "" {
				t.Fatalf("who looks at %s is not told that it is as it is now", path)
			}
		}
	}
}

// until opens a page again and again until it has a text in it.
func (b *caller) until(path, text string) {
	b.st.t.Helper()
	ctx, cancel := context.WithTimeout(b.st.t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(b.get(path).body, text) {
		if ctx.Err() != nil {
			b.st.t.Fatalf("%s does not come to say %q", path, text)
		}
	}
}
