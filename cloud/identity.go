package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The clouds, by Flux's names. Generic is none.
const (
	Generic = "generic"
)

// An Identity is who asks. It says nothing secret.
type Identity struct {
	Cloud   string // "" is nobody
	Account string // "namespace/name" of the service account whose token it is got by; "" is what this program runs as
	Role    string // what the account is at the cloud: the ARN of a role, the id of an application, a service account's address
	Pool    string // where the cloud knows the account from: Azure's tenant, Google's provider of identities; "" means where it knows us from
}

// An OfficeConfig says what an Office works with.
type OfficeConfig struct {
	// Account returns a new token of a service account, for those who go by one
	// of these names. nil means that there are no service accounts.
	Account func(ctx context.Context, namespace, name string, audiences []string) (string, time.Time, error)

	Max  int              // how many tokens of a sort to remember; 0 means a hundred, less means none
	Most time.Duration    // for how long to remember one; 0 means an hour
	Now  func() time.Time // nil means time.Now
}

// An Office gets tokens for identities, and remembers them for a while. It is
// safe for use by several goroutines at once.
type Office struct {
	OfficeConfig
	accounts Tokens[string]
}

// NewOffice returns an Office.
func NewOffice(c OfficeConfig) *Office {
	return &Office{OfficeConfig: c, accounts: Tokens[string]{Max: c.Max, Most: c.Most, Now: c.Now}}
}

// AccountToken returns a token of the service account "namespace/name" for those
// who go by one of these names.
func (o *Office) AccountToken(ctx context.Context, account string, audiences ...string) (string, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || o.Account == nil {
		return "", errors.New("there are no tokens of service accounts here")
	}
	return o.accounts.Get(ctx, accountKey(account, audiences), func(ctx context.Context) (string, time.Time, error) {
		return o.Account(ctx, namespace, name, audiences)
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
