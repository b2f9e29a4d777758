// Package cloud proves to clouds who asks: by signatures to Amazon's, by tokens
// to Google's and Microsoft's. The clouds' own libraries would be most of this
// program.
package cloud

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// patience is how long one request may take.
const patience = 10 * time.Second

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

// maxWords bounds what is told of what a server says.
const maxWords = 300

// A Token is what its bearer gets in by.
type Token struct {
	Value string // secret
	Until time.Time
}

// Client returns a client that makes requests by t, each within ten seconds.
// It follows no redirects: credentials go where they are meant to go.
func Client(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport returns a transport that goes by the environment's proxy, and not
// to the addresses at which machines tell their own secrets. What it holds open
// ends with it.
func Transport() *http.Transport {
	dialer := net.Dialer{Timeout: patience, Control: notLocal}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: patience, IdleConnTimeout: patience, MaxResponseHeaderBytes: 64 << 10,
	}
}

// amazonsIPv6 is where Amazon's machines find what is link-local elsewhere.
var amazonsIPv6 = net.ParseIP("fd00:ec2::254")

// notLocal refuses link-local addresses.
func notLocal(_, address string, _ syscall.RawConn) error {
	host, _, _ := net.SplitHostPort(address)
	host, _, _ = strings.Cut(host, "%")
	if ip := net.ParseIP(host); ip == nil || ip.IsLinkLocalUnicast() || ip.Equal(amazonsIPv6) {
		return fmt.Errorf("%s is an address that is not asked", host)
	}
	return nil
}

// A Refusal is an answer other than 200.
type Refusal struct {
	Status int
	Body   []byte // as much of it as is taken
}

// Error implements [error]. Who knows the form of the answer says more.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("it answers %d %s", r.Status, http.StatusText(r.Status))
	if r.Status/100 == 3 {
		text += ", and redirects are not followed"
	}
	return text
}

func refusalIn(err error) (r *Refusal, ok bool) {
	ok = errors.As(err, &r)
	return r, ok
}

// Send makes a request and returns what it is answered with 200. What is
// answered otherwise is a [*Refusal]. Errors do not tell the URL.
func Send(c *http.Client, r *http.Request) ([]byte, error) {
	answer, err := c.Do(r)
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, &Refusal{answer.StatusCode, body[:min(len(body), maxAnswer)]}
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("its answer has more than %d bytes", maxAnswer)
	}
	return body, nil
}

// Words returns what a server says in one line that is not too long.
func Words(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(s); len(r) > maxWords {
		s = string(r[:maxWords]) + "…"
	}
	return s
}
