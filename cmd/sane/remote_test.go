package main

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/unit"
)

type trip func(r *http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestClouds reaches clusters that clouds know, and shows a token that they do not
// take any more no longer.
func TestClouds(t *testing.T) {
	var token atomic.Pointer[string] // that the cluster takes
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if signed, ok := strings.CutPrefix(got, "k8s-aws-v1."); ok {
			at, _ := base64.RawURLEncoding.DecodeString(signed)
			u, _ := url.Parse(string(at))
			got = u.Host + " " + u.Query().Get("X-Amz-Security-Token")
		}
		if got != *token.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	defer api.Close()
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))
	var n atomic.Int64 // tokens that were given out
	clouds := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == "sts.eu-west-1.amazonaws.com":
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID</AccessKeyId>
<SecretAccessKey>s</SecretAccessKey><SessionToken>session</SessionToken></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
		case r.Host == "eks.eu-west-1.amazonaws.com":
			fmt.Fprintf(w, `{"cluster":{"endpoint":%q,"certificateAuthority":{"data":%q}}}`, api.URL, ca)
		case r.Host == "login.microsoftonline.com", r.Host == "sts.googleapis.com":
			fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3600}`, n.Add(1))
		case r.Host == "management.azure.com" && r.Method == http.MethodGet:
			fmt.Fprint(w, `{"properties":{"aadProfile":{}}}`)
		case r.Host == "management.azure.com":
			config := "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\nclusters: [{name: k, cluster: {server: '" + api.URL + "', certificate-authority-data: " + ca + "}}]\n"
			fmt.Fprintf(w, `{"kubeconfigs":[{"value":%q}]}`, base64.StdEncoding.EncodeToString([]byte(config)))
		case r.Host == "container.googleapis.com":
			fmt.Fprintf(w, `{"endpoint":%q,"masterAuth":{"clusterCaCertificate":%q}}`, strings.TrimPrefix(api.URL, "https://"), ca)
		default:
			t.Errorf("%s is asked", r.Host)
		}
	}))
	defer clouds.Close()
	at, _ := url.Parse(clouds.URL)
	for _, tt := range []struct {
		login unit.Login
		want  string // the token; %d is how many there have been
	}{
		{unit.Login{Identity: cloud.Identity{Cloud: cloud.AWS, Account: "apps/tenant", Role: "arn:aws:iam::1:role/r"}, Cluster: "arn:aws:eks:eu-west-1:1:cluster/prod"}, "sts.eu-west-1.amazonaws.com session"},
		{unit.Login{Identity: cloud.Identity{Cloud: cloud.Microsoft, Account: "apps/tenant", Role: "c", Pool: "t"},
			Cluster: "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod"}, "token-%d"},
		{unit.Login{Identity: cloud.Identity{Cloud: cloud.GCP, Account: "apps/tenant", Pool: "p"}, Cluster: "projects/a/locations/b/clusters/c"}, "token-%d"},
	} {
		now := time.Now()
		office := cloud.NewOffice(cloud.OfficeConfig{
			Env: func(string) string { return "" }, Now: func() time.Time { return now },
			Transport: trip(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, at.Scheme, at.Host
				return http.DefaultTransport.RoundTrip(r)
			}),
			Account: func(context.Context, string, string, []string) (string, time.Time, error) {
				return "jwt", now.Add(time.Hour), nil
			},
		})
		c, err := kube.New(kube.Reach(way(tt.login, office)), kube.Options{})
		if err != nil {
			t.Fatal(err)
		}
		takes := func(more int64) {
			text := tt.want
			if strings.Contains(text, "%d") {
				text = fmt.Sprintf(text, n.Load()+more)
			}
			token.Store(&text)
		}
		takes(2) // one is for where the cluster is, at Azure
		if tt.login.Cloud == cloud.GCP {
			takes(1)
		}
		for range 2 {
			if got, err := c.Raw(t.Context(), "/version"); string(got) != "{}" || err != nil {
				t.Errorf("%s: %s, %v", tt.login.Cloud, got, err)
			}
		}
		if tt.login.Cloud == cloud.AWS { // whose signatures are of the same session
			continue
		}
		takes(1)
		now = now.Add(time.Minute)
		if _, err := c.Raw(t.Context(), "/version"); err == nil {
			t.Errorf("%s: a token that is not taken any more lets in", tt.login.Cloud)
		}
		if got, err := c.Raw(t.Context(), "/version"); string(got) != "{}" || err != nil {
			t.Errorf("%s: after that: %s, %v", tt.login.Cloud, got, err)
		}
	}
}
