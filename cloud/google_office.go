package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	googleSTS = "https://sts.googleapis.com/v1/token"

	// googleScope is for all that an identity may do.
	googleScope = "https://www.googleapis.com/auth/cloud-platform"
	googleMail  = "https://www.googleapis.com/auth/userinfo.email"
)

// googleToken returns a token of who an identity is at Google.
func (o *Office) googleToken(ctx context.Context, id Identity) (Token, error) {
	if id.Account == "" {
		return o.ownGoogle(ctx)
	}
	pool, audience := "", "//iam.googleapis.com/"+id.Pool
	if id.Pool == "" {
		var err error
		if pool, audience, err = o.cluster(ctx); err != nil {
			return Token{}, err
		}
	}
	proof, err := o.AccountToken(ctx, id.Account, cmp.Or(pool, audience))
	if err != nil {
		return Token{}, err
	}
	return o.exchange(ctx, federation{audience: audience, at: googleSTS, as: impersonation(id.Role)}, proof)
}

// impersonation returns where tokens of one of Google's service accounts are
// had, or "".
func impersonation(account string) string {
	if account == "" {
		return ""
	}
	return "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + url.PathEscape(account) + ":generateAccessToken"
}

// A federation is how Google takes others' tokens.
type federation struct {
	audience string // in whose name it is asked
	at       string // URL of where tokens are exchanged
	as       string // URL of where to get the token of a service account; "" means none
}

// exchange exchanges another's token for one of Google's.
func (o *Office) exchange(ctx context.Context, f federation, proof string) (Token, error) {
	c, stop := o.client()
	defer stop()
	t, err := tokenFrom(ctx, c, f.at, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {f.audience},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "scope": {googleScope + " " + googleMail},
		"subject_token": {proof}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}, o.Now())
	if err != nil || f.as == "" {
		return t, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.as, nil)
	if err != nil {
		return Token{}, denial("where tokens of a service account are had is no URL")
	}
	r = withBody(r, `{"scope":["`+googleScope+`","`+googleMail+`"],"lifetime":"3600s"}`)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+t.Value)
	data, err := Send(c, r)
	if err != nil {
		return Token{}, fmt.Errorf("ask %s for the token of a service account: %w", r.URL.Host, cloudWords(err))
	}
	var answer struct {
		Token string    `json:"accessToken"`
		Until time.Time `json:"expireTime"`
	}
	if json.Unmarshal(data, &answer) != nil || answer.Token == "" {
		return Token{}, fmt.Errorf("ask %s for the token of a service account: there is none in the answer", r.URL.Host)
	}
	return Token{answer.Token, answer.Until}, nil
}

// cluster returns the pool in which Google knows the service accounts of the
// cluster that we run in, and in whose name it is asked there.
func (o *Office) cluster(ctx context.Context) (pool, audience string, err error) {
	c, stop := o.near()
	defer stop()
	var found [3]string
	for i, name := range []string{"project/project-id", "instance/attributes/cluster-location", "instance/attributes/cluster-name"} {
		data, err := o.metadata(ctx, c, name)
		if err != nil || len(data) == 0 {
			return "", "", denied{fmt.Errorf("this is no cluster of GKE's, so that its service account must say by which provider Google knows it: "+
				"annotate it with gcp.auth.fluxcd.io/workload-identity-provider (%s: %w)", name, cmp.Or(err, error(denial("nothing is known"))))}
		}
		found[i] = string(data)
	}
	pool = found[0] + ".svc.id.goog"
	return pool, fmt.Sprintf("identitynamespace:%s:https://container.googleapis.com/v1/projects/%s/locations/%s/clusters/%s", pool, found[0], found[1], found[2]), nil
}

// metadata returns what the machine knows by a name.
func (o *Office) metadata(ctx context.Context, c *http.Client, name string) ([]byte, error) {
	at := "http://" + cmp.Or(o.Env("GCE_METADATA_HOST"), "metadata.google.internal") + "/computeMetadata/v1/" + name
	return o.ask(ctx, c, http.MethodGet, at, "Metadata-Flavor", "Google")
}

// ownGoogle returns a token of what this program runs as: by the file that the
// environment names, or from the machine.
func (o *Office) ownGoogle(ctx context.Context) (Token, error) {
	if file := o.Env("GOOGLE_APPLICATION_CREDENTIALS"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return Token{}, denied{fmt.Errorf("the file of GOOGLE_APPLICATION_CREDENTIALS can't be read: %w", err)}
		}
		return o.googleByFile(ctx, data)
	}
	c, stop := o.near()
	defer stop()
	data, err := o.metadata(ctx, c, "instance/service-accounts/default/token")
	if err != nil {
		return Token{}, denied{fmt.Errorf("Google does not know it: bind the controller's service account to one of Google's, or set GOOGLE_APPLICATION_CREDENTIALS; "+
			"the machine's own can't be had: %w", err)}
	}
	return readToken(data, o.Now())
}

// googleByFile returns a token by what a file says: a service account's key, or
// where another's token is, and who takes it.
func (o *Office) googleByFile(ctx context.Context, data []byte) (Token, error) {
	var file struct {
		Type     string `json:"type"`
		Audience string `json:"audience"`
		At       string `json:"token_url"`
		As       string `json:"service_account_impersonation_url"`
		Source   struct {
			File   string `json:"file"`
			Format struct {
				Type  string `json:"type"`
				Field string `json:"subject_token_field_name"`
			} `json:"format"`
		} `json:"credential_source"`
	}
	if json.Unmarshal(data, &file) != nil {
		return Token{}, denial("the file of GOOGLE_APPLICATION_CREDENTIALS is no JSON")
	}
	if file.Type != "external_account" {
		g, err := ReadGoogle(string(data))
		if err != nil {
			return Token{}, denied{fmt.Errorf("the file of GOOGLE_APPLICATION_CREDENTIALS: %w", err)}
		}
		c, stop := o.client()
		defer stop()
		return g.Token(ctx, c, googleScope+" "+googleMail, o.Now())
	}
	if file.Source.File == "" {
		return Token{}, denial("the file of GOOGLE_APPLICATION_CREDENTIALS names no file with a token: nothing else is supported in credential_source")
	}
	proof, err := textIn(file.Source.File)
	if err != nil {
		return Token{}, err
	}
	if file.Source.Format.Type == "json" {
		var fields map[string]any
		_ = json.Unmarshal([]byte(proof), &fields) // if it is none, there is no token
		proof, _ = fields[file.Source.Format.Field].(string)
	}
	return o.exchange(ctx, federation{file.Audience, cmp.Or(file.At, googleSTS), file.As}, strings.TrimSpace(proof))
}

// cloudWords returns err with what Google's and Microsoft's services say of it.
func cloudWords(err error) error {
	r, ok := refusalIn(err)
	var said struct{ Error struct{ Message string } }
	if ok && json.Unmarshal(r.Body, &said) == nil && said.Error.Message != "" {
		return fmt.Errorf("%w: %s", err, Words(said.Error.Message))
	}
	return err
}
