package flux

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// A secret is what a Secret holds of a repository's credentials.
type secret struct {
	name    string // "namespace/name", or "" if none is asked for
	missing bool
	bad     string // a key whose value is not base64
	data    map[string]string
}

// secretOf returns the Secret in a namespace that ref refers to, if it does.
// Its error is r's.
func secretOf(namespace string, ref *meta.LocalObjectReference, r dialect.Reader) (secret, error) {
	if ref == nil {
		return secret{}, nil
	}
	return secretNamed(namespace, ref.Name, r)
}

// values returns what a Secret holds in its data and stringData, and the key
// of a value that can't be read.
func values(o object.Object) (data map[string]string, bad string) {
	data = make(map[string]string)
	for key, v := range fields(o, "data") {
		text, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return nil, key
		}
		data[key] = string(text)
	}
	for key, v := range fields(o, "stringData") {
		data[key] = v
	}
	return data, ""
}

// fields returns the strings in the map at a path of o.
func fields(o object.Object, path ...string) map[string]string {
	v, _ := o.Get(path...)
	m, _ := v.(map[string]any)
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

var githubAppKeys = []string{"githubAppID", "githubAppInstallationID", "githubAppInstallationOwner", "githubAppPrivateKey"}

// unreadable says why nothing can be read of a Secret, or "".
func (s secret) unreadable() string {
	switch {
	case s.missing:
		_, name, _ := strings.Cut(s.name, "/")
		return "failed to get secret '" + s.name + `': secrets "` + name + `" not found`
	case s.bad != "":
		return "secret '" + s.name + "': the value of '" + s.bad + "' is not base64"
	}
	return ""
}

// access returns the credentials for a server.
func (s secret) access(at *url.URL) (source.Access, error) {
	switch why := s.unreadable(); {
	case why != "":
		return source.Access{}, denied(why)
	case at.Scheme == "ssh":
		return s.ssh(at)
	}
	return s.http(at)
}

func (s secret) http(at *url.URL) (source.Access, error) {
	a := source.Access{
		Username: s.data["username"],
		Password: s.data["password"],
		Bearer:   s.data["bearerToken"],
		CA:       bytesOf(s.data["ca.crt"], s.data["caFile"]),
		Cert:     bytesOf(s.data["tls.crt"], s.data["certFile"]),
		Key:      bytesOf(s.data["tls.key"], s.data["keyFile"]),
	}
	if (a.Cert == nil) != (a.Key == nil) {
		return source.Access{}, denied("invalid '" + s.name + "' auth option: 'tls.crt' and 'tls.key' are required together")
	}
	if a.Username != "" && a.Password == "" {
		return source.Access{}, denied("invalid '" + s.name + "' auth option: password required when username is set")
	}
	if a.Username != "" && a.Bearer != "" {
		return source.Access{}, denied("invalid '" + s.name + "' auth option: bearer token and username can't be set both")
	}
	if s.hasAny(githubAppKeys) {
		var err error
		a.App, err = s.app()
		return a, err
	}
	if a.Username == "" && a.Bearer == "" {
		a.Username = at.User.Username()
		a.Password, _ = at.User.Password()
	}
	return a, nil
}

// app returns the GitHub App that the Secret tells of.
func (s secret) app() (*source.App, error) {
	a := &source.App{
		ID:           s.data["githubAppID"],
		Installation: s.data["githubAppInstallationID"],
		Owner:        s.data["githubAppInstallationOwner"],
		Key:          []byte(s.data["githubAppPrivateKey"]),
		API:          s.data["githubAppBaseURL"],
	}
	why := ""
	switch {
	case a.ID == "":
		why = "'githubAppID' is missing"
	case len(a.Key) == 0:
		why = "'githubAppPrivateKey' is missing"
	case a.Installation == "" && a.Owner == "":
		why = "'githubAppInstallationID' or 'githubAppInstallationOwner' is required"
	case a.Installation != "" && a.Owner != "":
		why = "only one of 'githubAppInstallationID' and 'githubAppInstallationOwner' may be set"
	default:
		return a, nil
	}
	return nil, denied("invalid github app secret '" + s.name + "': " + why)
}

// fits returns an error if what the Secret holds is not for that provider.
func (s secret) fits(provider string, at *url.URL) error {
	github := provider == sourcev1.GitProviderGitHub
	switch {
	case inCloud(provider) && !cloud.HasGit(provider, at):
		where := map[string]string{sourcev1.GitProviderAzure: "dev.azure.com and visualstudio.com", sourcev1.GitProviderAWS: "git-codecommit.REGION.amazonaws.com"}
		return refuse(badProvider, nil, "provider %s is for https urls at %s: its token is sent nowhere else", provider, where[provider])
	case inCloud(provider) && s.hasAny([]string{"ca.crt", "caFile"}):
		return refuse(badProvider, nil, "secretRef '%s' has a ca.crt, which provider %s does not trust: whoever chose it could read its token", s.name, provider)
	case github && s.name == "":
		return refuse(badProvider, nil, "secretRef with github app data must be specified when provider is set to github")
	case s.unreadable() != "":
		return nil
	case github && !s.hasAny(githubAppKeys):
		return refuse(badProvider, nil, "secretRef '%s' has no github app data but provider is set to github", s.name)
	case github && at.Scheme == "ssh":
		return refuse(badProvider, nil, "provider github needs an http or https url")
	case !github && s.hasAny(githubAppKeys):
		return refuse(badProvider, nil, "secretRef '%s' has github app data but provider is not set to github", s.name)
	}
	return nil
}

func (s secret) ssh(at *url.URL) (source.Access, error) {
	a := source.Access{
		Username:   at.User.Username(),
		Password:   s.data["password"],
		Identity:   bytesOf(s.data["identity"]),
		KnownHosts: bytesOf(s.data["known_hosts"]),
	}
	if a.Username == "" {
		a.Username = "git"
	}
	switch {
	case s.name == "":
		return source.Access{}, denied("ssh needs a secret with 'identity' and 'known_hosts': set spec.secretRef")
	case a.Identity == nil:
		return source.Access{}, denied("invalid '" + s.name + "' auth option: 'identity' is required for ssh")
	case a.KnownHosts == nil:
		return source.Access{}, denied("invalid '" + s.name + "' auth option: 'known_hosts' is required for ssh")
	}
	return a, nil
}

// denied returns an error that is cured elsewhere than in the repository's
// own object.
func denied(text string) error { return refusal{authFailed, text, source.ErrAuth} }

func (s secret) hasAny(keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return s.data[k] != "" })
}

// bytesOf returns the first text that is not empty, or nil.
func bytesOf(texts ...string) []byte {
	for _, t := range texts {
		if t != "" {
			return []byte(t)
		}
	}
	return nil
}

// proxy returns the URL of the proxy that the Secret tells of, with who asks.
func (s secret) proxy() (string, error) {
	if s.name == "" {
		return "", nil
	}
	if why := s.unreadable(); why != "" {
		return "", denied(why)
	}
	address := s.data["address"]
	if address == "" {
		return "", denied("invalid proxy secret '" + s.name + "': key 'address' is missing")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", denied("invalid proxy secret '" + s.name + "': 'address' is not a URL such as http://proxy.example.com:3128")
	}
	if s.data["username"] != "" || s.data["password"] != "" {
		u.User = url.UserPassword(s.data["username"], s.data["password"])
	}
	return u.String(), nil
}
