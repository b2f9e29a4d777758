package cli

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// The URLs of artifacts begin with an address that others can reach.
func TestOfferBase(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ addr, adv, listening, want string }{
		{":9090", "", "[::]:9090", "http://" + host + ":9090"},
		{"0.0.0.0:0", "", "0.0.0.0:4711", "http://" + host + ":4711"},
		{"127.0.0.1:0", "", "127.0.0.1:4711", "http://127.0.0.1:4711"},
		{"[::1]:9090", "", "[::1]:9090", "http://[::1]:9090"},
		{":9090", "sane.gitops.svc.cluster.local.", "[::]:9090", "http://sane.gitops.svc.cluster.local."},
		{":9090", "", "", ""},
	} {
		o := &offer{addr: tt.addr, advAddr: tt.adv}
		if got, err := o.base(tt.listening); got != tt.want || err != nil {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
	if _, err := (&offer{addr: "nonsense"}).base("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "--storage-addr nonsense") {
		t.Errorf("nonsense: %v", err)
	}
}

func TestOfferCheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		with func(*offer)
		want string // in the error; "" is none
	}{
		{"usual", func(*offer) {}, ""},
		{"no time", func(o *offer) { o.ttl = 0 }, "--artifact-retention-ttl"},
		{"no records", func(o *offer) { o.records = 0 }, "--artifact-retention-records"},
		{"no address", func(o *offer) { o.wanted, o.addr = true, "0" }, "--storage-addr"},
		{"no address, and none is wanted", func(o *offer) { o.addr = "" }, ""},
	} {
		o := &offer{addr: ":9090", ttl: time.Minute, records: 2}
		tt.with(o)
		if err := o.check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Who waits to lead has no artifacts yet.
func TestOfferWaits(t *testing.T) {
	w := httptest.NewRecorder()
	new(offer).ServeHTTP(w, httptest.NewRequest("GET", "/gitrepository/a/b/c.tar.gz", nil))
	if w.Code != 503 {
		t.Errorf("it answers %d", w.Code)
	}
}
