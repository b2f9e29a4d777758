// Devcluster is a Kubernetes cluster in one binary, for tests and for the demo.
//
// It holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler and
// kwok's controllers, which play the kubelet for nodes that are not there.
// Each runs as a process of its own, on loopback only:
//
//	devcluster up [--data DIR] [--keep] [--nodes N] [--kubeconfig FILE]
//	devcluster version
//
// # Up
//
// When the API server is ready, the default ServiceAccount exists and the
// nodes are Ready, up prints one line to standard output, and never another:
//
//	ready: KUBECONFIG=<path>
//
// Everything else goes to standard error; what the components say goes to
// DIR/logs. Up then waits for SIGINT or SIGTERM, upon which it ends all it
// started, removes DIR and the kubeconfig, and exits with 0. A second signal
// ends it at once. If a component dies, up says which, shows the end of its
// log and exits with 1. The components die with up however it dies.
//
// With --keep, DIR stays, and a later up of the same DIR goes on with the same
// objects, the same certificates and, if nobody took it, the same port.
// Without --data, DIR is a fresh temporary directory. Any number of clusters
// can run side by side.
//
// # Pods
//
// A scheduled pod is Ready at once, a Job's pod goes on to Succeeded, a
// deleted pod is gone at once. The annotation devcluster.sane.dev/pod on the
// pod (so: in the pod template) asks for something else:
//
//	unready    runs, and never becomes Ready
//	fail       exits with 1: CrashLoopBackOff, or phase Failed if its
//	           restartPolicy is Never
//	imagepull  stays Pending: ImagePullBackOff
//
// Changing or removing the annotation of a live pod makes it the pod that it
// then asks for, as long as its phase is Pending or Running.
//
// # Source
//
// Bottom up: process.go runs this binary again as a child that cannot outlive
// it, component.go is what the children run, kwok.go and status/ are the
// kubelet, pki.go and data.go are what DIR holds, port.go finds the one port,
// and cluster.go puts them together.
package main
