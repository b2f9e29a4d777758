package scenario

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A front stands before an API server: it counts what comes in, and may answer
// itself.
type front struct {
	kubeconfig string // that leads here
	server     *httptest.Server
	behind     http.Handler

	mu     sync.Mutex
	writes []string  // guarded by mu; those that may change something
	dry    int       // guarded by mu; those that may not
	rule   frontRule // guarded by mu
}

// A frontRule sees each request first, and reports whether it has answered it.
type frontRule func(w http.ResponseWriter, r *http.Request) bool

// stand puts a front before a stage.
func stand(t *testing.T, on *stage) *front {
	t.Helper()
	at, transport, err := road(on)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	f.behind = &httputil.ReverseProxy{
		FlushInterval: -1, Transport: transport,
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(at) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	f.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}], clusters: [{name: c, cluster: {server: %q}}]}`, f.server.URL)
	if err := os.WriteFile(f.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// road returns the address of a stage's API server, and how to get there.
func road(on *stage) (*url.URL, *http.Transport, error) {
	out, err := on.kubectl("config", "view", "--raw", "--minify", "-o", "json")
	if err != nil {
		return nil, nil, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &config); err != nil {
		return nil, nil, err
	}
	if len(config.Clusters) != 1 || len(config.Users) != 1 {
		return nil, nil, fmt.Errorf("%s: want one cluster and one user", on.kubeconfig)
	}
	cert, err := tls.X509KeyPair(config.Users[0].User.Cert, config.Users[0].User.Key)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Clusters[0].Cluster.CA)
	at, err := url.Parse(config.Clusters[0].Cluster.Server)
	return at, &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}, err
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	switch {
	case !changes(r):
	case r.URL.Query().Get("dryRun") != "":
		f.dry++
	default:
		f.writes = append(f.writes, r.Method+" "+r.URL.Path)
	}
	rule := f.rule
	f.mu.Unlock()
	if rule != nil && rule(w, r) {
		return
	}
	f.behind.ServeHTTP(w, r)
}

func changes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// obey has all requests seen by a rule first; nil means none.
func (f *front) obey(rule frontRule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule = rule
}

// count returns the requests since it was last called.
func (f *front) count() (writes []string, dry int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	writes, dry = f.writes, f.dry
	f.writes, f.dry = nil, 0
	return writes, dry
}

// refuse answers as an API server does that can't.
func refuse(w http.ResponseWriter, code int, reason string) {
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"the scenario says %d"}`, reason, code, code)
}

// metric returns the value of one of a controller's metrics, or "".
func (p *program) metric(name string) string {
	r, err := http.Get("http://" + p.address("metrics") + "/metrics")
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	data, _ := io.ReadAll(r.Body)
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// address returns where a controller serves something, or "" if it does not yet.
func (p *program) address(of string) string {
	told := p.says(`"` + of + `":"`)
	if len(told) == 0 {
		return ""
	}
	var line map[string]any
	_ = json.Unmarshal([]byte(told[len(told)-1]), &line)
	at, _ := line[of].(string)
	return at
}
