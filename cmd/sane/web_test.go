package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stage is a namespace on an API server, with a kubeconfig of whoever made it.
type stage struct {
	*testing.T
	kubeconfig, ns string
}

func newStage(t *testing.T) *stage {
	if testing.Short() {
		t.Skip("it starts a control plane, and -short was asked for")
	}
	kubeconfig, err := plane()
	if err != nil {
		t.Skip(err)
	}
	s := &stage{t, kubeconfig, namespaceOf(strings.ToLower(t.Name()))}
	s.must(kubectl(kubeconfig, "create", "namespace", s.ns))
	if os.Getenv("SANE_TEST_KUBECONFIG") != "" {
		t.Cleanup(func() { remove(kubeconfig, s.ns) })
	}
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// apply applies YAML, in which $NS is the namespace.
func (s *stage) apply(text string) {
	s.Helper()
	cmd := exec.Command("kubectl", "--kubeconfig", s.kubeconfig, "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, "$NS", s.ns))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("kubectl apply: %v: %s", err, out)
	}
}

// as returns a kubeconfig of a service account of the namespace.
func (s *stage) as(account string) string {
	s.Helper()
	token, err := exec.Command("kubectl", "--kubeconfig", s.kubeconfig, "create", "token", account, "-n", s.ns).Output()
	s.must(err)
	flat, err := exec.Command("kubectl", "--kubeconfig", s.kubeconfig, "config", "view", "--raw", "--flatten").Output()
	s.must(err)
	file := filepath.Join(s.TempDir(), account)
	s.must(os.WriteFile(file, flat, 0o600))
	s.must(kubectl(file, "config", "set-credentials", account, "--token="+string(token)))
	s.must(kubectl(file, "config", "set-context", "--current", "--user="+account, "--namespace="+s.ns))
	return file
}

// A process is a command of ours that goes on.
type process struct {
	*stage
	cmd  *exec.Cmd
	said *bufio.Scanner // on standard output
}

// sane starts a command.
func (s *stage) sane(args ...string) *process {
	s.Helper()
	cmd := exec.Command("sane", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	s.must(err)
	cmd.Stderr = cmd.Stdout
	s.must(startOnThread(cmd))
	p := &process{s, cmd, bufio.NewScanner(out)}
	s.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return p
}

// line returns the first line that it prints from now on that has a text in it. It
// ends a process that does not for long.
func (p *process) line(text string) string {
	p.Helper()
	defer time.AfterFunc(2*time.Minute, func() { _ = p.cmd.Process.Kill() }).Stop()
	for p.said.Scan() {
		if strings.Contains(p.said.Text(), text) {
			return p.said.Text()
		}
	}
	p.Fatalf("it ended, and did not say %q", text)
	return ""
}

// end interrupts it, and complains if that is not taken for a reason to end.
func (p *process) end() {
	p.Helper()
	p.must(p.cmd.Process.Signal(os.Interrupt))
	for p.said.Scan() {
	}
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("interrupted, it ended with %v", err)
	}
}

// A browser follows links and keeps cookies.
func (s *stage) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
}

// visit returns a page's status, address and text.
func (s *stage) visit(b *http.Client, address string) (int, string, string) {
	s.Helper()
	a, err := b.Get(address)
	s.must(err)
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	s.must(err)
	return a.StatusCode, a.Request.URL.String(), string(text)
}

