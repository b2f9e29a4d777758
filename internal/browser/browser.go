// Package browser drives a headless Chromium, for tests of pages.
package browser

import (
	"context"
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// A Browser is a Chromium of a test's own.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// names are what Chromium is called.
var names = []string{"chromium", "chromium-browser", "google-chrome"}

// Start starts a browser that ends with the test. Without one the test is skipped.
func Start(t testing.TB) *Browser {
	t.Helper()
	program := ""
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		t.Skipf("no browser: none of %s is installed", strings.Join(names, ", "))
	}
	for try := 1; ; try++ {
		b, err := launch(t, program)
		if err == nil {
			return b
		}
		if try == 3 {
			t.Fatalf("start %s: %v", program, err)
		}
		t.Logf("start %s: %v", program, err) // on a machine that has much else to do it ends at its beginning at times
	}
}

// launch starts a program that ends with the test.
func launch(t testing.TB, program string) (*Browser, error) {
	dir, err := os.MkdirTemp("", "browser-")
	if err != nil {
		return nil, err
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", false),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocated, free := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // it waits until the browser is gone
		cancel()
		free()
		_ = os.RemoveAll(dir)
	})
	if err := chromedp.Run(ctx); err != nil {
		return nil, err
	}
	return &Browser{t, ctx}, nil
}

// A Tab is a page in a window of its own, which shares no cookies with others.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	troubles []string // guarded by mu
	excused  []string // guarded by mu
}

// Tab opens an empty page of a size, as somebody sees it who prefers a "light" or
// a "dark" one. When the test is over, it fails if anything went wrong in the page:
// an error on its console, a violation of its policy, a request that leaves
// loopback.
func (b *Browser) Tab(t testing.TB, width, height int64, prefers string) *Tab {
	t.Helper()
	id, err := b.window()
	if err != nil {
		t.Fatalf("open a window: %v", err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
	tab := &Tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, tab.hear)
	err = chromedp.Run(ctx, network.Enable(), log.Enable(), runtime.Enable(),
		emulation.SetDeviceMetricsOverride(width, height, 1, false), preferring(prefers),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(watchShifts).Do(ctx)
			return err
		}))
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		for _, s := range tab.Troubles() {
			t.Errorf("in the page: %s", s)
		}
		cancel()
	})
	return tab
}

// preferring has a page shown to somebody who prefers a "light" or a "dark" one.
func preferring(theme string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}})
}

// Prefer has whoever sees the page prefer a "light" or a "dark" one from now on.
func (tab *Tab) Prefer(theme string) {
	tab.t.Helper()
	tab.Do(preferring(theme))
}

// window opens a window that shares nothing with others.
func (b *Browser) window() (id target.ID, err error) {
	ctx := cdp.WithExecutor(b.ctx, chromedp.FromContext(b.ctx).Browser)
	own, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(ctx)
	if err != nil {
		return "", err
	}
	return target.CreateTarget("about:blank").WithBrowserContextID(own).WithNewWindow(true).Do(ctx)
}

// watchShifts sums up by how much what is shown was moved without anybody
// having asked for it.
const watchShifts = `window.shifted = 0; window.shifts = [];
new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) {
  window.shifted += e.value;
  for (const s of e.sources) window.shifts.push(s.node && (s.node.id || s.node.className || s.node.nodeName));
} }).observe({ type: "layout-shift", buffered: true });`

// hear notes what goes wrong.
func (tab *Tab) hear(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		tab.note("exception: " + ev.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.APITypeError || ev.Type == runtime.APITypeWarning || ev.Type == runtime.APITypeAssert {
			var words []string
			for _, a := range ev.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			tab.note("console: " + strings.Join(words, " "))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.LevelError || ev.Entry.Level == log.LevelWarning {
			tab.note(fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(ev.Request.URL); err != nil || !here(u) {
			tab.note("a request leaves loopback: " + ev.Request.URL)
		}
	}
}

func here(u *url.URL) bool {
	switch u.Scheme {
	case "data", "blob", "about":
		return true
	}
	return u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost"
}

func (tab *Tab) note(trouble string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.troubles = append(tab.troubles, trouble)
}

// Excuse has no trouble count that has text in it: the test brings it about.
func (tab *Tab) Excuse(text string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.excused = append(tab.excused, text)
}

// Troubles returns what went wrong in the page.
func (tab *Tab) Troubles() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(tab.troubles), func(s string) bool {
		return slices.ContainsFunc(tab.excused, func(x string) bool { return strings.Contains(s, x) })
	})
}

// long is how long anything may take on a machine that has much else to do.
const long = time.Minute

// Do does something in the page.
func (tab *Tab) Do(actions ...chromedp.Action) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, long)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		tab.t.Fatalf("in the browser: %v\n%s\n%s", err, strings.Join(tab.Troubles(), "\n"), tab.sight())
	}
}

