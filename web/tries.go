package web

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// What bounds logins that fail, of one address.
const (
	maxTries    = 10              // at once
	tryEvery    = 6 * time.Second // one more
	maxTryers   = 1 << 13         // addresses that are remembered
	maxSignouts = 1 << 16         // sessions that were ended and are remembered
)

// tries are the logins that failed lately or are being looked at, by where they came
// from. A proxy in front of us is one address: then all who come by it share its
// tries, and only those who are not logged in yet.
type tries struct {
	mu   sync.Mutex
	full map[netip.Prefix]time.Time // guarded by mu; when an address has all its tries again
}

// take takes a try of an address. If it has none left, take returns for how long.
func (t *tries) take(at netip.Prefix, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.full[at].Sub(now.Add((maxTries - 1) * tryEvery)); wait > 0 {
		return wait
	}
	if t.full[at].IsZero() && len(t.full) >= maxTryers {
		t.full = ended(t.full, now, maxTryers/2)
	}
	if t.full == nil {
		t.full = make(map[netip.Prefix]time.Time)
	}
	t.full[at] = later(t.full[at], now).Add(tryEvery)
	return 0
}

// giveBack gives back a try of a login that has not failed.
func (t *tries) giveBack(at netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if full, ok := t.full[at]; ok {
		t.full[at] = full.Add(-tryEvery)
	}
}

// ended returns what of some times is still to come; if that is more than most, some
// of them.
func ended[K comparable](all map[K]time.Time, now time.Time, most int) map[K]time.Time {
	rest := make(map[K]time.Time)
	for k, t := range all {
		if t.After(now) && len(rest) < most {
			rest[k] = t
		}
	}
	return rest
}

// remote returns where a request comes from: an address, or the network of one host.
func remote(r *http.Request) netip.Prefix {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	at, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	at, bits := at.Unmap().WithZone(""), 64
	if at.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(at, bits).Masked()
}

// try takes a try for a login, and refuses one from where too many have failed.
func (s *Server) try(w http.ResponseWriter, r *http.Request) bool {
	wait := s.tries.take(remote(r), s.now())
	if wait <= 0 {
		return true
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	s.askIn(w, r, http.StatusTooManyRequests, "Too many logins have failed that came from where you are. Try again in a minute, please.")
	return false
}

// signouts are the sessions that somebody has ended before their time. Other replicas
// do not know of them: there, a copy of such a session's cookie is good until it ends
// by itself, an hour after it was used last.
type signouts struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu; when a session would have ended
}

func (o *signouts) add(x session, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.until) >= maxSignouts || o.until == nil {
		o.until = ended(o.until, now, maxSignouts/2)
	}
	o.until[x.ID] = now.Add(idle) // no cookie of it lasts longer: none was renewed later than now
}

func (o *signouts) has(x session, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.until[x.ID].After(now)
}
