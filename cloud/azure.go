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

// Azure is an application of Microsoft's Entra that has a secret, or a
// certificate.
type Azure struct {
	Tenant, Client string
	secret         string
	proof          *stamped // instead of the secret
	authority      string   // URL of where tokens are given out
}

const azureAuthority = "https://login.microsoftonline.com/"

// ReadAzure reads an application and its secret in one of the forms of Flux's
// sops.azure-kv, in YAML or JSON. Its errors do not tell the secret.
func ReadAzure(data string) (Azure, error) {
	var file struct {
		Tenant    string `yaml:"tenantId"`
		Client    string `yaml:"clientId"`
		Secret    string `yaml:"clientSecret"`
		Cert      string `yaml:"clientCertificate"`
		CertPass  string `yaml:"clientCertificatePassword"`
		Chain     bool   `yaml:"clientCertificateSendChain"`
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
	if file.Secret == "" && file.Cert != "" {
		return NewAzureCertificate(file.Tenant, file.Client, file.Authority, Certificate{[]byte(file.Cert), file.CertPass, file.Chain})
	}
	return NewAzure(file.Tenant, file.Client, file.Secret, file.Authority)
}

// NewAzure returns the application with that secret. If authority is "", tokens
// are given out by Microsoft's public cloud.
func NewAzure(tenant, client, secret, authority string) (Azure, error) {
	if tenant == "" || client == "" || secret == "" {
		return Azure{}, errors.New("no credentials of Azure's: tenantId, clientId and clientSecret or clientCertificate are needed")
	}
	if authority == "" {
		authority = azureAuthority
	}
	if u, err := url.Parse(authority); err != nil || u.Host == "" || u.User != nil {
		return Azure{}, errors.New("its authorityHost is no URL")
	}
	return Azure{Tenant: tenant, Client: client, secret: secret, authority: strings.TrimSuffix(authority, "/") + "/"}, nil
}

// Secret returns the application's secret.
func (a Azure) Secret() string { return a.secret }

// Token asks for a token that is good for a resource, such as
// "https://vault.azure.net".
func (a Azure) Token(ctx context.Context, c *http.Client, resource string, now time.Time) (Token, error) {
	by := url.Values{"client_secret": {a.secret}}
	if a.proof != nil {
		text, err := a.proof.assertion(a.Client, a.office(), now)
		if err != nil {
			return Token{}, errors.New("a token for Azure can't be signed by this key")
		}
		by = url.Values{"client_assertion_type": {assertedJWT}, "client_assertion": {text}}
	}
	return a.ask(ctx, c, resource+"/.default", by, now)
}

// ask asks for a token by what proves that we are the application.
func (a Azure) ask(ctx context.Context, c *http.Client, scope string, proof url.Values, now time.Time) (Token, error) {
	proof.Set("grant_type", "client_credentials")
	proof.Set("client_id", a.Client)
	proof.Set("scope", scope)
	return tokenFrom(ctx, c, a.office(), proof, now)
}

// office returns the URL of where tokens are given out.
func (a Azure) office() string {
	return a.authority + url.PathEscape(a.Tenant) + "/oauth2/v2.0/token"
}
