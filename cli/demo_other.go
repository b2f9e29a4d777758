//go:build unix && !linux

package cli

import (
	"os/exec"
	"syscall"
)

// bind puts a child in a process group of its own, so that a terminal's
// interrupt reaches only us.
func bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func startBound(cmd *exec.Cmd) error { return cmd.Start() }
