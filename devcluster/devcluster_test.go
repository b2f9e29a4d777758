package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
)

// patience is how long anything may take that should take a second.
const patience = 30 * time.Second

// binary returns the path of the binary under test: $DEVCLUSTER_BIN, or one
// built for the purpose.
var binary = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("DEVCLUSTER_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	var err error
	if built, err = os.MkdirTemp("", "devcluster-test-"); err != nil {
		return "", err
	}
	bin := filepath.Join(built, "devcluster")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// built is the directory of the binary that was built for the purpose, if any.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

func TestPods(t *testing.T) {
	t.Parallel()
	u := startUp(t)

	t.Run("workloads", func(t *testing.T) {
		t.Run("deployment becomes available", func(t *testing.T) {
			t.Parallel()
			u.create(t, deployment("healthy", nil))
			u.await(t, "2 available replicas", func(ctx context.Context) (bool, error) {
				d, err := u.client.AppsV1().Deployments("default").Get(ctx, "healthy", metav1.GetOptions{})
				return err == nil && d.Status.AvailableReplicas == 2, err
			})
			u.deletesAtOnce(t, "healthy")
		})
		t.Run("unready is healed", func(t *testing.T) {
			t.Parallel()
			u.create(t, deployment("unready", map[string]string{podAnnotation: "unready"}))
			u.awaitPods(t, "unready", func(p corev1.Pod) bool {
				return p.Status.Phase == corev1.PodRunning && ready(p) == corev1.ConditionFalse
			})
			u.heal(t, "unready")
			u.awaitPods(t, "unready", func(p corev1.Pod) bool { return ready(p) == corev1.ConditionTrue })
		})
		t.Run("fail crashes and is healed", func(t *testing.T) {
			t.Parallel()
			u.create(t, deployment("fail", map[string]string{podAnnotation: "fail"}))
			u.awaitPods(t, "fail", func(p corev1.Pod) bool {
				last := status(p).LastTerminationState.Terminated
				return waiting(p) == "CrashLoopBackOff" && last != nil && last.ExitCode == 1 && last.Message != ""
			})
			u.heal(t, "fail")
			u.awaitPods(t, "fail", func(p corev1.Pod) bool { return ready(p) == corev1.ConditionTrue && waiting(p) == "" })
		})
		t.Run("imagepull stays pending", func(t *testing.T) {
			t.Parallel()
			u.create(t, deployment("imagepull", map[string]string{podAnnotation: "imagepull"}))
			u.awaitPods(t, "imagepull", func(p corev1.Pod) bool {
				return p.Status.Phase == corev1.PodPending && waiting(p) == "ImagePullBackOff"
			})
		})
		t.Run("job completes", func(t *testing.T) {
			t.Parallel()
			u.create(t, job("migrate", nil))
			u.await(t, "Complete", u.jobIs("migrate", batchv1.JobComplete))
		})
		t.Run("job fails", func(t *testing.T) {
			t.Parallel()
			u.create(t, job("broken", map[string]string{podAnnotation: "fail"}))
			u.await(t, "Failed", u.jobIs("broken", batchv1.JobFailed))
			u.awaitPods(t, "broken", func(p corev1.Pod) bool {
				end := status(p).State.Terminated
				return p.Status.Phase == corev1.PodFailed && end != nil && end.ExitCode == 1
			})
		})
	})

	version, err := u.client.Discovery().ServerVersion()
	if err != nil || !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Errorf("ServerVersion = %v, %v, want v1.x", version, err)
	}

	children := u.children(t)
	if len(children) != 5 {
		t.Errorf("%d children, want 5: %v", len(children), children)
	}
	u.signal(t, syscall.SIGTERM)
	if err := u.wait(t); err != nil {
		t.Errorf("up ended with %v after SIGTERM, want exit status 0\n%s", err, &u.stderr)
	}
	u.awaitEnd(t, children)
	if rest := strings.TrimSpace(u.stdout(t)); rest != "" {
		t.Errorf("more than one line on standard output: %q", rest)
	}
	if _, err := os.Stat(filepath.Dir(u.kubeconfig)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data directory is still there (%v)", err)
	}
}

