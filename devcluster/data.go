package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A data is the directory that holds a cluster, locked:
//
//	lock                  says that the directory is a cluster's
//	pki/                  certificates and keys
//	port                  the API server's port
//	kubeconfig, */NAME    credentials of the administrator and the components
//	etcd/, etcd.sock      the objects, and where to ask for them
//	logs/                 what the components say
type data struct {
	path string // absolute
	lock *os.File
}

// openData locks the cluster's directory at path, made if it is not there. An
// empty path is a fresh temporary directory.
func openData(path string) (*data, error) {
	if path == "" {
		tmp, err := os.MkdirTemp("", "devcluster-")
		if err != nil {
			return nil, fmt.Errorf("make the data directory: %w", err)
		}
		path = tmp
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := ours(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	d := &data{path: path}
	if d.lock, err = lock(d.file("lock")); err != nil {
		return nil, err
	}
	return d, nil
}

// ours fails if there is something at path that is no cluster, which close
// would remove.
func ours(path string) error {
	entries, err := os.ReadDir(path)
	if len(entries) == 0 && (err == nil || errors.Is(err, os.ErrNotExist)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, "lock")); err != nil {
		return fmt.Errorf("data directory %s: neither empty nor a cluster's", path)
	}
	return nil
}

func lock(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: another devcluster runs there (%w)", file, err)
	}
	return f, nil
}

func (d *data) file(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// close unlocks d and leaves it.
func (d *data) close() { d.lock.Close() }

// remove removes all of d.
func (d *data) remove() error {
	err := os.RemoveAll(d.path)
	d.close()
	return err
}

// port returns the port that d's API server had, or 0.
func (d *data) port() int {
	b, err := os.ReadFile(d.file("port"))
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(strings.TrimSpace(string(b))) // any other will do
	return port
}

// fill makes in d what the components need, for an API server at port. What
// is there stays, but for the port.
func (d *data) fill(port int) error {
	if err := os.RemoveAll(d.file(etcdSocket)); err != nil { // of an etcd that was killed
		return err
	}
	if err := os.MkdirAll(d.file("logs"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(d.file("port"), fmt.Appendln(nil, port), 0o600); err != nil {
		return err
	}
	if err := makePKI(d.file("pki")); err != nil {
		return err
	}
	for _, s := range clients {
		if err := d.writeKubeconfig(s.file, port, d.file("pki", s.file+".kubeconfig")); err != nil {
			return err
		}
	}
	return os.WriteFile(d.file("scheduler.yaml"), []byte(schedulerConfig), 0o600)
}

// writeKubeconfig writes to file the means to reach the API server at port as
// the client.
func (d *data) writeKubeconfig(client string, port int, file string) error {
	config := clientcmdapi.NewConfig()
	config.CurrentContext = "devcluster"
	config.Contexts["devcluster"] = &clientcmdapi.Context{Cluster: "devcluster", AuthInfo: client}
	config.Clusters["devcluster"] = &clientcmdapi.Cluster{
		Server:               fmt.Sprintf("https://%s:%d", loopback, port),
		CertificateAuthority: d.file("pki", "ca.crt"),
	}
	config.AuthInfos[client] = &clientcmdapi.AuthInfo{
		ClientCertificate: d.file("pki", client+".crt"),
		ClientKey:         d.file("pki", client+".key"),
	}
	// Whole in one file, so that it can be copied.
	if err := clientcmdapi.FlattenConfig(config); err != nil {
		return fmt.Errorf("write kubeconfig of %s: %w", client, err)
	}
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("write kubeconfig of %s: %w", client, err)
	}
	return nil
}
