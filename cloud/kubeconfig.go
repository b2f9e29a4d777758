package cloud

import (
	"go.yaml.in/yaml/v3"
)

// readKubeconfig returns where the cluster is that a kubeconfig's current context
// names. Who gets in there, and how, is not read.
func readKubeconfig(data []byte) (Spot, error) {
	var file struct {
		Current  string `yaml:"current-context"`
		Contexts []struct {
			Name    string
			Context struct{ Cluster string }
		}
		Clusters []struct {
			Name    string
			Cluster struct {
				Server string
				CA     string `yaml:"certificate-authority-data"`
			}
		}
	}
	if yaml.Unmarshal(data, &file) != nil {
		return Spot{}, denial("the cloud's kubeconfig can't be read")
	}
	name := ""
	for _, c := range file.Contexts {
		if c.Name == file.Current {
			name = c.Context.Cluster
		}
	}
	for _, c := range file.Clusters {
		if c.Name == name {
			return spotAt(c.Cluster.Server, c.Cluster.CA)
		}
	}
	return Spot{}, denial("the cloud's kubeconfig does not say where its cluster is")
}
