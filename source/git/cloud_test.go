package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// sky stands in for the clouds' offices: requests to anybody reach it.
func sky(t *testing.T, answer http.HandlerFunc) http.RoundTripper {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	at, _ := url.Parse(server.URL)
	return trip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, at.Scheme, at.Host
		return http.DefaultTransport.RoundTrip(r)
	})
}

type trip func(r *http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func officeUnder(sky http.RoundTripper) *cloud.Office {
	return cloud.NewOffice(cloud.OfficeConfig{
		Transport: sky, Env: func(string) string { return "" },
		Account: func(_ context.Context, _, name string, audiences []string) (string, time.Time, error) {
			if name == "gone" {
				return "", time.Time{}, errors.New("it is not there")
			}
			return "hunter2-" + name + audiences[0], time.Now().Add(time.Hour), nil
		},
	})
}

// TestAzure gets in at Azure DevOps by the token of a service account.
func TestAzure(t *testing.T) {
	var asked atomic.Int64
	var status atomic.Int64
	clouds := sky(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case r.FormValue("client_assertion") != "hunter2-tenantapi://AzureADTokenExchange" || r.Host != "login.microsoftonline.com":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS700211: who is that?"}`)
		case status.Load() != 0:
			w.WriteHeader(int(status.Load()))
		default:
			fmt.Fprint(w, `{"access_token":"azure-hunter2","expires_in":3600}`)
		}
	})
	b := setup(t, gitserver.Options{Bearer: "azure-hunter2"})
	b.src.Office, b.src.alias = officeUnder(clouds), "https://dev.azure.com/acme/p/_git/apps"
	b.put(map[string]string{"a": "1"})
	for _, c := range []struct {
		account string
		status  int
		kind    error
		words   string
	}{
		{"apps/tenant", 503, source.ErrNetwork, "get in as service account apps/tenant: ask login.microsoftonline.com for a token: it answers 503"},
		{"apps/other", 0, source.ErrAuth, "invalid_client: AADSTS700211"},
		{"apps/gone", 0, source.ErrAuth, "it is not there"},
		{"", 0, source.ErrAuth, "get in as what this program runs as: Azure does not know it: AZURE_TENANT_ID"},
		{"apps/tenant", 0, nil, ""},
	} {
		status.Store(int64(c.status))
		b.at.Access = source.Access{Cloud: cloud.Identity{Cloud: cloud.Microsoft, Account: c.account}}
		if c.account != "" {
			b.at.Access.Cloud.Role, b.at.Access.Cloud.Pool = "client", "tenant"
		}
		snap, err := b.try(mainRef)
		switch {
		case c.kind == nil && err != nil:
			t.Errorf("%s: %v", c.account, err)
		case c.kind == nil:
			b.reads(snap, "a", "1")
		default:
			b.fails(err, c.kind, c.words, "log in: ")
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%s: %v tells a secret", c.account, err)
			}
		}
	}
	before := asked.Load()
	b.get(mainRef)
	if asked.Load() > before {
		t.Error("a token that is good for an hour was asked for again")
	}
	b.nowhere("hunter2")
}

// TestCodeCommit gets in at Amazon's by a signature. A session may hold what has
// a meaning in URLs.
func TestCodeCommit(t *testing.T) {
	clouds := sky(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "sts.eu-west-1.amazonaws.com" || r.FormValue("RoleArn") != "arn:aws:iam::1:role/r" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID</AccessKeyId>
<SecretAccessKey>hunter2</SecretAccessKey><SessionToken>a/b+c==%%41</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
	var seen atomic.Pointer[string]
	b := setup(t, gitserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if day := time.Now().UTC().Format("20060102T"); user != "AKID%a/b+c==%41" || !strings.HasPrefix(password, day) || len(password) != 80 {
			text := user + " " + password
			seen.Store(&text)
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}})
	b.src.Office, b.src.alias = officeUnder(clouds), "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/apps"
	b.put(map[string]string{"a": "1"})
	b.at.Access = source.Access{Cloud: cloud.Identity{Cloud: cloud.AWS, Account: "apps/tenant", Role: "arn:aws:iam::1:role/r"}}
	snap, err := b.try(mainRef)
	if err != nil {
		t.Fatal(err, *seen.Load())
	}
	b.reads(snap, "a", "1")
	b.at.Access.Cloud.Role = "arn:aws:iam::1:role/other"
	_, err = b.try(mainRef)
	b.fails(err, source.ErrAuth, "get in as service account apps/tenant: assume the role arn:aws:iam::1:role/other: it answers 403")
	b.src.alias = ""
	_, err = b.try(mainRef)
	b.fails(err, source.ErrAuth, "the repository is none of aws's")
	b.nowhere("hunter2")
}
