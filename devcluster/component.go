package main

import (
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // CronJobs have time zones

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // registers metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // registers metrics
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// componentCommand is the command by which this binary runs itself:
//
//	devcluster component NAME FLAGS
const componentCommand = "component"

// A component is a program that this binary can become.
type component struct {
	name string
	run  func(args []string) error
	args func(port int) []string // relative to the data directory, where it runs
}

// In the order in which they start. The last three need an API server that is
// ready.
var (
	etcdComponent      = component{"etcd", runEtcd, etcdArgs}
	apiserverComponent = component{"kube-apiserver", command(apiserver.NewAPIServerCommand), apiserverArgs}
	managerComponent   = component{"kube-controller-manager", command(controllermanager.NewControllerManagerCommand), managerArgs}
	schedulerComponent = component{"kube-scheduler", command(func() *cobra.Command { return scheduler.NewSchedulerCommand() }), schedulerArgs}
	kwokComponent      = component{"kwok", runKwok, kwokArgs}
)

// runComponent becomes the component that args begins with.
func runComponent(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s: no name", componentCommand)
	}
	go outlive(os.Stdin)
	for _, c := range []component{etcdComponent, apiserverComponent, managerComponent, schedulerComponent, kwokComponent} {
		if c.name == args[0] {
			return c.run(args[1:])
		}
	}
	return fmt.Errorf("%s: unknown name %q", componentCommand, args[0])
}

// outlive ends this process when its parent, who holds the other end of the
// pipe and never writes to it, is gone.
func outlive(parent io.Reader) {
	_, _ = io.Copy(io.Discard, parent) // however it ends, it has ended
	fmt.Fprintln(os.Stderr, "devcluster: the parent is gone")
	os.Exit(1)
}

func runEtcd(args []string) error {
	etcdmain.Main(append([]string{"etcd"}, args...)) // exits on error
	return nil
}

func command(new func() *cobra.Command) func(args []string) error {
	return func(args []string) error {
		c := new()
		c.SetArgs(args)
		os.Exit(cli.Run(c)) // prints the error
		return nil
	}
}

// loopback is the only address that anything listens on.
const loopback = "127.0.0.1"

// etcdSocket is where etcd listens: a socket in a directory that only its owner
// can enter needs neither a port nor certificates. A relative name is never too
// long for one.
const etcdSocket = "etcd.sock"

func etcdArgs(int) []string {
	return []string{
		"--name=devcluster",
		"--data-dir=etcd",
		"--listen-client-urls=unix://" + etcdSocket,
		"--advertise-client-urls=http://" + loopback + ":0", // must have this form; nobody asks
		"--listen-peer-urls=unix://peer.sock",
		"--initial-advertise-peer-urls=http://" + loopback + ":0",
		"--initial-cluster=devcluster=http://" + loopback + ":0",
		"--unsafe-no-fsync",
		"--snapshot-count=2000",
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}
}

func apiserverArgs(port int) []string {
	return []string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", port),
		"--permit-port-sharing", // with the reservation
		"--advertise-address=" + loopback,
		"--endpoint-reconciler-type=none", // an Endpoints must not hold a loopback address
		"--tls-cert-file=pki/apiserver.crt",
		"--tls-private-key-file=pki/apiserver.key",
		"--client-ca-file=pki/ca.crt",
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=pki/service-account.key",
		"--service-account-signing-key-file=pki/service-account.key",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged",
		// Nobody takes the taints off: see managerArgs.
		"--disable-admission-plugins=TaintNodesByCondition",
		"--v=0",
	}
}

// managerArgs leaves out the controllers that wait for what is not there:
// kwok's nodes neither renew leases nor mount volumes, and nobody issues
// certificates.
func managerArgs(int) []string {
	return []string{
		"--kubeconfig=pki/controller-manager.kubeconfig",
		"--secure-port=0",
		"--leader-elect=false",
		"--service-account-private-key-file=pki/service-account.key",
		"--root-ca-file=pki/ca.crt",
		"--controllers=*" +
			",-node-lifecycle-controller,-node-ipam-controller,-node-route-controller,-service-lb-controller" +
			",-cloud-node-lifecycle-controller,-taint-eviction-controller,-device-taint-eviction-controller" +
			",-persistentvolume-attach-detach-controller,-persistentvolume-expander-controller,-ttl-controller" +
			",-certificatesigningrequest-signing-controller,-legacy-serviceaccount-token-cleaner-controller",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--v=0",
	}
}

// schedulerConfig is a file because the flags for the client are going away.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: pki/scheduler.kubeconfig
  qps: 1000
  burst: 2000
leaderElection:
  leaderElect: false
`

func schedulerArgs(int) []string {
	return []string{"--config=scheduler.yaml", "--secure-port=0", "--v=0"}
}

func kwokArgs(int) []string {
	return []string{"pki/kwok.kubeconfig"}
}
