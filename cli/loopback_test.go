package cli

import "testing"

func TestOnLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "localhost:0": true, "[::1]:8443": true, "127.1.2.3:1": true,
		":8443": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "sane.example:80": false, "": false,
	} {
		if got := onLoopback(addr); got != want {
			t.Errorf("%q is on loopback: %v", addr, got)
		}
	}
}
