package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/source"
)

// The variables by which a tunnel is told where to go, which no command line
// tells: neither secrets nor names that a shell would read.
const (
	tunnelTo = "SANE_TUNNEL_TO" // host and port of the server
	tunnelBy = "SANE_TUNNEL_BY" // the proxy's URL, with user and password if it wants them
)

// proxyURL reads the address of a proxy.
func proxyURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, &failure{text: "the proxy's address is not a URL such as http://proxy.example.com:3128", kind: source.ErrAuth}
	}
	return u, nil
}

// Tunnel joins in and out to a server, by way of a proxy, until either side ends.
// It is what a process does that a Source has begun by Config.Tunnel. Its errors
// are for that Source to read.
func Tunnel(ctx context.Context, in io.Reader, out io.Writer) error {
	u, err := proxyURL(os.Getenv(tunnelBy))
	if err != nil {
		return err
	}
	conn, err := through(ctx, u, os.Getenv(tunnelTo))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() {
		io.Copy(conn, in)
		conn.Close() // ssh has ended
	}()
	_, err = io.Copy(out, conn)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// What a tunnel says if it fails; see classes.
var (
	errProxyDenies  = errors.New("proxy authentication required")
	errProxyRefuses = errors.New("proxy CONNECT aborted")
	errProxyAway    = errors.New("the proxy can't be reached")
)

// proxyPorts are where proxies are unless their URLs say otherwise.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// through returns a connection to a server by way of a proxy. The proxy looks up
// the server's name, which may mean something only there.
func through(ctx context.Context, u *url.URL, to string) (net.Conn, error) {
	at := u.Host
	if u.Port() == "" {
		at = net.JoinHostPort(u.Hostname(), proxyPorts[u.Scheme])
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyAway, err)
	}
	if u.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()})
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	r := bufio.NewReader(conn)
	if strings.HasPrefix(u.Scheme, "socks5") {
		err = (&socks{conn, r}).connect(u.User, to)
	} else {
		err = connect(conn, r, u.User, to)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &readAhead{conn, r}, nil
}

// A readAhead is a connection of which some may have been read already.
type readAhead struct {
	net.Conn
	r *bufio.Reader
}

func (c *readAhead) Read(p []byte) (int, error) { return c.r.Read(p) }

// connect asks an HTTP proxy for a way through.
func connect(w io.Writer, r *bufio.Reader, as *url.Userinfo, to string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: make(http.Header)}
	if as != nil {
		password, _ := as.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(as.Username()+":"+password)))
	}
	if err := req.Write(w); err != nil {
		return fmt.Errorf("%w: %w", errProxyRefuses, err)
	}
	resp, err := http.ReadResponse(r, req)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errProxyRefuses, err)
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return errProxyDenies
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("%w: it answers %s", errProxyRefuses, resp.Status)
	}
	return nil
}
