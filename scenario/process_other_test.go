//go:build !linux

package scenario

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

func bindToUs(*exec.Cmd) {}

func child(int, string) (*os.Process, error) {
	return nil, errors.New("children are found on Linux only")
}

var pause, resume = syscall.SIGINT, syscall.SIGINT
