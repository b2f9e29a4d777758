package flux

import (
	"cmp"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

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
	switch {
	case at == nil:
	case at.SecretRef == nil:
		t.Err = unsupported(field{"spec.kubeConfig.configMapRef", true})
	default:
		s, err := secretNamed(ks.Namespace, at.SecretRef.Name, r)
		if err != nil {
			return t, err
		}
		t.Kubeconfig, t.Err = s.kubeconfig(at.SecretRef.Key)
	}
	return t, nil
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
