package flux

import (
	"cmp"
	"fmt"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/source"
)

var (
	// accountName matches names of service accounts.
	accountName = lazy.Compile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

	amazonRole    = lazy.Compile(`^arn:aws[\w-]*:iam::[0-9]{1,30}:role/[\w+=,.@/-]{1,200}$`)
	azureID       = lazy.Compile(`^[0-9A-Za-z.-]{1,100}$`) // tenants go by domains, too
	googleAccount = lazy.Compile(`^[a-zA-Z0-9-]{1,100}@[a-zA-Z0-9-]{1,100}\.iam\.gserviceaccount\.com$`)
	googlePool    = lazy.Compile(`^projects/[0-9]{1,30}/locations/global/workloadIdentityPools/[\w-]{1,100}/providers/[\w-]{1,100}$`)
)

// An annotation of a service account says who it is at a cloud.
type annotation struct {
	key  string
	form *lazy.Regexp
	like string
	need bool
}

var (
	amazonRoleKey = annotation{"eks.amazonaws.com/role-arn", amazonRole, "arn:aws:iam::111122223333:role/apps", true}
	azureClient   = annotation{"azure.workload.identity/client-id", azureID, "00000000-0000-0000-0000-000000000000", true}
	azureTenant   = annotation{"azure.workload.identity/tenant-id", azureID, "00000000-0000-0000-0000-000000000000", true}
	googleAs      = annotation{"iam.gke.io/gcp-service-account", googleAccount, "apps@project.iam.gserviceaccount.com", false}
	googleBy      = annotation{"gcp.auth.fluxcd.io/workload-identity-provider", googlePool, "projects/123456789/locations/global/workloadIdentityPools/POOL/providers/PROVIDER", false}
)

// A claim is to be who a service account is at a cloud.
type claim struct {
	cloud     string
	field     string // that names the account
	namespace string
	account   string // its name; "" means what this program runs as
}

// identity returns who a claim is by. What is wrong is refused in the name of the
// field; err is r's.
func (f flux) identity(c claim, r dialect.Reader) (id cloud.Identity, refused, err error) {
	id.Cloud = c.cloud
	if c.account == "" {
		return id, nil, nil
	}
	id.Account = c.namespace + "/" + c.account
	switch {
	case !f.on(workloadIdentity):
		return id, refuse(featureDisabled, nil, "%s needs the feature gate %s: start the controller with --feature-gates=%[2]s=true", c.field, workloadIdentity), nil
	case !accountName.MatchString(c.account):
		return id, refuse("", nil, "%s: %.100q is not the name of a service account", c.field, c.account), nil
	case c.cloud == cloud.Generic:
		return id, nil, nil
	}
	k := keyring{ns: c.namespace, r: r}
	o, ok := k.get("ServiceAccount", c.account)
	if !ok {
		return id, denied(fmt.Sprintf("%s: service account '%s' not found", c.field, id.Account)), k.err
	}
	say := func(a annotation) (v string) {
		v = o.Annotation(a.key)
		if (a.need || v != "") && !a.form.MatchString(v) {
			refused = cmp.Or(refused, denied(fmt.Sprintf("%s: service account '%s': its annotation %s is %.200q: it must be one such as %s", c.field, id.Account, a.key, v, a.like)))
		}
		return v
	}
	switch c.cloud {
	case cloud.AWS:
		id.Role = say(amazonRoleKey)
	case cloud.Microsoft:
		id.Role, id.Pool = say(azureClient), say(azureTenant)
	case cloud.GCP:
		id.Role, id.Pool = say(googleAs), say(googleBy)
	}
	return id, refused, nil
}

// cloudOf sets by which identity a feed gets in at its server: that of the
// account which it names, or the usual one where objects may have their own.
// What is wrong is the feed's; its error is r's.
func (f flux) cloudOf(feed *source.Feed, provider, account string, r dialect.Reader) error {
	field := "spec.serviceAccountName"
	if account == "" && f.on(workloadIdentity) {
		field, account = "--default-service-account", f.DefaultServiceAccount
	}
	id, refused, err := f.identity(claim{provider, field, feed.Name.Namespace, account}, r)
	if refused == nil {
		feed.Remote.Access.Cloud = id
	}
	feed.Err = cmp.Or(feed.Err, refused)
	return err
}
