package flux

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

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

// secretOf returns the Secret that repo refers to. Its error is r's.
func secretOf(repo sourcev1.GitRepository, r dialect.Reader) (secret, error) {
	ref := repo.Spec.SecretRef
	if ref == nil {
		return secret{}, nil
	}
	return secretNamed(repo.Namespace, ref.Name, r)
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

var (
	clientCertKeys = []string{"tls.crt", "tls.key", "certFile", "keyFile"}
	githubAppKeys  = []string{"githubAppID", "githubAppInstallationID", "githubAppInstallationOwner", "githubAppPrivateKey"}
)

// access returns the credentials for a server.
func (s secret) access(at *url.URL) (source.Access, error) {
	switch {
	case s.missing:
		_, name, _ := strings.Cut(s.name, "/")
		return source.Access{}, denied("failed to get secret '" + s.name + `': secrets "` + name + `" not found`)
	case s.bad != "":
		return source.Access{}, denied("secret '" + s.name + "': the value of '" + s.bad + "' is not base64")
	case at.Scheme == "ssh":
		return s.ssh(at)
	}
	return s.http(at)
}

func (s secret) http(at *url.URL) (source.Access, error) {
	if err := unsupported(
		field{"mTLS (tls.crt and tls.key of secret '" + s.name + "')", s.hasAny(clientCertKeys)},
		field{"authentication as a GitHub app (secret '" + s.name + "')", s.hasAny(githubAppKeys)},
	); err != nil {
		return source.Access{}, err
	}
	a := source.Access{
		Username: s.data["username"],
		Password: s.data["password"],
		Bearer:   s.data["bearerToken"],
		CA:       bytesOf(s.data["ca.crt"], s.data["caFile"]),
	}
	if a.Username != "" && a.Password == "" {
		return source.Access{}, denied("invalid '" + s.name + "' auth option: password required when username is set")
	}
	if a.Username != "" && a.Bearer != "" {
		return source.Access{}, denied("invalid '" + s.name + "' auth option: bearer token and username can't be set both")
	}
	if a.Username == "" && a.Bearer == "" {
		a.Username = at.User.Username()
		a.Password, _ = at.User.Password()
	}
	return a, nil
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