// A cluster with --keep survives the worst; one without leaves nothing, even
// when it fails.
func TestKeep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	u := startUp(t, "--data", dir, "--keep", "--nodes", "2")
	u.create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}})

	children := u.children(t)
	u.signal(t, syscall.SIGKILL)
	u.wait(t)
	u.awaitEnd(t, children)

	elsewhere := filepath.Join(t.TempDir(), "kubeconfig")
	again := startUp(t, "--data", dir, "--kubeconfig", elsewhere)
	if again.kubeconfig != elsewhere {
		t.Errorf("KUBECONFIG=%s, want %s", again.kubeconfig, elsewhere)
	}
	if again.host != u.host {
		t.Errorf("API server at %s the second time, at %s the first", again.host, u.host)
	}
	if _, err := again.client.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("what the first cluster kept: %v", err)
	}

	victim := again.child(t, "kube-scheduler")
	children = again.children(t)
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := again.wait(t); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("up ended with %v after the scheduler died, want exit status 1", err)
	}
	if got := again.stderr.String(); !strings.Contains(got, "kube-scheduler died: signal: killed") {
		t.Errorf("up does not say that the scheduler died:\n%s", got)
	}
	again.awaitEnd(t, children)
	for _, left := range []string{dir, elsewhere} {
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there (%v)", left, err)
		}
	}
}

func TestData(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openData(dir); err == nil {
		t.Error("openData accepts a directory that is not its own")
	}

	ours := filepath.Join(t.TempDir(), "new")
	d, err := openData(ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openData(ours); err == nil {
		t.Error("openData accepts a directory that is in use")
	}
	d.close()
	if d, err = openData(ours); err != nil {
		t.Fatal(err)
	}
	if err := d.remove(); err != nil {
		t.Error(err)
	}
}

func TestReserve(t *testing.T) {
	first, err := reserve(0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := reserve(first.port)
	if err != nil {
		t.Fatal(err)
	}
	defer second.release()
	if second.port == first.port {
		t.Errorf("port %d was given out twice", first.port)
	}
	first.release()
	third, err := reserve(first.port)
	if err != nil {
		t.Fatal(err)
	}
	defer third.release()
	if third.port != first.port {
		t.Errorf("reserve(%d) = %d, although it is free", first.port, third.port)
	}
}

func TestStages(t *testing.T) {
	if _, err := loadStages(); err != nil {
		t.Error(err)
	}
}

// An upProcess is a devcluster that is ready.
type upProcess struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr bytes.Buffer // may be read once it has ended
	ended  chan error

	kubeconfig string
	host       string
	client     *kubernetes.Clientset
}

// startUp runs devcluster up and returns when it is ready.
func startUp(t *testing.T, args ...string) *upProcess {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	u := &upProcess{cmd: exec.Command(bin, append([]string{"up"}, args...)...), ended: make(chan error, 1)}
	u.cmd.Stderr = &u.stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	u.out = bufio.NewReader(r)
	u.cmd.Stdout = w
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ended := make(chan struct{})
	go func() {
		u.ended <- u.cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = u.cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		r.Close()
	})

	line, err := u.out.ReadString('\n')
	if err != nil {
		<-ended
		t.Fatalf("devcluster up: %v before it was ready\n%s", err, &u.stderr)
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(line), "ready: KUBECONFIG=")
	if !ok {
		t.Fatalf("devcluster up printed %q", line)
	}
	u.kubeconfig = path
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	u.host = config.Host
	if u.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *upProcess) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := u.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait returns how up ended, once it has.
func (u *upProcess) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-u.ended:
		return err
	case <-time.After(patience):
		t.Fatal("up does not end")
		return nil
	}
}

// stdout returns what up printed after the ready line. It may be called when up
// has ended.
func (u *upProcess) stdout(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(u.out); err != nil {
		t.Error(err)
	}
	return b.String()
}

