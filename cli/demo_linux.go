package cli

import (
	"os/exec"
	"runtime"
	"syscall"
)

// bind puts a child in a process group of its own, so that a terminal's
// interrupt reaches only us, and has it stopped when we die.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// startBound starts a child from a thread that lives as long as we do: the
// kernel takes the end of that thread for ours.
func startBound(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}
