package scenario

import (
	"os/exec"
	"syscall"
)

// bindToUs has the kernel end a command when we end.
func bindToUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