// Open goes to an address.
func (tab *Tab) Open(address string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate(address))
}

// Click clicks on what sel selects, and Fill puts text into it in place of what is
// there.
func (tab *Tab) Click(sel string) {
	tab.t.Helper()
	tab.Do(chromedp.Click(sel, chromedp.ByQuery))
}

func (tab *Tab) Fill(sel, text string) {
	tab.t.Helper()
	tab.Do(chromedp.Focus(sel, chromedp.ByQuery), chromedp.Evaluate("document.activeElement.select()", nil), input.InsertText(text))
}

// Press types keys where the focus is.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(keys))
}

// gone are what Chromium says if the page in which it was to look has given way to
// the next one at that moment.
var gone = regexp.MustCompile(`Cannot find context with specified id|Inspected target navigated or closed|Execution context was destroyed`)

// Until waits until an expression of the page's is true.
func (tab *Tab) Until(expr string) {
	tab.t.Helper()
	tab.Do(chromedp.ActionFunc(func(ctx context.Context) error {
		for {
			err := chromedp.Poll(expr, nil, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(long)).Do(ctx)
			if err == nil || ctx.Err() != nil || !gone.MatchString(err.Error()) {
				return err
			}
		}
	}))
}

// UntilText waits until the page shows a text.
func (tab *Tab) UntilText(text string) {
	tab.t.Helper()
	tab.Until(fmt.Sprintf("document.body && document.body.innerText.includes(%q)", text))
}

// Eval returns what an expression of the page's means, as JSON has it.
func Eval[T any](tab *Tab, expr string) T {
	tab.t.Helper()
	var v T
	tab.Do(chromedp.Evaluate(expr, &v))
	return v
}

// Text returns what the page shows, as text.
func (tab *Tab) Text() string {
	tab.t.Helper()
	return Eval[string](tab, "document.body.innerText")
}

// sight returns what the page shows, for a test that has failed.
func (tab *Tab) sight() string {
	ctx, cancel := context.WithTimeout(tab.ctx, 5*time.Second)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Evaluate("location.href + '\\n' + document.body?.innerText", &text)); err != nil {
		return err.Error()
	}
	return text
}

// Shot writes what is to be seen to NAME.png in the directory that the environment
// variable SHOTS names. Without one it does nothing.
func (tab *Tab) Shot(name string) {
	tab.t.Helper()
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	file := filepath.Join(dir, name+".png")
	var png []byte
	tab.Do(chromedp.CaptureScreenshot(&png))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o666); err != nil {
		tab.t.Fatal(err)
	}
}

//go:embed audit.js
var auditScript string

// Audit fails the test for what keeps people from using the page: controls
// without a name, text that is hard to read, a page that is wider than its
// window, more than one heading of the page, ids that are there twice.
func (tab *Tab) Audit() {
	tab.t.Helper()
	for _, s := range Eval[[]string](tab, auditScript) {
		tab.t.Errorf("%s: %s", Eval[string](tab, "location.pathname + location.search"), s)
	}
}

// Steady fails the test if anything that is shown was moved.
func (tab *Tab) Steady() {
	tab.t.Helper()
	if by := Eval[float64](tab, "window.shifted"); by > 0.01 {
		tab.t.Errorf("the layout has shifted by %.4f: %v", by, Eval[[]any](tab, "window.shifts"))
	}
}

// Hide has the page believe that nobody sees it, and Show that somebody does.
func (tab *Tab) Hide() {
	tab.t.Helper()
	tab.visible("hidden")
}

func (tab *Tab) Show() {
	tab.t.Helper()
	tab.visible("visible")
}

func (tab *Tab) visible(how string) {
	tab.t.Helper()
	Eval[bool](tab, fmt.Sprintf(`Object.defineProperty(document, "hidden", { configurable: true, get: () => %v }), document.dispatchEvent(new Event("visibilitychange"))`, how == "hidden"))
}

// Clear forgets all cookies, as if they had run out.
func (tab *Tab) Clear() {
	tab.t.Helper()
	tab.Do(network.ClearBrowserCookies())
}
