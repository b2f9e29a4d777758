package cloud

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// The clouds, by Flux's names. Generic is none.
const (
	Generic   = "generic"
	AWS       = "aws"
	Microsoft = "azure"
	GCP       = "gcp"
)

// An Identity is who asks. It says nothing secret.
type Identity struct {
	Cloud   string // "" is nobody
	Account string // "namespace/name" of the service account whose token it is got by; "" is what this program runs as
	Role    string // what the account is at the cloud: the ARN of a role, the id of an application, a service account's address
	Pool    string // where the cloud knows the account from: Azure's tenant, Google's provider of identities; "" means where it knows us from
}

// Who returns what people know it as.
func (id Identity) Who() string {
	if id.Account == "" {
		return "what this program runs as"
	}
	return "service account " + id.Account
}

// An OfficeConfig says what an Office works with.
type OfficeConfig struct {
	// Account returns a new token of a service account, for those who go by one
	// of these names. nil means that there are no service accounts.
	Account func(ctx context.Context, namespace, name string, audiences []string) (string, time.Time, error)

	Max  int              // how many tokens of a sort to remember; 0 means a hundred, less means none
	Most time.Duration    // for how long to remember one; 0 means an hour
	Now  func() time.Time // nil means time.Now

	// Heard is told whether a token that is wanted was remembered. nil means that
	// nobody wants to know.
	Heard func(known bool)

	Env       func(name string) string // a variable of the environment; nil means os.Getenv
	Own       string                   // the file with the token of the service account that we run as; "" means a pod's
	Transport http.RoundTripper        // by which all is asked; nil means [Transport], and what is on this machine directly
}

// An Office gets tokens for identities, and remembers them for a while. It is
// safe for use by several goroutines at once.
//
// What it is told by the environment is what the clouds' own libraries are told
// there. Errors for which [Denied] is false may pass by themselves.
type Office struct {
	OfficeConfig
	*tills
	proxy string // URL; "" means the environment's
}

// tills hold what was got.
type tills struct {
	accounts Tokens[string]
	keys     Tokens[amazonKey]
	bearers  Tokens[string]
	logins   Tokens[Login]
	spots    Tokens[Spot]
}

