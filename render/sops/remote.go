package sops

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/render"
)

// A remoteKey is one that never leaves those who keep it: they are asked to
// decrypt with it. Its string is what people know it as.
type remoteKey interface {
	fmt.Stringer

	// file is the name of the Secret's key that lets us in.
	file() string

	// usable reports whether there are such credentials.
	usable(remoteKeys) bool

	// decrypt returns a data key, or a part of one.
	decrypt(*calls, remoteKeys) ([]byte, error)
}

// The keys of the Secret by which we get in.
const (
	vaultFile  = "sops.vault-token"
	amazonFile = "sops.aws-kms"
	googleFile = "sops.gcp-kms"
	azureFile  = "sops.azure-kv"
)

// remote returns the keys of g that others keep, in the order in which they are
// asked.
func (g group) remote() (keys []remoteKey) {
	for _, k := range g.Vault {
		keys = append(keys, k)
	}
	for _, k := range g.KMS {
		keys = append(keys, k)
	}
	for _, k := range g.GCP {
		keys = append(keys, k)
	}
	for _, k := range g.Azure {
		keys = append(keys, k)
	}
	return keys
}

// files names what in a Secret would help with the keys of m.
func (m metadata) files() (names []string) {
	for _, g := range m.Groups {
		if len(g.Age) > 0 {
			names = append(names, "*.agekey")
		}
		if len(g.PGP) > 0 {
			names = append(names, "*.asc")
		}
		for _, k := range g.remote() {
			names = append(names, k.file())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// remoteKeys is what lets us in at those who keep keys.
type remoteKeys struct {
	vault  string // token
	amazon *cloud.Amazon
	google *cloud.Google
	azure  *cloud.Azure
	as     render.Facts // who asks where there is none of these; nil means nobody

	secrets []string // what no error may tell
}

// may reports whether somebody is said to ask at a cloud.
func (r *remoteKeys) may(cloud string) bool {
	if r.as == nil {
		return false
	}
	_, ok, err := r.as.Fact(render.As(cloud))
	return ok || err != nil // which will be told when it is asked again
}

// add reads a key of the Secret, if it is one that is known.
func (r *remoteKeys) add(name, content string) (known bool, err error) {
	switch name {
	case vaultFile:
		if r.vault = strings.TrimSpace(content); r.vault == "" || strings.ContainsAny(r.vault, "\r\n") {
			return true, errors.New("no token of Vault")
		}
		r.secrets = append(r.secrets, r.vault)
	case amazonFile:
		var a cloud.Amazon
		a, err = cloud.ReadAmazon(content)
		r.amazon, r.secrets = &a, append(r.secrets, a.Secret, a.Session)
	case googleFile:
		var g cloud.Google
		g, err = cloud.ReadGoogle(content)
		r.google = &g
	case azureFile:
		var a cloud.Azure
		a, err = cloud.ReadAzure(content)
		r.azure, r.secrets = &a, append(r.secrets, a.Secret())
	default:
		return false, nil
	}
	return true, err
}

// An outage is why those who keep a key did not decrypt with it.
type outage struct{ error }

// Unwrap returns the reason.
func (o *outage) Unwrap() error { return o.error }

// remoteTime bounds how long all requests of one rendering take together. It is
// less than a worker may take, so that it is not taken for a rendering without
// end.
const remoteTime = 40 * time.Second

var errSlow = fmt.Errorf("those who keep keys have not answered all requests of this rendering within %v", remoteTime)

// calls are the requests of one rendering.
type calls struct {
	ctx    context.Context // of the rendering: file systems have none
	client *http.Client
	passes render.Passes           // nil means none
	known  map[string][]byte       // parts by who keeps the key, and what was encrypted
	tokens map[string]string       // by what they are good for
	roles  map[string]cloud.Amazon // by region and name
	now    func() time.Time
}

// newCalls returns calls by t, until stop is called; nil means package cloud's.
func newCalls(ctx context.Context, t http.RoundTripper) (c *calls, stop func()) {
	ctx, cancel := context.WithTimeoutCause(ctx, remoteTime, errSlow)
	if t == nil {
		t = cloud.Transport()
	}
	c = &calls{
		ctx: ctx, client: cloud.Client(t), known: make(map[string][]byte), tokens: make(map[string]string),
		roles: make(map[string]cloud.Amazon), now: time.Now,
	}
	return c, func() {
		cancel()
		c.client.CloseIdleConnections()
	}
}

// part returns what a key decrypts to. It is asked for once.
func (c *calls) part(k remoteKey, with remoteKeys) ([]byte, error) {
	name := fmt.Sprintf("%#v", k)
	if part, ok := c.known[name]; ok {
		return part, nil
	}
	part, err := k.decrypt(c, with)
	if err == nil && (len(part) == 0 || len(part) > maxKey) {
		err = &outage{errors.New("what it decrypts to is no data key")}
	}
	if err != nil {
		return nil, render.Hush(append(c.secrets(), with.secrets...), err)
	}
	c.known[name] = part
	return part, nil
}

// secrets returns what was got to get in.
func (c *calls) secrets() (all []string) {
	for _, token := range c.tokens {
		all = append(all, token)
	}
	for _, role := range c.roles {
		all = append(all, role.Secret, role.Session)
	}
	return all
}

// token returns a token that is good for something, asked for once.
func (c *calls) token(what string, ask func() (cloud.Token, error)) (string, error) {
	if t := c.tokens[what]; t != "" {
		return t, nil
	}
	t, err := ask()
	if err != nil {
		return "", c.outage(err)
	}
	c.tokens[what] = t.Value
	return t.Value, nil
}

// pass returns what lets in somewhere, asked for once.
func (c *calls) pass(at, where string) (string, error) {
	return c.token("pass "+at+" "+where, func() (cloud.Token, error) {
		if c.passes == nil {
			return cloud.Token{}, errors.New("there are no passes here")
		}
		pass, err := c.passes.Pass(c.ctx, at, where)
		return cloud.Token{Value: pass}, err
	})
}

// key returns the access key to ask Amazon with in a region.
func (c *calls) key(with remoteKeys, region string) (cloud.Amazon, error) {
	if with.amazon != nil {
		return *with.amazon, nil
	}
	var key cloud.Amazon
	text, err := c.pass(cloud.AWS, region)
	if err == nil && json.Unmarshal([]byte(text), &key) != nil {
		err = &outage{errors.New("its access key can't be read")}
	}
	c.roles["pass "+region] = key // whose parts no error may tell
	return key, err
}

// outage returns err as one.
func (c *calls) outage(err error) error {
	if c.ctx.Err() != nil {
		err = context.Cause(c.ctx)
	}
	return &outage{err}
}

// ask posts JSON to a URL and reads what is answered into out. words finds what
// a server says of itself in its answer. sign, if it is not nil, adds what lets
// us in.
func (c *calls) ask(at string, in, out any, words func([]byte) string, sign func(r *http.Request, body []byte)) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(c.ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return errors.New("where it is asked is no URL")
	}
	r.Header.Set("Content-Type", "application/json")
	sign(r, body)
	data, err := cloud.Send(c.client, r)
	var no *cloud.Refusal
	if errors.As(err, &no) {
		if said := cloud.Words(words(no.Body)); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
	}
	if err != nil {
		return c.outage(err)
	}
	if json.Unmarshal(data, out) != nil {
		return &outage{errors.New("its answer can't be read")}
	}
	return nil
}

// bearer returns what adds a token to a request.
func bearer(token string) func(*http.Request, []byte) {
	return func(r *http.Request, _ []byte) { r.Header.Set("Authorization", "Bearer "+token) }
}

// decoded returns what was base64. Servers are not trusted to give nothing
// away, so the error does not show it.
func decoded(e *base64.Encoding, text string) ([]byte, error) {
	data, err := e.DecodeString(text)
	if err != nil {
		return nil, &outage{errors.New("its answer can't be read")}
	}
	return data, nil
}
