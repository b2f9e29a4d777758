package main

import (
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// A reservation is a port on 127.0.0.1 that nobody else can get, and that the
// API server can listen on if it permits sharing.
type reservation struct {
	port int
	fd   int
}

// reserve reserves the wanted port if it is free, and another if not. Zero
// wants any.
func reserve(want int) (*reservation, error) {
	if want != 0 && free(want) {
		if r, err := bind(want); err == nil {
			return r, nil
		}
	}
	return bind(0)
}

// free reports whether nobody has the port. Binding to it would not tell: two
// reservations can share one.
func free(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func bind(port int) (_ *reservation, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			err = fmt.Errorf("reserve a port: %w", err)
		}
	}()
	unix.CloseOnExec(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	return &reservation{port: name.(*unix.SockaddrInet4).Port, fd: fd}, nil
}

func (r *reservation) release() { unix.Close(r.fd) }
