package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sane-gitops/sane/internal/gitserver"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"sane": main})
}

// tests stops what was started for them.
type tests struct{ *testing.M }

func (t tests) Run() int {
	status := t.M.Run()
	stopCluster()
	return status
}

// TestScripts runs cli/testdata/script/*.txt. Beside testscript's own commands
// there are
//
//	repo NAME                 make a Git repository, which $GIT/NAME serves
//	commit NAME DIR [BRANCH]  make DIR the content of a branch; $REV is its revision,
//	                          $SHORT the same in short, $COMMIT its commit
//	tidy stdout|stderr        write the last command's output to the file "tidy",
//	                          with ages and runs of spaces evened out
//	apply FILE                apply a file to the cluster, with $VARIABLES filled in
//
// and the condition "cluster": there is an API server, in which $NS is a
// namespace of the script's own and kubectl's default.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "../../cli/testdata/script",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup:         setup,
		Condition: func(cond string) (bool, error) {
			if cond != "cluster" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := plane()
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"repo": repo, "commit": commitDir, "tidy": tidy, "apply": applyFile,
		},
	})
}

type served struct{}

func setup(env *testscript.Env) error {
	git, err := gitserver.Start(filepath.Join(env.WorkDir, ".git-server"), gitserver.Options{})
	if err != nil {
		return err
	}
	env.Defer(git.Close)
	env.Values[served{}] = git
	env.Setenv("GIT", strings.TrimSuffix(git.URL(""), "/"))
	env.Setenv("HOME", env.WorkDir)
	kubeconfig, err := plane()
	if err != nil {
		return nil // scripts that need it skip
	}
	return place(env, kubeconfig)
}

// place makes a namespace for a script.
func place(env *testscript.Env, kubeconfig string) error {
	ns := namespaceOf(env.WorkDir)
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		return err
	}
	mine := filepath.Join(env.WorkDir, ".kubeconfig")
	if err := os.WriteFile(mine, data, 0o600); err != nil {
		return err
	}
	env.Setenv("KUBECONFIG", mine)
	env.Setenv("NS", ns)
	env.Setenv("RUNTIME_NAMESPACE", ns)
	if err := kubectl(mine, "create", "namespace", ns); err != nil {
		return err
	}
	if os.Getenv("SANE_TEST_KUBECONFIG") != "" { // one of our own goes as a whole
		env.Defer(func() { remove(mine, ns) })
	}
	return kubectl(mine, "config", "set-context", "--current", "--namespace", ns)
}

// namespaceOf returns a name that no other run of the tests has.
func namespaceOf(dir string) string {
	return fmt.Sprintf("%s-%x", filepath.Base(dir), time.Now().UnixMicro()&0xffffffff)
}

// remove deletes a script's namespace. No controller is left to see to the
// finalizers.
func remove(kubeconfig, ns string) {
	for _, kind := range []string{"kustomizations.kustomize.toolkit.fluxcd.io", "gitrepositories.source.toolkit.fluxcd.io"} {
		out, _ := exec.Command("kubectl", "--kubeconfig", kubeconfig, "get", kind, "-n", ns, "-o", "name").Output()
		for _, name := range strings.Fields(string(out)) {
			_ = kubectl(kubeconfig, "patch", "-n", ns, name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		}
	}
	_ = kubectl(kubeconfig, "delete", "namespace", ns, "--wait=false")
}

func kubectl(kubeconfig string, args ...string) error {
	out, err := exec.Command("kubectl", append([]string{"--kubeconfig", kubeconfig}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// plane returns a kubeconfig with an API server that knows the custom
// resources. It starts one if there is none yet.
var plane = sync.OnceValues(func() (string, error) {
	kubeconfig := os.Getenv("SANE_TEST_KUBECONFIG")
	if kubeconfig == "" {
		var err error
		if kubeconfig, err = devcluster(); err != nil {
			return "", err
		}
	}
	return kubeconfig, kubectl(kubeconfig, "apply", "--server-side", "-f", "../../install/crds")
})

var stop struct {
	sync.Mutex
	funcs []func()
}

func stopCluster() {
	stop.Lock()
	defer stop.Unlock()
	for _, f := range stop.funcs {
		f()
	}
}

// devcluster starts a control plane.
func devcluster() (string, error) {
	bin := os.Getenv("DEVCLUSTER_BIN")
	if bin == "" {
		bin = "../../bin/devcluster"
	}
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("no control plane: %w; make devcluster builds it", err)
	}
	dir, err := os.MkdirTemp("", "sane-scripts-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(bin, "up", "--data", filepath.Join(dir, "cluster"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := startOnThread(cmd); err != nil {
		return "", err
	}
	stop.Lock()
	stop.funcs = append(stop.funcs, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		os.RemoveAll(dir)
	})
	stop.Unlock()
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, kubeconfig, ok := strings.Cut(strings.TrimSpace(line), "KUBECONFIG=")
	if !ok {
		return "", fmt.Errorf("start devcluster: %s", said.String())
	}
	return kubeconfig, nil
}

// startOnThread starts a command from a thread that lives as long as the tests:
// the kernel ends the command with it.
func startOnThread(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

func repo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: repo NAME")
	}
	ts.Check(os.MkdirAll(string(server(ts).Repos), 0o777))
	ts.Check(server(ts).Create(args[0]))
}

func server(ts *testscript.TestScript) *gitserver.Server {
	return ts.Value(served{}).(*gitserver.Server)
}

// day is the time of all commits, so that their ids are the same every time.
var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func commitDir(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: commit NAME DIR [BRANCH]")
	}
	branch := "main"
	if len(args) == 3 {
		branch = args[2]
	}
	files := make(map[string]string)
	dir := ts.MkAbs(args[1])
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = ts.ReadFile(path)
		return err
	}))
	change := gitserver.Commit{Message: "change", When: day, Files: files, Only: true}
	ids, err := server(ts).Write(args[0], branch, slices.Values([]gitserver.Commit{change}))
	ts.Check(err)
	ts.Setenv("REV", branch+"@sha1:"+ids[0])
	ts.Setenv("SHORT", branch+"@sha1:"+ids[0][:8])
	ts.Setenv("COMMIT", ids[0])
}

var (
	age  = regexp.MustCompile(`\b\d+(s|m\d*s?)( |\n)`)
	wide = regexp.MustCompile(`([^\n]\S) {3,}`) // between words, not before them
	tail = regexp.MustCompile(` +\n`)
)

func tidy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tidy stdout|stderr")
	}
	text := ts.ReadFile(args[0])
	text = age.ReplaceAllString(text, "AGE$2")
	text = tail.ReplaceAllString(wide.ReplaceAllString(text, "$1  "), "\n")
	for _, name := range []string{"NS", "GIT"} {
		if v := ts.Getenv(name); v != "" {
			text = strings.ReplaceAll(text, v, "$"+name)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("tidy"), []byte(text), 0o666))
}

func applyFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: apply FILE")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	file := ts.MkAbs("applied.yaml")
	ts.Check(os.WriteFile(file, []byte(text), 0o666))
	ts.Check(ts.Exec("kubectl", "apply", "-f", file))
}
