package flux

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/unit"
)

// kubeconfigKeys are where a kubeconfig is looked for in a Secret if the
// reference does not say.
var kubeconfigKeys = []string{"value", "value.yaml"}

// target returns the cluster that ks is kept in, and as whom. Its error is r's.
func (f flux) target(ks kustomizev1.Kustomization, r dialect.Reader) (unit.Target, error) {
	var t unit.Target
	if name := cmp.Or(ks.Spec.ServiceAccountName, f.DefaultServiceAccount); name != "" {
		t.As = fmt.Sprintf("system:serviceaccount:%s:%s", ks.Namespace, name)
	}
	at := ks.Spec.KubeConfig
	var err error
	switch {
	case at == nil:
	case (at.SecretRef == nil) == (at.ConfigMapRef == nil):
		t.Err = refuse("", nil, "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified")
	case at.ConfigMapRef != nil:
		t.Login, t.Err, err = f.login(ks.Namespace, at.ConfigMapRef.Name, r)
	default:
		var s secret
		if s, err = secretNamed(ks.Namespace, at.SecretRef.Name, r); err == nil {
			t.Kubeconfig, t.Err = s.kubeconfig(at.SecretRef.Key)
		}
	}
	return t, err
}

// login returns how the ConfigMap of that name says to get in at a cluster. What
// is wrong with it is refused; err is r's.
func (f flux) login(namespace, name string, r dialect.Reader) (l unit.Login, refused, err error) {
	from, err := lookUp(object.ID{Kind: object.Kind{Name: "ConfigMap"}, Namespace: namespace, Name: name}, r)
	if err != nil {
		return l, nil, err
	}
	wrong := func(format string, args ...any) (unit.Login, error, error) {
		return unit.Login{}, refusal{reconcileFailed, "kubeConfig: configmap '" + namespace + "/" + name + "' " + fmt.Sprintf(format, args...), nil}, nil
	}
	if from.missing {
		return wrong("not found: create it with 'provider', and what that needs")
	}
	l.Cluster, l.Address, l.CA = from.data[meta.KubeConfigKeyCluster], from.data[meta.KubeConfigKeyAddress], from.data[meta.KubeConfigKeyCACert]
	l.Audiences = strings.Join(strings.Fields(from.data[meta.KubeConfigKeyAudiences]), "\n")
	account := cmp.Or(from.data[meta.KubeConfigKeyServiceAccountName], f.KubeconfigAccount)
	provider := from.data[meta.KubeConfigKeyProvider]
	switch provider {
	case "":
		return wrong("has no 'provider': it must be one of aws, azure, gcp and generic")
	case cloud.Generic:
		if l.Address == "" {
			return wrong("has no 'address', which provider generic needs")
		}
		if account == "" {
			return wrong("has no 'serviceAccountName': our own token is shown to no server that an object names")
		}
		l.Cluster, l.Audiences = "", cmp.Or(l.Audiences, l.Address)
	case cloud.AWS, cloud.Microsoft, cloud.GCP:
		l.Audiences = ""
		known := account != "" && l.Address != "" && l.CA != "" && provider != cloud.AWS // whose tokens are for one cluster
		if err := cloud.IsCluster(provider, l.Cluster); err != nil && (l.Cluster != "" || !known) {
			return wrong("has a 'cluster' that provider %s can't have: %s", provider, err)
		}
	default:
		return wrong("has the provider '%s': it must be one of aws, azure, gcp and generic", provider)
	}
	if u, err := url.Parse(l.Address); l.Address != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "") {
		return wrong("has an 'address' that is no https URL")
	}
	l.Identity, refused, err = f.identity(claim{provider, "kubeConfig: configmap '" + namespace + "/" + name + "': serviceAccountName", namespace, account}, r)
	if refused != nil {
		l = unit.Login{}
	}
	return l, refused, err
}

// kubeconfig returns the kubeconfig that a Secret holds under a key.
func (s secret) kubeconfig(key string) (unit.Secret, error) {
	refuse := func(format string, args ...any) (unit.Secret, error) {
		return "", refusal{reconcileFailed, "kubeConfig: secret '" + s.name + "' " + fmt.Sprintf(format, args...), nil}
	}
	keys := kubeconfigKeys
	if key != "" {
		keys = []string{key}
	}
	switch {
	case s.missing:
		return refuse("not found: create it with the kubeconfig of the cluster under the key '%s'", keys[0])
	case s.bad != "":
		return refuse("is unreadable: the value of '%s' is not base64", s.bad)
	}
	for _, k := range keys {
		if v := s.data[k]; v != "" {
			return unit.Secret(v), nil
		}
	}
	return refuse("has no kubeconfig: the key '%s' is missing or empty", keys[0])
}

// secretNamed returns the Secret of that name. Its error is r's.
func secretNamed(namespace, name string, r dialect.Reader) (secret, error) {
	s := secret{name: namespace + "/" + name}
	o, ok, err := r.Get(object.ID{Kind: object.Kind{Name: "Secret"}, Namespace: namespace, Name: name})
	if err != nil || !ok {
		s.missing = true
		return s, err
	}
	s.data, s.bad = values(o)
	return s, nil
}
