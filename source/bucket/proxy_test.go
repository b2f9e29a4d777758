package bucket

import (
	"net/http"
	"net/url"
	"testing"
)

// TestOwnCredentialsByProxy holds that a proxy that others chose does not see
// where our own credentials come from.
func TestOwnCredentialsByProxy(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "proxy.example:3128"}
	by := uneavesdropped(http.ProxyURL(proxy))
	for at, want := range map[string]*url.URL{
		"http://169.254.170.23/v1/credentials": nil,
		"https://sts.amazonaws.com":            proxy,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := by(r); got != want || err != nil {
			t.Errorf("to %s by %v, %v; want %v", at, got, err, want)
		}
	}
}
