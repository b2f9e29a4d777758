package oci

import (
	"context"
	"encoding/base64"
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
	"github.com/sane-gitops/sane/internal/ociserver"
	"github.com/sane-gitops/sane/source"
)

type trip func(r *http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A sky stands in for the clouds' offices, which give out passwords that are
// good for an hour.
type sky struct {
	t     *testing.T
	start time.Time
	hours atomic.Int64 // since start
	asked atomic.Int64
	busy  atomic.Bool
}

func (s *sky) now() time.Time   { return s.start.Add(time.Duration(s.hours.Load()) * time.Hour) }
func (s *sky) password() string { return fmt.Sprintf("hunter2-%d", s.hours.Load()) }

func (s *sky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.busy.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch r.Host {
	case "sts.eu-west-1.amazonaws.com":
		if r.FormValue("RoleArn") != "arn:aws:iam::1:role/puller" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID</AccessKeyId>
<SecretAccessKey>hunter2</SecretAccessKey><SessionToken>hunter2</SessionToken></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
	case "api.ecr.eu-west-1.amazonaws.com":
		s.asked.Add(1)
		login := base64.StdEncoding.EncodeToString([]byte("AWS:" + s.password()))
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d}]}`, login, s.now().Add(time.Hour).Unix())
	case "login.microsoftonline.com":
		fmt.Fprint(w, `{"access_token":"hunter2","expires_in":3600}`)
	case "acme.azurecr.io":
		s.asked.Add(1)
		fmt.Fprintf(w, `{"refresh_token":%q}`, s.password())
	case "sts.googleapis.com":
		s.asked.Add(1)
		fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600}`, s.password())
	default:
		s.t.Errorf("%s is asked", r.Host)
	}
}

// office returns one that asks the sky.
func (s *sky) office() *cloud.Office {
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	at, _ := url.Parse(server.URL)
	return cloud.NewOffice(cloud.OfficeConfig{
		Env: func(string) string { return "" }, Now: s.now,
		Transport: trip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, at.Scheme, at.Host
			return http.DefaultTransport.RoundTrip(r)
		}),
		Account: func(context.Context, string, string, []string) (string, time.Time, error) {
			return "hunter2-jwt", s.now().Add(time.Hour), nil
		},
	})
}

// TestClouds pulls from registries of clouds', which let in by the last password
// only.
func TestClouds(t *testing.T) {
	pool := "projects/1/locations/global/workloadIdentityPools/a/providers/b"
	for _, tt := range []struct {
		id         cloud.Identity
		host, user string
	}{
		{cloud.Identity{Cloud: cloud.AWS, Account: "apps/puller", Role: "arn:aws:iam::1:role/puller"}, "111122223333.dkr.ecr.eu-west-1.amazonaws.com", "AWS"},
		{cloud.Identity{Cloud: cloud.Microsoft, Account: "apps/puller", Role: "client", Pool: "tenant"}, "acme.azurecr.io", "00000000-0000-0000-0000-000000000000"},
		{cloud.Identity{Cloud: cloud.GCP, Account: "apps/puller", Pool: pool}, "europe-west1-docker.pkg.dev", "oauth2accesstoken"},
	} {
		t.Run(tt.id.Cloud, func(t *testing.T) {
			clouds := &sky{t: t, start: time.Now()}
			var pushing atomic.Bool
			registry := serve(t, ociserver.Options{Hook: func(w http.ResponseWriter, r *http.Request) bool {
				name, password, _ := r.BasicAuth()
				if pushing.Load() || name == tt.user && password == clouds.password() {
					return false
				}
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
				return true
			}})
			s := open(t, t.TempDir(), -1)
			s.Office, s.alias = clouds.office(), tt.host
			at := remoteOf(registry)
			at.Access.Cloud = tt.id
			for i := range 3 {
				pushing.Store(true)
				_, err := registry.Files("team/app", "latest", map[string]string{"a": fmt.Sprint(i)})
				pushing.Store(false)
				must(t, err)
				for range 2 {
					_, err = get(t, s, at, source.Ref{})
					must(t, err)
				}
				if n := clouds.asked.Load(); n != int64(i+1) {
					t.Errorf("in the hour %d it has asked for a password %d times", i, n)
				}
				clouds.hours.Add(1)
			}
			clouds.hours.Add(1)
			clouds.busy.Store(true)
			_, err := get(t, s, at, source.Ref{})
			if !errors.Is(err, source.ErrNetwork) || !strings.Contains(err.Error(), "log in: get in as service account apps/puller: ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("while the cloud is busy: %v", err)
			}
			clouds.busy.Store(false)
			at.Access.Cloud = cloud.Identity{Cloud: tt.id.Cloud, Account: "apps/gone", Role: "arn:aws:iam::1:role/none", Pool: "none"}
			if tt.id.Cloud == cloud.AWS {
				if _, err = get(t, s, at, source.Ref{}); !errors.Is(err, source.ErrAuth) || !strings.Contains(err.Error(), "assume the role arn:aws:iam::1:role/none: it answers 403") {
					t.Errorf("as a role that it may not be: %v", err)
				}
			}
			s.alias = ""
			if _, err = get(t, s, at, source.Ref{}); !errors.Is(err, source.ErrAuth) || !strings.Contains(err.Error(), "is none of "+tt.id.Cloud+"'s") {
				t.Errorf("at a registry of others: %v", err)
			}
		})
	}
}