// TestWeb serves pages for the kubeconfig's own user: they see what that user may
// see, and nobody comes in without the pass.
func TestWeb(t *testing.T) {
	s := newStage(t)
	other := s.ns + "-b"
	s.must(kubectl(s.kubeconfig, "create", "namespace", other))
	t.Cleanup(func() { _ = kubectl(s.kubeconfig, "delete", "namespace", other, "--wait=false") })
	s.apply(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: viewer, namespace: $NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: viewer, namespace: $NS}
rules: [{apiGroups: [kustomize.toolkit.fluxcd.io, source.toolkit.fluxcd.io], resources: ["*"], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewer, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: viewer}
subjects: [{kind: ServiceAccount, name: viewer, namespace: $NS}]
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: seen, namespace: $NS}
spec: {interval: 1h, prune: true, sourceRef: {kind: GitRepository, name: apps}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: hidden, namespace: $NS-b}
spec: {interval: 1h, prune: true, sourceRef: {kind: GitRepository, name: apps}}
`)
	p := s.sane("web", "--port", "0", "--kubeconfig", s.as("viewer"))
	address := p.line("http://127.0.0.1:")
	at, err := url.Parse(address)
	s.must(err)
	root := "http://" + at.Host + "/"

	if status, to, text := s.visit(s.browser(), root); status == http.StatusOK && !strings.Contains(to, "/login") || strings.Contains(text, "seen") {
		t.Errorf("without the pass: %d, %s:\n%s", status, to, text)
	}
	if status, _, _ := s.visit(s.browser(), root+"enter?pass=x"); status != http.StatusForbidden {
		t.Errorf("with another pass: %d", status)
	}
	b := s.browser()
	if status, to, _ := s.visit(b, address); status != http.StatusOK || to != root {
		t.Errorf("with the pass: %d, %s", status, to)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status, _, text := s.visit(b, root)
	for status == http.StatusOK && !strings.Contains(text, s.ns+"/</span>seen") && ctx.Err() == nil {
		status, _, text = s.visit(b, root) // not all may have been listed yet
	}
	if status != http.StatusOK || !strings.Contains(text, s.ns+"/</span>seen") || strings.Contains(text, "hidden</a>") {
		t.Errorf("/ says %d:\n%s", status, text)
	}
	unit := root + "unit/kustomization/"
	if status, _, _ := s.visit(b, unit+s.ns+"/seen"); status != http.StatusOK {
		t.Errorf("a unit that may be seen: %d", status)
	}
	if status, _, text := s.visit(b, unit+other+"/hidden"); status != http.StatusForbidden && status != http.StatusNotFound {
		t.Errorf("a unit that may not be seen: %d:\n%s", status, text)
	}
	p.end()
	if _, err := b.Get(root); err == nil {
		t.Error("it has ended, and still answers")
	}
}

// TestWebLogin starts the controller with pages at which people log in by OIDC, and
// is sent to the issuer.
func TestWebLogin(t *testing.T) {
	s := newStage(t)
	var issuer *httptest.Server
	issuer = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/openid-configuration" {
			fmt.Fprintf(w, "log in, %s", r.FormValue("client_id"))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": issuer.URL, "authorization_endpoint": issuer.URL + "/authorize", "token_endpoint": issuer.URL + "/token",
			"jwks_uri": issuer.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	}))
	defer issuer.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	s.must(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw}), 0o600))
	t.Setenv("SSL_CERT_FILE", ca)
	key := filepath.Join(t.TempDir(), "key")
	s.must(os.WriteFile(key, []byte(strings.Repeat("x", 31)), 0o600))
	args := []string{
		"run", "--kubeconfig", s.kubeconfig, "-n", s.ns, "--watch-all-namespaces=false", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0", "--log-encoding", "text",
		"--web-addr", "127.0.0.1:0", "--web-external-url", "http://sane.example.com", "--web-session-key-file", key,
		"--web-oidc-issuer", issuer.URL, "--web-oidc-client-id", "sane-pages",
	}
	short := s.sane(args...)
	short.line("--web-session-key-file: " + key + " is too short: want 32 random bytes or more")
	if err := short.cmd.Wait(); err == nil {
		t.Error("it started with a key that is too short")
	}
	s.must(os.WriteFile(key, []byte(strings.Repeat("x", 32)), 0o600))
	p := s.sane(args...)
	_, at, _ := strings.Cut(p.line("serving pages"), "web=")
	at, _, _ = strings.Cut(at, " ")
	b := s.browser()
	b.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	b.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "sane.example.com:80" {
			addr = at
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	status, to, text := s.visit(b, "http://sane.example.com/login/oidc")
	if u, _ := url.Parse(to); status != http.StatusOK || text != "log in, sane-pages" || u.Query().Get("redirect_uri") != "http://sane.example.com/login/callback" {
		t.Errorf("the login leads to %s, which says %d, %s", to, status, text)
	}
	p.end()
}
