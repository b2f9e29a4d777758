package flux

import (
	"regexp"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
)

// accountName matches names of service accounts.
var accountName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// identity returns who a service account of a namespace is at a cloud. An
// account of "" is what this program runs as. What is wrong is refused in the
// name of the field that says so; err is r's.
func (f flux) identity(at, field, namespace, account string, r dialect.Reader) (id cloud.Identity, refused, err error) {
	id.Cloud = at
	if account == "" {
		return id, nil, nil
	}
	id.Account = namespace + "/" + account
	switch {
	case !f.on(workloadIdentity):
		return id, refuse(featureDisabled, nil, "%s needs the feature gate %s: start the controller with --feature-gates=%[2]s=true", field, workloadIdentity), nil
	case !accountName.MatchString(account):
		return id, refuse("", nil, "%s: %.100q is not the name of a service account", field, account), nil
	}
	return id, nil, nil
}
