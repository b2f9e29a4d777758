package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/client"
	"sigs.k8s.io/yaml"
)

// runKwok plays the kubelet of every node, as the kubeconfig in args allows. It
// is kwok's own command without its flags, which clash with those of the other
// components.
func runKwok(args []string) error {
	if len(args) != 1 {
		return errors.New("kwok: want one argument, a kubeconfig")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx = log.NewContext(ctx, log.NewLogger(os.Stderr, log.LevelWarn))

	config, err := kwokConfig(args[0])
	if err != nil {
		return fmt.Errorf("kwok: %w", err)
	}
	c, err := controllers.NewController(config)
	if err != nil {
		return fmt.Errorf("kwok: %w", err)
	}
	if err := c.Start(ctx); err != nil {
		return fmt.Errorf("kwok: %w", err)
	}
	<-ctx.Done()
	return nil
}

func kwokConfig(kubeconfig string) (controllers.Config, error) {
	config := controllers.Config{
		Clock:                     clock.RealClock{},
		ManageAllNodes:            true,
		CIDR:                      "10.244.0.0/16",
		NodeIP:                    loopback,
		PodPlayStageParallelism:   4,
		NodePlayStageParallelism:  1,
		NodeLeaseParallelism:      1,
		PodsOnNodeSyncParallelism: 1,
	}
	stages, err := loadStages()
	if err != nil {
		return config, err
	}
	config.LocalStages = stages
	if config.ID, err = controllers.Identity(); err != nil {
		return config, err
	}
	return config, connect(&config, kubeconfig)
}

// connect gives config its clients.
func connect(config *controllers.Config, kubeconfig string) error {
	clients, err := client.NewClientset("", kubeconfig)
	if err != nil {
		return err
	}
	var errs [5]error
	rc, err := clients.ToRESTConfig()
	if err != nil {
		return err
	}
	config.DynamicClient, errs[0] = clients.ToDynamicClient()
	config.RESTMapper, errs[1] = clients.ToRESTMapper()
	config.RESTClient, errs[2] = rest.RESTClientFor(rc)
	config.TypedClient, errs[3] = kubernetes.NewForConfig(rc)
	config.ImpersonatingDynamicClient = clients.ToImpersonatingDynamicClient()
	config.ImpersonatingTypedClient = clients.ToImpersonatingTypedClient()
	return errors.Join(errs[:]...)
}

// podAnnotation is the annotation of a pod that asks for anything but health.
const podAnnotation = "devcluster.sane.dev/pod"

// The expressions over a pod that decide which stage it is due for.
const (
	asked = `.metadata.annotations["` + podAnnotation + `"]`
	phase = `.status.phase`
	gone  = `.metadata.deletionTimestamp`
	owner = `.metadata.ownerReferences.[].kind`

	// stands is "READY/WAITING": the status of the Ready condition and the
	// reason for which the first container waits, each empty if there is none.
	stands = `((.status.conditions // []) | map(select(.type == "Ready") | .status) | .[0] // "")` +
		` + "/" + ((.status.containerStatuses // []) | .[0].state.waiting.reason // "")`
)

// A podStage takes pods that stand as it says to the status it says.
type podStage struct {
	status string // its template: status/NAME.tmpl
	event  *v1alpha1.StageEvent
	when   []rule
}

// The stages exclude each other: kwok would toss a coin.
var podStages = []podStage{
	{"ready", nil, []rule{notIn(asked, "unready", "fail", "imagepull"), notIn(stands, "True/")}},
	{"complete", nil, []rule{notIn(asked, "unready", "fail", "imagepull"), in(stands, "True/"), in(owner, "Job")}},
	{"unready", nil, []rule{in(asked, "unready"), notIn(stands, "False/")}},
	{"fail", warning("BackOff", "Back-off restarting failed container"), []rule{in(asked, "fail"), notIn(stands, "False/CrashLoopBackOff")}},
	{"imagepull", warning("Failed", "Error: ImagePullBackOff"), []rule{in(asked, "imagepull"), notIn(stands, "False/ImagePullBackOff")}},
}

// A rule is one thing that a stage asks of a pod.
type rule = v1alpha1.SelectorJQ

func in(key string, values ...string) rule {
	return rule{Key: key, Operator: v1alpha1.SelectorOpIn, Values: values}
}

func notIn(key string, values ...string) rule {
	return rule{Key: key, Operator: v1alpha1.SelectorOpNotIn, Values: values}
}

func warning(reason, message string) *v1alpha1.StageEvent {
	return &v1alpha1.StageEvent{Type: "Warning", Reason: reason, Message: message}
}

// Templates of a pod's status. Each follows started.tmpl.
//
//go:embed status/*.tmpl
var templates embed.FS

// loadStages returns the stages that nodes and pods go through: kwok's own fast
// ones, but ours for pods that live.
func loadStages() (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	var all []*v1alpha1.Stage
	for _, text := range []string{nodefast.DefaultNodeInit, podfast.DefaultPodDelete} {
		s := new(v1alpha1.Stage)
		if err := yaml.Unmarshal([]byte(text), s); err != nil {
			return nil, fmt.Errorf("read a stage of kwok's: %w", err)
		}
		all = append(all, s)
	}
	for _, s := range podStages {
		stage, err := s.stage()
		if err != nil {
			return nil, err
		}
		all = append(all, stage)
	}

	byRef := make(map[internalversion.StageResourceRef][]*internalversion.Stage)
	for _, s := range all {
		v1alpha1.SetObjectDefaults_Stage(s)
		stage, err := internalversion.ConvertToInternalStage(s)
		if err != nil {
			return nil, fmt.Errorf("convert stage %s: %w", s.Name, err)
		}
		byRef[stage.Spec.ResourceRef] = append(byRef[stage.Spec.ResourceRef], stage)
	}
	return byRef, nil
}

// stage returns s in kwok's words.
func (s podStage) stage() (*v1alpha1.Stage, error) {
	started, err := templates.ReadFile("status/started.tmpl")
	if err != nil {
		return nil, err
	}
	status, err := templates.ReadFile("status/" + s.status + ".tmpl")
	if err != nil {
		return nil, err
	}
	stage := new(v1alpha1.Stage)
	stage.Name = "pod-" + s.status
	stage.Spec.ResourceRef.Kind = "Pod"
	stage.Spec.Next = &v1alpha1.StageNext{
		Event:          s.event,
		StatusTemplate: string(started) + string(status),
	}
	stage.Spec.Selector = new(v1alpha1.StageSelector)
	live := []rule{{Key: gone, Operator: v1alpha1.SelectorOpDoesNotExist}, in(phase, "Pending", "Running")}
	for _, r := range append(live, s.when...) {
		stage.Spec.Selector.MatchExpressions = append(stage.Spec.Selector.MatchExpressions, v1alpha1.MatchExpression{JQ: &r})
	}
	return stage, nil
}
