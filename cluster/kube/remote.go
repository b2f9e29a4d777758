package kube

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Remote returns how to reach the cluster that a kubeconfig's current context
// names. Whoever wrote the kubeconfig is not trusted: one that would run a
// program or read a file where we run, or that does not check who the server
// is, is refused.
func Remote(kubeconfig []byte) (*rest.Config, error) {
	c, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, errors.New("the kubeconfig is not valid") // err may repeat what is in it
	}
	context := c.Contexts[c.CurrentContext]
	if context == nil {
		return nil, fmt.Errorf("the kubeconfig has no context %q: set current-context", c.CurrentContext)
	}
	if why := suspicious(c.Clusters[context.Cluster], c.AuthInfos[context.AuthInfo]); why != "" {
		return nil, errors.New("the kubeconfig " + why)
	}
	return clientcmd.NewDefaultClientConfig(*c, nil).ClientConfig()
}

// suspicious says what is wrong with a cluster and its user, or "".
func suspicious(at *api.Cluster, user *api.AuthInfo) string {
	switch {
	case at == nil:
		return "does not say where the cluster of its current context is"
	case at.InsecureSkipTLSVerify:
		return "skips the verification of the server's certificate: give certificate-authority-data instead"
	case at.CertificateAuthority != "":
		return "names a file: give certificate-authority-data instead of certificate-authority"
	case user == nil:
		return ""
	case user.Exec != nil:
		return "runs a program to get credentials, which is not allowed here: give a token or a client certificate"
	case user.AuthProvider != nil:
		return "uses an auth-provider, which is not supported: give a token or a client certificate"
	case user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "":
		return "names a file: give client-certificate-data, client-key-data and token instead"
	}
	return ""
}
