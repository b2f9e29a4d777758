package gitserver

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
)

// A SOCKS is a SOCKS5 proxy on loopback that wants to know who asks.
type SOCKS struct {
	Username, Password string
	Look               func() // called whenever something passes; nil means nothing

	l    net.Listener
	seen atomic.Int64
	work sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // nil when it is closed
}

// StartSOCKS serves a proxy until it is closed.
func StartSOCKS(username, password string) (*SOCKS, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &SOCKS{Username: username, Password: password, l: l, open: make(map[net.Conn]bool)}
	s.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.work.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

// Address returns the proxy's URL, without who asks.
func (s *SOCKS) Address() string { return "socks5://" + s.l.Addr().String() }

// URL returns the proxy's URL for somebody.
func (s *SOCKS) URL(username, password string) string {
	u := url.URL{Scheme: "socks5", Host: s.l.Addr().String(), User: url.UserPassword(username, password)}
	return u.String()
}

// Passed returns how many connections it has let through.
func (s *SOCKS) Passed() int { return int(s.seen.Load()) }

// Close breaks off what passes through and ends the proxy.
func (s *SOCKS) Close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.open = nil
	s.mu.Unlock()
	s.work.Wait()
}

// hold has Close close c, and reports whether that is still to come.
func (s *SOCKS) hold(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	s.open[c] = true
	return true
}

func (s *SOCKS) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	c.Close()
}

func (s *SOCKS) serve(c net.Conn) {
	defer s.drop(c)
	if !s.hold(c) {
		return
	}
	at, err := s.greet(c)
	if err != nil {
		return
	}
	to, err := net.Dial("tcp", at)
	if err != nil {
		c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	defer s.drop(to)
	if !s.hold(to) {
		return
	}
	s.seen.Add(1)
	if s.Look != nil {
		s.Look()
	}
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	done := make(chan struct{}, 2)
	pass := func(w, r net.Conn) {
		io.Copy(w, r)
		done <- struct{}{}
	}
	go pass(to, c)
	go pass(c, to)
	<-done
}

var errSOCKS = errors.New("gitserver: not what a SOCKS5 client says")

// greet finds out who asks, and where to.
func (s *SOCKS) greet(c net.Conn) (at string, err error) {
	head, err := read(c, 2)
	if err != nil || head[0] != 5 {
		return "", errSOCKS
	}
	ways, err := read(c, int(head[1]))
	if err != nil {
		return "", err
	}
	if !has(ways, 2) {
		c.Write([]byte{5, 0xff})
		return "", errSOCKS
	}
	c.Write([]byte{5, 2})
	if _, err := read(c, 1); err != nil {
		return "", err
	}
	name, err := text(c)
	if err != nil {
		return "", err
	}
	password, err := text(c)
	if err != nil {
		return "", err
	}
	if !same(name, s.Username) || !same(password, s.Password) {
		c.Write([]byte{1, 1})
		return "", errSOCKS
	}
	c.Write([]byte{1, 0})
	return where(c)
}

// where reads the address that somebody wants to get to.
func where(c net.Conn) (string, error) {
	ask, err := read(c, 4)
	if err != nil || ask[1] != 1 {
		return "", errSOCKS
	}
	var host string
	switch ask[3] {
	case 1, 4:
		size := net.IPv4len
		if ask[3] == 4 {
			size = net.IPv6len
		}
		ip, err := read(c, size)
		if err != nil {
			return "", err
		}
		host = net.IP(ip).String()
	default:
		if host, err = text(c); err != nil {
			return "", err
		}
	}
	port, err := read(c, 2)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port)))), nil
}

func read(c net.Conn, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	return b, err
}

// text reads a length and as many bytes.
func text(c net.Conn) (string, error) {
	n, err := read(c, 1)
	if err != nil {
		return "", err
	}
	b, err := read(c, int(n[0]))
	return string(b), err
}

func has(list []byte, b byte) bool {
	for _, x := range list {
		if x == b {
			return true
		}
	}
	return false
}
