package flux

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// A keyring gets at Secrets of a namespace, and remembers what went wrong
// first.
type keyring struct {
	ns      string
	r       dialect.Reader
	refused error // what is wrong with them
	err     error // r's
}

func (k *keyring) refuse(err error) { k.refused = cmp.Or(k.refused, err) }

// unproven returns an error about what is needed to verify, which is cured
// elsewhere than in the source's own object.
func unproven(format string, args ...any) error {
	return refusal{verificationError, fmt.Sprintf(format, args...), source.ErrProof}
}

func (k *keyring) get(kind, name string) (object.Object, bool) {
	o, ok, err := k.r.Get(object.ID{Kind: object.Kind{Name: kind}, Namespace: k.ns, Name: name})
	k.err = cmp.Or(k.err, err)
	return o, ok && err == nil
}

// load returns a Secret as it is.
func (k *keyring) load(name string) secret {
	s := secret{name: k.ns + "/" + name}
	o, ok := k.get("Secret", name)
	if s.missing = !ok; ok {
		s.data, s.bad = values(o)
	}
	return s
}

// secret returns a Secret with credentials.
func (k *keyring) secret(name string) secret {
	s := k.load(name)
	switch {
	case s.missing:
		k.refuse(denied("failed to get secret '" + s.name + `': secrets "` + name + `" not found`))
	case s.bad != "":
		k.refuse(denied("secret '" + s.name + "': the value of '" + s.bad + "' is not base64"))
	}
	return s
}

// pullSecrets returns the Secrets that a ServiceAccount pulls images with. Of
// those that are not there nothing is said, as the kubelet says nothing.
func (k *keyring) pullSecrets(account string) []secret {
	o, ok := k.get("ServiceAccount", account)
	if !ok {
		k.refuse(denied("failed to get service account '" + k.ns + "/" + account + `': serviceaccounts "` + account + `" not found`))
		return nil
	}
	v, _ := o.Get("imagePullSecrets")
	list, _ := v.([]any)
	var all []secret
	for _, e := range list {
		m, _ := e.(map[string]any)
		if name, _ := m["name"].(string); name != "" {
			if s := k.load(name); !s.missing {
				all = append(all, s)
			}
		}
	}
	return all
}

// tls sets what a Secret says of whom to trust and who we are.
func (k *keyring) tls(a *source.Access, ref *meta.LocalObjectReference) {
	if ref == nil {
		return
	}
	s := k.secret(ref.Name)
	a.CA, a.Cert, a.Key = bytesOf(s.data["ca.crt"]), bytesOf(s.data["tls.crt"]), bytesOf(s.data["tls.key"])
	switch {
	case k.refused != nil:
	case a.CA == nil && a.Cert == nil && a.Key == nil:
		k.refuse(denied("secret '" + s.name + "' must contain 'ca.crt', or 'tls.crt' and 'tls.key'"))
	case (a.Cert == nil) != (a.Key == nil):
		k.refuse(denied("secret '" + s.name + "' must contain both 'tls.crt' and 'tls.key', or neither"))
	}
}

// proxy sets what a Secret says of a proxy.
func (k *keyring) proxy(a *source.Access, ref *meta.LocalObjectReference) {
	if ref == nil {
		return
	}
	s := k.secret(ref.Name)
	if k.refused != nil {
		return
	}
	u, err := url.Parse(s.data["address"])
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		k.refuse(denied("secret '" + s.name + "': 'address' must be the URL of an HTTP proxy"))
		return
	}
	if name := s.data["username"]; name != "" {
		u.User = url.UserPassword(name, s.data["password"])
	}
	a.Proxy = u.String()
}

// A dockerConfig is what Docker keeps of registries.
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Username, Password string
	Auth               string // both, with a colon between, in base64
	IdentityToken      string
}

const (
	dockerJSON = ".dockerconfigjson"
	dockerOld  = ".dockercfg"
)

// dockerAccess returns what a Secret holds for an image's repository: of the
// entries that match, the one with the longest name.
func dockerAccess(s secret, repository string) (source.Access, error) {
	if s.data == nil { // which has been said
		return source.Access{}, nil
	}
	var config dockerConfig
	var err error
	switch {
	case s.data[dockerJSON] != "":
		err = json.Unmarshal([]byte(s.data[dockerJSON]), &config)
	case s.data[dockerOld] != "":
		err = json.Unmarshal([]byte(s.data[dockerOld]), &config.Auths)
	default:
		return source.Access{}, denied("secret '" + s.name + "' has no '" + dockerJSON + "': it must be of type kubernetes.io/dockerconfigjson")
	}
	if err != nil {
		return source.Access{}, denied("secret '" + s.name + "': what it holds is not Docker's configuration in JSON")
	}
	best, found := "", dockerAuth{}
	for entry, auth := range config.Auths {
		name := registryOf(entry)
		if matchesRegistry(name, repository) && (best == "" || len(name) > len(best)) {
			best, found = name, auth
		}
	}
	a, err := found.access()
	if err != nil {
		return a, denied("secret '" + s.name + "': the entry for '" + best + "': " + err.Error())
	}
	return a, nil
}

// registryOf returns the host and path that an entry is about.
func registryOf(entry string) string {
	for _, scheme := range []string{"https://", "http://"} {
		entry = strings.TrimPrefix(entry, scheme)
	}
	entry = strings.TrimSuffix(entry, "/")
	for _, api := range []string{"/v1", "/v2"} {
		entry = strings.TrimSuffix(entry, api)
	}
	host, rest, _ := strings.Cut(entry, "/")
	if slices.Contains([]string{"index.docker.io", "registry-1.docker.io"}, host) {
		host = "docker.io"
	}
	return strings.TrimSuffix(host+"/"+rest, "/")
}

// matchesRegistry reports whether an entry is for a repository: its host's
// elements may hold wildcards, and its path must be the beginning of the
// repository's.
func matchesRegistry(entry, repository string) bool {
	host, dir, _ := strings.Cut(entry, "/")
	at, name, _ := strings.Cut(registryOf(repository), "/")
	a, b := strings.Split(host, "."), strings.Split(at, ".")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if ok, err := path.Match(a[i], b[i]); err != nil || !ok {
			return false
		}
	}
	return dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}

func (d dockerAuth) access() (source.Access, error) {
	a := source.Access{Username: d.Username, Password: d.Password, Bearer: d.IdentityToken}
	if d.Auth != "" {
		text, err := base64.StdEncoding.DecodeString(d.Auth)
		name, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return source.Access{}, errors.New("'auth' is not a user and a password in base64")
		}
		a.Username, a.Password = name, strings.TrimRight(password, "\x00")
	}
	if a.Bearer != "" { // the user is no more than a name for the token then
		a.Username, a.Password = "", ""
	}
	return a, nil
}
