package scenario

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// bindToUs has the kernel end a command when we end.
func bindToUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// child returns the child of a process whose command line has a word in it.
func child(of int, word string) (*os.Process, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of))
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		pids, _ := os.ReadFile(list) // the thread may have ended
		for pid := range strings.FieldsSeq(string(pids)) {
			line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if n, err := strconv.Atoi(pid); err == nil && bytes.Contains(line, []byte(word)) {
				return os.FindProcess(n)
			}
		}
	}
	return nil, fmt.Errorf("process %d has no child %s", of, word)
}

var pause, resume = syscall.SIGSTOP, syscall.SIGCONT
