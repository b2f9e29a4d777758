package git

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
)

// A socks is a conversation with a SOCKS5 proxy, as RFC 1928 and RFC 1929 have it.
type socks struct {
	io.Writer
	r *bufio.Reader
}

// What is said in it.
const (
	socksVersion  = 5
	socksNobody   = 0 // no proof is asked for
	socksPassword = 2
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4
)

// connect asks for a way through.
func (s *socks) connect(as *url.Userinfo, to string) error {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return fmt.Errorf("%w: %w", errProxyRefuses, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(host) > 255 {
		return fmt.Errorf("%w: %s is no server", errProxyRefuses, to)
	}
	if err := s.login(as); err != nil {
		return err
	}
	ask := append([]byte{socksVersion, socksConnect, 0, socksName, byte(len(host))}, host...)
	if ip := net.ParseIP(host); ip.To4() != nil {
		ask = append([]byte{socksVersion, socksConnect, 0, socksIPv4}, ip.To4()...)
	} else if ip != nil {
		ask = append([]byte{socksVersion, socksConnect, 0, socksIPv6}, ip...)
	}
	head, err := s.say(binary.BigEndian.AppendUint16(ask, uint16(number)), 4)
	if err != nil {
		return err
	}
	if head[1] != 0 {
		return fmt.Errorf("%w: it answers %d", errProxyRefuses, head[1])
	}
	return s.skipAddress(head[3])
}

// skipAddress reads on to where the server begins to speak.
func (s *socks) skipAddress(kind byte) error {
	size := map[byte]int{socksIPv4: net.IPv4len, socksIPv6: net.IPv6len}[kind]
	if kind == socksName {
		n, err := s.r.ReadByte()
		if err != nil {
			return fmt.Errorf("%w: %w", errProxyRefuses, err)
		}
		size = int(n)
	}
	_, err := s.say(nil, size+2)
	return err
}

// login says who asks, if the proxy wants to know.
func (s *socks) login(as *url.Userinfo) error {
	ways := []byte{socksVersion, 1, socksNobody}
	if as != nil {
		ways = []byte{socksVersion, 2, socksNobody, socksPassword}
	}
	answer, err := s.say(ways, 2)
	if err != nil {
		return err
	}
	switch {
	case answer[0] != socksVersion:
		return fmt.Errorf("%w: it speaks no SOCKS5", errProxyRefuses)
	case answer[1] == socksNobody:
		return nil
	case answer[1] != socksPassword || as == nil:
		return errProxyDenies
	}
	name := as.Username()
	password, _ := as.Password()
	if len(name) > 255 || len(password) > 255 {
		return errProxyDenies
	}
	proof := append([]byte{1, byte(len(name))}, name...)
	proof = append(append(proof, byte(len(password))), password...)
	if answer, err = s.say(proof, 2); err != nil {
		return err
	}
	if answer[1] != 0 {
		return errProxyDenies
	}
	return nil
}

// say says something and returns the first of the answer.
func (s *socks) say(text []byte, answer int) ([]byte, error) {
	if _, err := s.Write(text); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyRefuses, err)
	}
	got := make([]byte, answer)
	if _, err := io.ReadFull(s.r, got); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyRefuses, err)
	}
	return got, nil
}