// children returns the ids of up's child processes.
func (u *upProcess) children(t *testing.T) []int {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=", "--ppid", strconv.Itoa(u.cmd.Process.Pid)).Output()
	if err != nil {
		t.Fatalf("ps: %v", err)
	}
	var ids []int
	for _, field := range strings.Fields(string(out)) {
		id, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// child returns the id of the process that runs the component.
func (u *upProcess) child(t *testing.T, component string) int {
	t.Helper()
	for _, id := range u.children(t) {
		out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(id)).Output()
		if err == nil && strings.Contains(string(out), componentCommand+" "+component+" ") {
			return id
		}
	}
	t.Fatalf("no child runs %s", component)
	return 0
}

// awaitEnd returns when none of the processes is left.
func (u *upProcess) awaitEnd(t *testing.T, ids []int) {
	t.Helper()
	u.await(t, "no process left", func(context.Context) (bool, error) {
		for _, id := range ids {
			if !errors.Is(syscall.Kill(id, 0), syscall.ESRCH) {
				return false, fmt.Errorf("process %d is left", id)
			}
		}
		return true, nil
	})
}

// await returns when done is, and fails if that takes too long.
func (u *upProcess) await(t *testing.T, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (ok bool, _ error) {
		ok, last = done(ctx)
		return ok, nil
	})
	if err != nil {
		t.Fatalf("wait for %s: %v (last: %v)", what, err, last)
	}
}

func (u *upProcess) create(t *testing.T, object metav1.Object) {
	t.Helper()
	var err error
	switch o := object.(type) {
	case *appsv1.Deployment:
		_, err = u.client.AppsV1().Deployments("default").Create(t.Context(), o, metav1.CreateOptions{})
	case *batchv1.Job:
		_, err = u.client.BatchV1().Jobs("default").Create(t.Context(), o, metav1.CreateOptions{})
	case *corev1.ConfigMap:
		_, err = u.client.CoreV1().ConfigMaps("default").Create(t.Context(), o, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatalf("create %s: %v", object.GetName(), err)
	}
}

func (u *upProcess) pods(ctx context.Context, app string) ([]corev1.Pod, error) {
	list, err := u.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// awaitPods returns when app has pods and all are as they should be.
func (u *upProcess) awaitPods(t *testing.T, app string, as func(corev1.Pod) bool) {
	t.Helper()
	u.await(t, "pods of "+app, func(ctx context.Context) (bool, error) {
		pods, err := u.pods(ctx, app)
		for _, p := range pods {
			if !as(p) {
				return false, fmt.Errorf("pod %s is %s: %+v", p.Name, p.Status.Phase, p.Status)
			}
		}
		return len(pods) > 0, err
	})
}

// heal removes the annotation from app's pods.
func (u *upProcess) heal(t *testing.T, app string) {
	t.Helper()
	pods, err := u.pods(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	patch := fmt.Appendf(nil, `{"metadata": {"annotations": {%q: null}}}`, podAnnotation)
	for _, p := range pods {
		if _, err := u.client.CoreV1().Pods("default").Patch(t.Context(), p.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// deletesAtOnce deletes a pod of app, whose grace period is much longer than
// the wait.
func (u *upProcess) deletesAtOnce(t *testing.T, app string) {
	t.Helper()
	pods, err := u.pods(t.Context(), app)
	if err != nil || len(pods) == 0 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	name := pods[0].Name
	if err := u.client.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(600))}); err != nil {
		t.Fatal(err)
	}
	u.await(t, "deletion of "+name, func(ctx context.Context) (bool, error) {
		_, err := u.client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}

func (u *upProcess) jobIs(name string, want batchv1.JobConditionType) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		j, err := u.client.BatchV1().Jobs("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range j.Status.Conditions {
			if c.Type == want && c.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
		return false, fmt.Errorf("status is %+v", j.Status)
	}
}

// ready returns the status of p's Ready condition.
func ready(p corev1.Pod) corev1.ConditionStatus {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status
		}
	}
	return ""
}

// status returns the status of p's first container.
func status(p corev1.Pod) corev1.ContainerStatus {
	if len(p.Status.ContainerStatuses) == 0 {
		return corev1.ContainerStatus{}
	}
	return p.Status.ContainerStatuses[0]
}

// waiting returns why p's first container waits.
func waiting(p corev1.Pod) string {
	if w := status(p).State.Waiting; w != nil {
		return w.Reason
	}
	return ""
}

func deployment(name string, annotations map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: template(name, annotations),
		},
	}
}

func job(name string, annotations map[string]string) *batchv1.Job {
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			BackoffLimit: ptr.To(int32(0)),
			Template:     template(name, annotations),
		},
	}
	j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return j
}

func template(app string, annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}, Annotations: annotations},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "example.com/init:1"}},
			Containers:     []corev1.Container{{Name: "main", Image: "example.com/main:1"}},
		},
	}
}
