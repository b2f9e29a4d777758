// Package scenario plays Sane's whole sentence, from a Git push to a healthy
// cluster, against a real control plane, and looks at it as its users do:
// through the API.
package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/object"
)

// A stage is a control plane on which scenarios are played.
type stage struct {
	*kube.Cluster
	kubeconfig string
}

var (
	home  *stage   // with the controller that most scenarios share
	sane  *program // that controller
	unfit string   // why nothing can be played; "" if it can
)

// alone is the label of custom resources that the shared controller leaves to
// one that a scenario has for itself.
const alone = "scenario.sane.dev/alone"

func TestMain(m *testing.M) {
	flag.Parse()
	if given("test.parallel") == "" {
		_ = flag.Set("test.parallel", "6") // they wait most of the time
	}
	os.Exit(play(m))
}

func given(name string) (value string) {
	flag.Visit(func(f *flag.Flag) {
		if f.Name == name {
			value = f.Value.String()
		}
	})
	return value
}

func play(m *testing.M) int {
	if unfit = fit(); unfit != "" || flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sane-scenario-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if home, err = openStage(os.Getenv("SANE_TEST_KUBECONFIG")); err == nil {
		sane, err = start(dir, home.kubeconfig, "--watch-label-selector", "!"+alone, "--feature-gates", "ObjectLevelWorkloadIdentity=true")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scenario:", err)
		return 1
	}
	status := m.Run()
	if err := swept(2 * time.Minute); err != nil {
		fmt.Fprintln(os.Stderr, "scenario:", err)
		status = 1
	}
	sane.stop()
	if status != 0 {
		fmt.Fprintln(os.Stderr, "scenario: the controller's log is", sane.log)
		return status
	}
	os.RemoveAll(dir)
	return 0
}

// fit returns what is missing.
func fit() string {
	for _, name := range []string{"SANE_TEST_KUBECONFIG", "SANE_BIN"} {
		if os.Getenv(name) == "" {
			return name + " is not set: run this by make scenario, or by hack/with-devcluster"
		}
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		return "kubectl is not installed"
	}
	return ""
}

// openStage returns the control plane of a kubeconfig, with the custom
// resources installed.
func openStage(kubeconfig string) (*stage, error) {
	config, _, err := kube.Config(kubeconfig, "")
	if err != nil {
		return nil, err
	}
	c, err := kube.New(config, kube.Options{UserAgent: "scenario"})
	if err != nil {
		return nil, err
	}
	st := &stage{c, kubeconfig}
	if out, err := st.kubectl("apply", "--server-side", "-f", "../install/crds"); err != nil {
		return nil, fmt.Errorf("install: %w: %s", err, out)
	}
	_, err = st.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", "../install/crds")
	return st, err
}

// kubectl returns what kubectl prints.
func (st *stage) kubectl(args ...string) (string, error) {
	out, err := exec.Command("kubectl", append([]string{"--kubeconfig", st.kubeconfig}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// swept returns when the namespaces of all scenarios have gone: the controller
// must have let go of all that was in them.
func swept(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	left := make(map[string]bool)
	for ch, err := range home.Watch(ctx, cluster.Selection{Kind: namespaces, Labels: ours}) {
		switch {
		case err != nil:
		case ch.Type == cluster.Put:
			left[ch.Object.Name()] = true
		case ch.Type == cluster.Gone:
			delete(left, ch.Object.Name())
		}
		if listed := ch.Type != cluster.Listing; listed && len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("still there after %s: %v", patience, left)
}

// A program is a running `sane run`.
type program struct {
	log  string // file
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs the controller with its data in dir.
func start(dir, kubeconfig string, args ...string) (*program, error) {
	return startAs(filepath.Join(dir, "data"), filepath.Join(dir, "log"), nil, append([]string{"--kubeconfig", kubeconfig}, args...)...)
}

// startAs runs the controller. Its log is appended to.
func startAs(data, log string, env []string, args ...string) (*program, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &program{log: log, done: make(chan struct{})}
	p.cmd = exec.Command(os.Getenv("SANE_BIN"), append([]string{
		"run", "--data-dir", data, "--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0",
		"--log-level", "debug", "--log-encoding", "json",
	}, args...)...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	bindToUs(p.cmd)
	if err := startOnThread(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in the log
		close(p.done)
	}()
	return p, nil
}

// startOnThread starts a command from a thread that lives as long as we do: the
// kernel ends the command with it.
func startOnThread(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// stop asks the controller to end, and returns when it has.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.kill()
	}
}

// kill ends the controller as a crash does.
func (p *program) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err)
	}
	<-p.done
}

// says returns the lines of the log that contain a text.
func (p *program) says(text string) []string {
	data, _ := os.ReadFile(p.log)
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// Kinds.
var (
	namespaces  = object.Kind{Name: "Namespace"}
	configMaps  = object.Kind{Name: "ConfigMap"}
	secrets     = object.Kind{Name: "Secret"}
	services    = object.Kind{Name: "Service"}
	events      = object.Kind{Name: "Event"}
	deployments = object.Kind{Group: "apps", Name: "Deployment"}
	jobs        = object.Kind{Group: "batch", Name: "Job"}
	leases      = object.Kind{Group: "coordination.k8s.io", Name: "Lease"}
	units       = object.Kind{Group: "kustomize.toolkit.fluxcd.io", Name: "Kustomization"}
	feeds       = object.Kind{Group: "source.toolkit.fluxcd.io", Name: "GitRepository"}
	externals   = object.Kind{Group: "source.toolkit.fluxcd.io", Name: "ExternalArtifact"}
)
