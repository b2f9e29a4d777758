//go:build unix && !linux

package main

import "syscall"

// attributes puts a child in a process group of its own, so that a terminal's
// interrupt reaches only its parent. Its life is tied to its parent's by its
// standard input alone: see outlive.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
