package flux

import (
	"encoding/json"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/unit"
)

// What is done beside building, unless an object asks that it not be done.
var (
	decrypting    = render.Step{Unless: render.Mark{Key: kustomizeGroup + "/decrypt", Value: "disabled"}}
	substituting  = render.Step{Unless: render.Mark{Key: kustomizeGroup + "/substitute", Value: "disabled"}}
	substituteLax = render.Step{Unless: substituting.Unless, Lax: true}
)

// learn finds the variables and keys that u is to be rendered with, and says so
// in its recipe. Its error is r's; what is wrong with them is u's.
func (f flux) learn(u *unit.Unit, spec kustomizev1.KustomizationSpec, r dialect.Reader) error {
	facts := make(render.Known)
	if err := f.variables(u, facts, spec.PostBuild, r); err != nil || u.Err != nil {
		return err
	}
	if err := f.keys(u, facts, spec.Decryption, r); err != nil || u.Err != nil {
		return err
	}
	if len(facts) > 0 {
		u.Facts = facts
	}
	return nil
}

// variables adds the values of variables: what is said inline outranks what is
// referred to, and later references outrank earlier ones.
func (f flux) variables(u *unit.Unit, facts render.Known, p *kustomizev1.PostBuild, r dialect.Reader) error {
	if p == nil {
		return nil
	}
	for _, ref := range p.SubstituteFrom {
		from, err := lookUp(object.ID{Kind: object.Kind{Name: ref.Kind}, Namespace: u.Name.Namespace, Name: ref.Name}, r)
		if err != nil {
			return err
		}
		if from.missing && ref.Optional {
			continue
		}
		if u.Err = from.check("spec.postBuild.substituteFrom"); u.Err != nil {
			return nil
		}
		for name, value := range from.data {
			facts[render.Var(name)] = render.Fact{Value: oneLine(value), Secret: ref.Kind == "Secret"}
		}
	}
	for name, value := range p.Substitute {
		facts[render.Var(name)] = render.Fact{Value: oneLine(value)}
	}
	for fact := range facts {
		if name := strings.TrimPrefix(fact, render.Var("")); !variable.MatchString(name) {
			u.Err = misnamed(u.Err, name)
		}
	}
	if len(facts) > 0 || p.SubstituteStrategy == kustomizev1.SubstituteStrategyAlways {
		u.Recipe.Substitute = &substituting
		if !f.on(strictVariables) {
			u.Recipe.Substitute = &substituteLax
		}
	}
	return nil
}

var variable = lazy.Compile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// misnamed returns an error about the first of the names that are none.
func misnamed(known error, name string) error {
	var err error = refusal{buildFailed, "spec.postBuild: '" + name + "' can't be a variable: names must match " + variable.String(), nil}
	if known != nil && known.Error() < err.Error() {
		return known
	}
	return err
}

func oneLine(value string) string { return strings.ReplaceAll(value, "\n", "") }

// keys adds what to decrypt with.
func (f flux) keys(u *unit.Unit, facts render.Known, d *kustomizev1.Decryption, r dialect.Reader) error {
	if d == nil {
		return nil
	}
	u.Recipe.Decrypt = &decrypting
	if err := f.claimants(u, facts, d, r); err != nil || u.Err != nil {
		return err
	}
	id := object.ID{Kind: object.Kind{Name: "Secret"}, Namespace: u.Name.Namespace}
	if d.SecretRef != nil {
		id.Name = d.SecretRef.Name
	} else if id.Namespace, id.Name, _ = strings.Cut(f.AgeSecret, "/"); id.Name == "" {
		return nil
	}
	from, err := lookUp(id, r)
	if err != nil {
		return err
	}
	if u.Err = from.check("spec.decryption.secretRef"); u.Err != nil {
		return nil
	}
	data, err := json.Marshal(from.data)
	if err != nil {
		return err
	}
	facts[render.Keys] = render.Fact{Value: string(data), Secret: true}
	return nil
}

// claimants adds who asks where keys are kept by others: the service account that
// decrypts, or this program. That it is nobody at some cloud is for those to know
// who would ask there.
func (f flux) claimants(u *unit.Unit, facts render.Known, d *kustomizev1.Decryption, r dialect.Reader) error {
	c := claim{field: "spec.decryption.serviceAccountName", namespace: u.Name.Namespace, account: d.ServiceAccountName}
	if c.account == "" && f.DecryptionAccount != "" {
		c.field, c.account = "--default-decryption-service-account", f.DecryptionAccount
	}
	logins, why, err := f.vaults(r)
	if err != nil {
		return err
	}
	for _, at := range []string{cloud.AWS, cloud.Microsoft, cloud.GCP, render.Vault} {
		if c.cloud = at; at == render.Vault {
			c.cloud = cloud.Generic
		}
		id, refused, err := f.identity(c, r)
		switch {
		case err != nil:
			return err
		case refused != nil && fault.IsInput(refused):
			u.Err = refused
			return nil
		case at == render.Vault && f.VaultConfigMap == "":
			continue
		}
		who := render.Claimant{Identity: id}
		switch {
		case refused != nil:
			who = render.Claimant{Why: refused.Error()}
		case at == render.Vault:
			who.Logins, who.Why = logins, why
		}
		data, err := json.Marshal(who)
		if err != nil {
			return err
		}
		facts[render.As(at)] = render.Fact{Value: string(data), Secret: true} // so that what is made with it is
	}
	return nil
}

// vaults returns where to log in at which Vault, or why that is not known. Its
// error is r's.
func (f flux) vaults(r dialect.Reader) (logins map[string]string, why string, err error) {
	if f.VaultConfigMap == "" {
		return nil, "", nil
	}
	id := object.ID{Kind: object.Kind{Name: "ConfigMap"}}
	id.Namespace, id.Name, _ = strings.Cut(f.VaultConfigMap, "/")
	from, err := lookUp(id, r)
	if err != nil {
		return nil, "", err
	}
	if from.missing {
		return nil, "the ConfigMap " + f.VaultConfigMap + " of --sops-vault-configmap is not there", nil
	}
	var config kustomizev1.VaultConfig
	if err := yaml.Unmarshal([]byte(from.data["config.yaml"]), &config); err != nil || from.data["config.yaml"] == "" {
		return nil, "the ConfigMap " + f.VaultConfigMap + " of --sops-vault-configmap has no 'config.yaml' with 'instances'", nil
	}
	logins = make(map[string]string)
	for _, i := range config.Instances {
		logins[i.Address] = i.LoginPath
	}
	return logins, "", nil
}

// A referent is what a ConfigMap or a Secret holds that a field refers to.
type referent struct {
	id      object.ID
	missing bool
	bad     string // a key whose value is not base64
	data    map[string]string
}

// lookUp returns what the object of that name holds. Its error is r's.
func lookUp(id object.ID, r dialect.Reader) (referent, error) {
	o, ok, err := r.Get(id)
	if err != nil || !ok {
		return referent{id: id, missing: true}, err
	}
	if id.Kind.Name != "Secret" {
		return referent{id: id, data: fields(o, "data")}, nil
	}
	data, bad := values(o)
	return referent{id, false, bad, data}, nil
}

// check returns why what a field refers to can't be used. That is cured
// elsewhere than in the object that has the field.
func (ref referent) check(field string) error {
	switch {
	case ref.missing:
		return refusal{buildFailed, field + ": " + ref.id.String() + " not found: create it, and this is tried again", nil}
	case ref.bad != "":
		return refusal{buildFailed, field + ": " + ref.id.String() + ": the value of '" + ref.bad + "' is not base64", nil}
	}
	return nil
}
