package bench

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/sane-gitops/sane/cluster/kube"
)

// A Machine is where something was measured.
type Machine struct {
	CPU    string
	Cores  int
	Memory string
	Kernel string
	Load   string // averages of the last 1, 5 and 15 minutes when it began: noise
	Go     string // that this program was built with
	Git    string
	Server string // version of the API server
}

func machine(ctx context.Context, c *kube.Cluster) Machine {
	m := Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal"),
		Kernel: content("/proc/sys/kernel/osrelease"), Load: content("/proc/loadavg"), Go: runtime.Version(),
	}
	if f := strings.Fields(m.Load); len(f) > 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	if out, err := exec.CommandContext(ctx, "git", "--version").Output(); err == nil {
		m.Git = strings.TrimPrefix(strings.TrimSpace(string(out)), "git version ")
	}
	var version struct{ GitVersion string }
	if page, err := c.Raw(ctx, "/version"); err == nil && json.Unmarshal(page, &version) == nil {
		m.Server = version.GitVersion
	}
	return m
}

func content(file string) string {
	data, _ := os.ReadFile(file) // not every system has it
	return strings.TrimSpace(string(data))
}

// field returns the first value of a name in a file of names and values.
func field(file, name string) string {
	for line := range strings.Lines(content(file)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
