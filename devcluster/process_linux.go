package main

import "syscall"

// attributes puts a child in a process group of its own, so that a terminal's
// interrupt reaches only its parent, and ties its life to its parent's.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
