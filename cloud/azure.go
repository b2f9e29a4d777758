package cloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Azure is an application of Microsoft's Entra that has a secret.
type Azure struct {
	Tenant, Client string
	secret         string
	authority      string // URL of where tokens are given out
}

const azureAuthority = "https://login.microsoftonline.com/"

// ReadAzure reads an application and its secret in one of the forms of Flux's
// sops.azure-kv, in YAML or JSON. Its errors do not tell the secret.
func ReadAzure(data string) (Azure, error) {
	var file struct {
		Tenant    string `yaml:"tenantId"`
		Client    string `yaml:"clientId"`
		Secret    string `yaml:"clientSecret"`
		Authority string `yaml:"authorityHost"`
		AppTenant string `yaml:"tenant"` // these three are how `az` has it
		App       string `yaml:"appId"`
		Password  string `yaml:"password"`
	}
	if yaml.Unmarshal([]byte(data), &file) != nil {
		return Azure{}, errors.New("no credentials of Azure's: it must be YAML or JSON")
	}
	if file.Tenant == "" && file.Client == "" && file.Secret == "" {
		file.Tenant, file.Client, file.Secret = file.AppTenant, file.App, file.Password
	}
	return NewAzure(file.Tenant, file.Client, file.Secret, file.Authority)
}

// NewAzure returns the application with that secret. If authority is "", tokens
// are given out by Microsoft's public cloud.
func NewAzure(tenant, client, secret, authority string) (Azure, error) {
	if tenant == "" || client == "" || secret == "" {
		return Azure{}, errors.New("no credentials of Azure's: tenantId, clientId and clientSecret are needed; certificates and managed identities are not supported")
	}
	if authority == "" {
		authority = azureAuthority
	}
	if u, err := url.Parse(authority); err != nil || u.Host == "" || u.User != nil {
		return Azure{}, errors.New("its authorityHost is no URL")
	}
	return Azure{tenant, client, secret, strings.TrimSuffix(authority, "/") + "/"}, nil
}

// Secret returns the application's secret.
func (a Azure) Secret() string { return a.secret }

// Token asks for a token that is good for a resource, such as
// "https://vault.azure.net".
func (a Azure) Token(ctx context.Context, c *http.Client, resource string, now time.Time) (Token, error) {
	return a.ask(ctx, c, resource+"/.default", url.Values{"client_secret": {a.secret}}, now)
}

// ask asks for a token by what proves that we are the application.
func (a Azure) ask(ctx context.Context, c *http.Client, scope string, proof url.Values, now time.Time) (Token, error) {
	at := a.authority + url.PathEscape(a.Tenant) + "/oauth2/v2.0/token"
	proof.Set("grant_type", "client_credentials")
	proof.Set("client_id", a.Client)
	proof.Set("scope", scope)
	return tokenFrom(ctx, c, at, proof, now)
}
