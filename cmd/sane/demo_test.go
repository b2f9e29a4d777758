package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestDemo runs the demo, which checks itself, and looks whether it leaves
// anything behind.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a control plane, and -short was asked for")
	}
	plane := os.Getenv("DEVCLUSTER_BIN")
	if plane == "" {
		plane = "../../bin/devcluster"
	}
	if _, err := os.Stat(plane); err != nil {
		t.Skipf("no control plane: %v; `make bin/devcluster` builds it", err)
	}
	plane, err := filepath.Abs(plane)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "demo")
	cmd := exec.CommandContext(t.Context(), "sane", "demo", "--once", "--devcluster", plane, "--data", data)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sane demo --once: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", data, err)
	}
}
