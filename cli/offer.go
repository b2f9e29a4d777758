package cli

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/sane-gitops/sane/engine"
)

// A Shelf is where others get what feeds hold, over HTTP.
type Shelf interface {
	engine.Publisher
	http.Handler
	Close() error
}

// An offer is how a daemon lets others have what its feeds hold.
type offer struct {
	wanted  bool
	addr    string
	advAddr string // as others reach addr; "" means by the name of this host
	dir     string // "" means below the data directory
	ttl     time.Duration
	records int

	shelf atomic.Pointer[Shelf] // nil while another process leads
}

func (o *offer) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.wanted, "serve-artifacts", false, "serve tarballs of what sources hold, as Flux's source-controller does")
	f.StringVar(&o.addr, "storage-addr", cmp.Or(os.Getenv("STORAGE_ADDR"), ":9090"), "`ADDRESS` to serve artifacts at ($STORAGE_ADDR)")
	f.StringVar(&o.advAddr, "storage-adv-addr", os.Getenv("STORAGE_ADV_ADDR"), "`ADDRESS` by which others reach that ($STORAGE_ADV_ADDR; default this host's name)")
	f.StringVar(&o.dir, "storage-path", os.Getenv("STORAGE_PATH"), "`DIR` for artifacts ($STORAGE_PATH; default in --data-dir)")
	f.DurationVar(&o.ttl, "artifact-retention-ttl", time.Minute, "how long an artifact is kept after the next one")
	f.IntVar(&o.records, "artifact-retention-records", 2, "how many artifacts of a source are kept")
}

// check complains about flags that can't be obeyed.
func (o *offer) check() error {
	switch {
	case o.ttl <= 0:
		return fmt.Errorf("--artifact-retention-ttl %s: want a time longer than nothing", o.ttl)
	case o.records < 1:
		return fmt.Errorf("--artifact-retention-records %d: want 1 or more", o.records)
	case o.wanted && (o.addr == "" || o.addr == "0"):
		return fmt.Errorf("--serve-artifacts needs an address: set --storage-addr")
	}
	return nil
}

// address returns where artifacts are served; "" is nowhere.
func (o *offer) address() string {
	if !o.wanted {
		return ""
	}
	return o.addr
}

// base returns what the URLs of artifacts begin with, or "" if there are none.
func (o *offer) base(listening string) (string, error) {
	if listening == "" {
		return "", nil
	}
	if o.advAddr != "" {
		return "http://" + o.advAddr, nil
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return "", fmt.Errorf("--storage-addr %s: %w", o.addr, err)
	}
	_, port, err := net.SplitHostPort(listening)
	if err != nil {
		return "", fmt.Errorf("--storage-addr %s: %w", o.addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("find this host's name: %w; set --storage-adv-addr", err)
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// openShelf returns the shelf that the flags ask for, or nil, and what ends its
// use.
func (r *daemon) openShelf() (Shelf, func() error, error) {
	if !r.offer.wanted {
		return nil, func() error { return nil }, nil
	}
	s, err := r.Offer(Offering{
		Dir: cmp.Or(r.offer.dir, filepath.Join(r.dir, "artifacts")), TTL: r.offer.ttl, Records: r.offer.records, Log: r.log,
	})
	if err != nil {
		return nil, nil, err
	}
	r.offer.shelf.Store(&s)
	return s, func() error {
		r.offer.shelf.Store(nil)
		return s.Close()
	}, nil
}

// ServeHTTP serves artifacts while this process leads.
func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := o.shelf.Load(); s != nil {
		(*s).ServeHTTP(w, r)
		return
	}
	http.Error(w, "this replica does not lead", http.StatusServiceUnavailable)
}
