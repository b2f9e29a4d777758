package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// azureAudience is whom tokens of service accounts are for that Entra is shown.
const azureAudience = "api://AzureADTokenExchange"

// azureToken returns a token of who an identity is at Azure.
func (o *Office) azureToken(ctx context.Context, id Identity, scope string) (Token, error) {
	if id.Account == "" {
		return o.ownAzure(ctx, id, scope)
	}
	proof, err := o.AccountToken(ctx, id.Account, azureAudience)
	if err != nil {
		return Token{}, err
	}
	return o.azureByProof(ctx, Identity{Role: id.Role, Pool: id.Pool}, proof, scope)
}

// azureByProof exchanges a service account's token for one of an application's.
func (o *Office) azureByProof(ctx context.Context, id Identity, proof, scope string) (Token, error) {
	c, stop := o.client()
	defer stop()
	a := Azure{Tenant: id.Pool, Client: id.Role, authority: o.authority()}
	return a.ask(ctx, c, scope, url.Values{
		"client_assertion_type": {assertedJWT}, "client_assertion": {proof},
	}, o.Now())
}

const assertedJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authority returns where Azure's tokens are given out here.
func (o *Office) authority() string {
	return strings.TrimSuffix(cmp.Or(o.Env("AZURE_AUTHORITY_HOST"), azureAuthority), "/") + "/"
}

// ownAzure returns a token of what this program runs as, or of one of the
// machine's identities: that of id's Role, if it has one.
func (o *Office) ownAzure(ctx context.Context, id Identity, scope string) (Token, error) {
	tenant, client := o.Env("AZURE_TENANT_ID"), o.Env("AZURE_CLIENT_ID")
	file, secret := o.Env("AZURE_FEDERATED_TOKEN_FILE"), o.Env("AZURE_CLIENT_SECRET")
	switch {
	case id.Role != "":
		return o.machineAzure(ctx, id.Role, scope)
	case tenant != "" && client != "" && secret != "":
		c, stop := o.client()
		defer stop()
		a := Azure{Tenant: tenant, Client: client, secret: secret, authority: o.authority()}
		return a.ask(ctx, c, scope, url.Values{"client_secret": {secret}}, o.Now())
	case tenant != "" && client != "" && file != "":
		proof, err := textIn(file)
		if err != nil {
			return Token{}, err
		}
		return o.azureByProof(ctx, Identity{Role: client, Pool: tenant}, proof, scope)
	}
	t, err := o.machineAzure(ctx, client, scope)
	if err != nil {
		return t, denied{fmt.Errorf("%s; the machine's own can't be had: %w", noAzure, err)}
	}
	return t, nil
}

const noAzure = "Azure does not know it: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE must be set: " +
	"label the controller's pod azure.workload.identity/use=true and annotate its service account"

// machineAzure returns a token of the machine's identity of a client id, or of
// its only one.
func (o *Office) machineAzure(ctx context.Context, client, scope string) (Token, error) {
	q := url.Values{"api-version": {"2018-02-01"}, "resource": {strings.TrimSuffix(scope, "/.default")}}
	if client != "" {
		q.Set("client_id", client)
	}
	c, stop := o.near()
	defer stop()
	base := strings.TrimSuffix(cmp.Or(o.Env("AZURE_POD_IDENTITY_AUTHORITY_HOST"), "http://169.254.169.254"), "/")
	data, err := o.ask(ctx, c, http.MethodGet, base+"/metadata/identity/oauth2/token?"+q.Encode(), "Metadata", "true")
	if err != nil {
		return Token{}, fmt.Errorf("ask this machine for a token: %w", oauthWords(err))
	}
	var answer struct {
		Token string      `json:"access_token"`
		For   json.Number `json:"expires_in"` // seconds, in quotes
	}
	if json.Unmarshal(data, &answer) != nil || answer.Token == "" {
		return Token{}, denial("this machine's answer holds no token")
	}
	seconds, _ := answer.For.Int64() // of which there are none if it is none
	return Token{answer.Token, o.Now().Add(time.Duration(seconds) * time.Second)}, nil
}