// NewOffice returns an Office.
func NewOffice(c OfficeConfig) *Office {
	if c.Env == nil {
		c.Env = os.Getenv
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Office{OfficeConfig: c, tills: &tills{
		accounts: till[string](c), keys: till[amazonKey](c), bearers: till[string](c), logins: till[Login](c), spots: till[Spot](c),
	}}
}

func till[T any](c OfficeConfig) Tokens[T] {
	return Tokens[T]{Max: c.Max, Most: c.Most, Now: c.Now, Heard: c.Heard}
}

// Remembered returns how many tokens are remembered, of all sorts.
func (o *Office) Remembered() int {
	t := o.tills
	return t.accounts.Len() + t.keys.Len() + t.bearers.Len() + t.logins.Len() + t.spots.Len()
}

// By returns an office that goes to clouds by a proxy, and shares what it gets
// with o. "" means the way in which o goes.
func (o *Office) By(proxy string) *Office {
	if proxy == "" {
		return o
	}
	by := *o
	by.proxy = proxy
	return &by
}

// client returns what asks clouds, until stop is called.
func (o *Office) client() (c *http.Client, stop func()) {
	if o.Transport != nil {
		return Client(o.Transport), func() {}
	}
	t := Transport()
	if u, err := url.Parse(o.proxy); err == nil && o.proxy != "" {
		t.Proxy = http.ProxyURL(u)
	}
	return Client(t), t.CloseIdleConnections
}

// nearby is how long what is on this machine may take.
const nearby = 3 * time.Second

// near returns what asks the machine that we run on, until stop is called.
func (o *Office) near() (c *http.Client, stop func()) {
	if o.Transport != nil {
		return Client(o.Transport), func() {}
	}
	t := &http.Transport{TLSHandshakeTimeout: nearby, MaxResponseHeaderBytes: 64 << 10}
	c = Client(t)
	c.Timeout = nearby
	return c, t.CloseIdleConnections
}

// ask makes a request of the machine that we run on. Its headers are pairs.
func (o *Office) ask(ctx context.Context, c *http.Client, method, at string, headers ...string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return nil, denial("where this machine's identity is told is no URL")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return Send(c, r)
}

// AccountToken returns a token of the service account "namespace/name" for those
// who go by one of these names.
func (o *Office) AccountToken(ctx context.Context, account string, audiences ...string) (string, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || o.Account == nil {
		return "", denial("there are no tokens of service accounts here")
	}
	return o.accounts.Get(ctx, accountKey(account, audiences), func(ctx context.Context) (string, time.Time, error) {
		token, until, err := o.Account(ctx, namespace, name, audiences)
		if err != nil && ctx.Err() == nil {
			err = denied{err}
		}
		return token, until, err
	})
}

// ForgetAccount has the next caller of [Office.AccountToken] get a new token: the
// last let nobody in.
func (o *Office) ForgetAccount(account string, audiences ...string) {
	o.accounts.Forget(accountKey(account, audiences))
}

func accountKey(account string, audiences []string) string {
	return fmt.Sprintf("%q %q", account, audiences)
}

// key stands for what an identity is good for.
func (id Identity) key(what ...string) string {
	return fmt.Sprintf("%q", append([]string{id.Cloud, id.Account, id.Role, id.Pool}, what...))
}

// Token returns a token by which an identity gets in at Azure or at Google. The
// scope is what it is to be good for at Azure; at Google it is good for all that
// the identity may do.
func (o *Office) Token(ctx context.Context, id Identity, scope string) (string, error) {
	return o.bearers.Get(ctx, id.key(scope), func(ctx context.Context) (string, time.Time, error) {
		t, err := o.newToken(ctx, id, scope)
		if err != nil {
			return "", time.Time{}, fmt.Errorf("get in as %s: %w", id.Who(), err)
		}
		return t.Value, t.Until, nil
	})
}

// ForgetToken has the next caller of [Office.Token] get a new one: the last let
// nobody in.
func (o *Office) ForgetToken(id Identity, scope string) { o.bearers.Forget(id.key(scope)) }

func (o *Office) newToken(ctx context.Context, id Identity, scope string) (Token, error) {
	switch id.Cloud {
	case Microsoft:
		return o.azureToken(ctx, id, scope)
	case GCP:
		return o.googleToken(ctx, id)
	}
	return Token{}, denial("there are no tokens of the cloud '" + id.Cloud + "'")
}

// A denied error is cured by a person, and not by time.
type denied struct{ error }

func (d denied) Unwrap() error { return d.error }

func denial(text string) error { return denied{errors.New(text)} }

// Denied reports whether err says that somebody is nobody to a cloud, or may not
// get in. Anything else may pass by itself.
func Denied(err error) bool {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Status/100 != 5 && r.Status != http.StatusTooManyRequests
	}
	return errors.As(err, new(denied))
}

// textIn returns what a file holds, without space around it.
func textIn(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", denied{fmt.Errorf("the token of our own service account can't be read: %w", err)}
	}
	return strings.TrimSpace(string(data)), nil
}

// claims returns what a token says, which is not verified.
func claims(token string) (said struct {
	Subject string `json:"sub"`
	Until   int64  `json:"exp"`
}) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return said
	}
	data, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	_ = json.Unmarshal(data, &said) // what can't be read says nothing
	return said
}

// ownToken is where a pod has the token of its service account.
const ownToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Self returns the service account that this program runs as, "namespace/name".
func (o *Office) Self() (string, error) {
	token, err := textIn(cmp.Or(o.Own, ownToken))
	if err != nil {
		return "", err
	}
	account, ok := strings.CutPrefix(claims(token).Subject, "system:serviceaccount:")
	namespace, name, two := strings.Cut(account, ":")
	if !ok || !two {
		return "", denial("the token of our own service account does not say whose it is")
	}
	return namespace + "/" + name, nil
}
