package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// listQuickly lists the refs at p as lsRemote does, by Git's protocol version 2 over
// HTTP (gitprotocol-v2(5)), and reports whether it could. A process for each look at a
// server is most of what a look costs. What is out of the ordinary in any way, a server
// that does not let us in included, is left to git, whose errors people know.
func (s *Source) listQuickly(ctx context.Context, r *remote, p place, sc scope) ([]byte, bool) {
	r.mu.Lock()
	dialect, skip := r.dialect, r.polite || s.Now().Before(r.dialect.later)
	r.mu.Unlock()
	if skip || p.scheme != "http" && p.scheme != "https" || p.access.Proxy == "" && proxied() {
		return nil, false
	}
	p, err := s.login(ctx, p)
	if err != nil {
		return nil, false
	}
	client, err := s.webClient(p)
	if err != nil {
		return nil, false
	}
	some, cancel := context.WithTimeout(ctx, p.timeout/3) // the rest is git's, which may get in where we don't
	defer cancel()
	q := query{some, client, p}
	if !dialect.known {
		dialect, err = q.dialect()
	}
	var refs []byte
	if err == nil && dialect.known {
		if refs, err = q.refs(dialect, sc); err != nil {
			dialect = spoken{} // it may be another server by now
		}
	}
	if some.Err() != nil || err == nil && !dialect.known {
		dialect.later = s.Now().Add(time.Hour)
	}
	r.mu.Lock()
	r.dialect = dialect
	r.mu.Unlock()
	return refs, err == nil && dialect.known
}

// proxied reports whether our own environment names a proxy. Go and git do not
// agree on which servers it is for.
func proxied() bool {
	for _, name := range passed {
		if strings.HasSuffix(strings.ToUpper(name), "_PROXY") && !strings.EqualFold(name, "NO_PROXY") && os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// webClient returns the client for whoever trusts the same servers and shows the
// same certificate.
func (s *Source) webClient(p place) (*http.Client, error) {
	a := p.access
	key := web.Key(source.Access{CA: a.CA, Cert: a.Cert, Key: a.Key, Proxy: a.Proxy})
	return s.clients.Get(key, s.Now(), p.client)
}

// spoken is what is known of how a server speaks.
type spoken struct {
	known  bool      // that it has version 2
	format string    // of its object ids, if it says so
	later  time.Time // when to ask again, if it has not, or does not answer us
}

// A query asks the server at a place.
type query struct {
	ctx    context.Context
	client *http.Client
	place
}

// errOdd is that a server's answer is for git to look at.
var errOdd = errors.New("unusual answer")

// maxRefs is how much of a list of refs is read, in bytes.
const maxRefs = 64 << 20

// dialect asks what the server speaks.
func (q query) dialect() (d spoken, err error) {
	answer, err := q.send(http.MethodGet, "/info/refs?service=git-upload-pack", "application/x-git-upload-pack-advertisement", nil)
	if err != nil {
		return d, err
	}
	lines, err := packets(answer)
	if err != nil {
		return d, err
	}
	if len(lines) > 1 && strings.HasPrefix(lines[0], "# service=") && lines[1] == flush {
		lines = lines[2:]
	}
	if len(lines) == 0 || strings.TrimSuffix(lines[0], "\n") != "version 2" {
		return d, nil
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "ls-refs":
			d.known = true
		case "object-format":
			d.format = value
		}
	}
	return d, nil
}

// refs asks for the refs in a scope, and returns them as `git ls-remote` prints them.
func (q query) refs(d spoken, sc scope) ([]byte, error) {
	var ask bytes.Buffer
	writePacket(&ask, "command=ls-refs\n")
	writePacket(&ask, "agent="+agent+"\n")
	if d.format != "" {
		writePacket(&ask, "object-format="+d.format+"\n")
	}
	ask.WriteString("0001") // what follows are the command's own
	writePacket(&ask, "peel\n")
	if sc < all {
		writePacket(&ask, "ref-prefix refs/heads/\n")
	}
	if sc == tags {
		writePacket(&ask, "ref-prefix refs/tags/\n")
	}
	ask.WriteString("0000")
	answer, err := q.send(http.MethodPost, "/git-upload-pack", "application/x-git-upload-pack-result", ask.Bytes())
	if err != nil {
		return nil, err
	}
	return listed(answer, sc)
}

// listed reads an answer to ls-refs.
func listed(answer []byte, sc scope) ([]byte, error) {
	lines, err := packets(answer)
	if err != nil || len(lines) == 0 || lines[len(lines)-1] != flush {
		return nil, errOdd
	}
	var out bytes.Buffer
	for _, line := range lines[:len(lines)-1] {
		words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(words) < 2 || !isID(words[0]) || !validName(words[1]) {
			return nil, errOdd
		}
		if sc < all && !strings.HasPrefix(words[1], "refs/heads/") && (sc < tags || !strings.HasPrefix(words[1], "refs/tags/")) {
			continue // a server may give more than it was asked for
		}
		fmt.Fprintf(&out, "%s\t%s\n", words[0], words[1])
		for _, w := range words[2:] {
			if id, ok := strings.CutPrefix(w, "peeled:"); ok && isID(id) {
				fmt.Fprintf(&out, "%s\t%s%s\n", id, words[1], peeled)
			}
		}
	}
	return out.Bytes(), nil
}

// agent is what servers are told that we are. Some speak Git with those only
// whose name begins like git's.
const agent = "git/2-sane"

// send makes a request and returns an answer of the wanted type.
func (q query) send(method, path, wanted string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(q.ctx, method, strings.TrimSuffix(q.url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Git-Protocol", "version=2")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		req.Header.Set("Accept", wanted)
	}
	header, err := authorization(q.access)
	if err != nil {
		return nil, err
	}
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxRefs+1))
	if err != nil || len(answer) > maxRefs || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != wanted {
		return nil, errOdd
	}
	return answer, nil
}

// flush stands for the packet that ends a message.
const flush = "0000"

// writePacket writes a packet of Git's protocol (gitprotocol-common(5)).
func writePacket(to *bytes.Buffer, text string) { fmt.Fprintf(to, "%04x%s", len(text)+4, text) }

// packets returns the packets in an answer. Those that end a message are flush,
// and nothing of an answer is anything but packets.
func packets(answer []byte) ([]string, error) {
	var out []string
	for len(answer) > 0 {
		if len(answer) < 4 {
			return nil, errOdd
		}
		n, err := strconv.ParseUint(string(answer[:4]), 16, 16)
		switch {
		case err != nil || n > 0 && n < 4 || int(n) > len(answer):
			return nil, errOdd
		case n == 0:
			out = append(out, flush)
			answer = answer[4:]
			continue
		case n == 4: // an empty one says nothing
		default:
			out = append(out, string(answer[4:n]))
		}
		answer = answer[n:]
	}
	return out, nil
}
