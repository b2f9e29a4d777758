package bench

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program returns a program that was built before, or skips the test.
func program(t *testing.T, env, built string) string {
	path, err := filepath.Abs(cmp.Or(os.Getenv(env), built))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there: `make %s` builds it, or name another with $%s", path, strings.TrimPrefix(built, "../"), env)
	}
	return path
}

// Five units go through all workloads on a real control plane. What is checked
// is that everything gets measured, and what does not depend on the machine.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a control plane and a minute or two")
	}
	plane, sane := program(t, "DEVCLUSTER_BIN", "../bin/devcluster"), program(t, "SANE_BIN", "../bin/sane")
	r, err := Run(t.Context(), Config{
		N: []int{5}, Devcluster: plane, Self: []string{sane},
		Commits: 3, Drifts: 3, Idle: 2 * time.Second, Files: 300, History: 10,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if len(r.Rounds) != 1 || len(r.Rounds[0].Plays) != len(Workloads) {
		t.Fatal("not all workloads have been played")
	}
	for _, p := range r.Rounds[0].Plays {
		if p.Err != "" {
			t.Errorf("%s: %s", p.Workload, p.Err)
		}
		for _, row := range p.Rows {
			if row.Goal == none && row.Met() != "yes" {
				t.Errorf("%s: %s: %s, want none", p.Workload, row.What, row.Measured)
			}
		}
	}
}
