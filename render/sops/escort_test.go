package sops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/plain"
)

// offices answers as those do that let in at clouds, and at Vault.
func offices(n *int) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		*n++
		switch {
		case r.Host == "sts.eu-west-1.amazonaws.com" && r.FormValue("Action") == "AssumeRoleWithWebIdentity":
			fmt.Fprint(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLE</AccessKeyId>
<SecretAccessKey>rolesecret</SecretAccessKey><SessionToken>rolesession</SessionToken></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
		case r.Host == "login.microsoftonline.com" && r.FormValue("client_assertion") != "" && r.FormValue("scope") == "https://vault.azure.net/.default":
			fmt.Fprint(w, `{"access_token":"ztoken","expires_in":3600}`)
		case r.Host == "sts.googleapis.com":
			fmt.Fprint(w, `{"access_token":"gtoken","expires_in":3600}`)
		case r.URL.Path == "/v1/ns1/auth/kubernetes/login":
			var in struct{ Role, JWT string }
			_ = json.NewDecoder(r.Body).Decode(&in)
			if in.Role != "apps_kms" || in.JWT != "jwt-hunter2 https://vault.example.com" {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, `{"errors":["invalid role name %s"]}`, in.Role)
				return true
			}
			fmt.Fprint(w, `{"auth":{"client_token":"hvs.hunter2","lease_duration":3600}}`)
		default:
			*n--
			return false
		}
		return true
	}
}

// claimed are facts of who asks.
func claimed(t testing.TB, all map[string]render.Claimant) render.Known {
	facts := make(render.Known)
	for at, who := range all {
		data, err := json.Marshal(who)
		if err != nil {
			t.Fatal(err)
		}
		facts[render.As(at)] = render.Fact{Value: string(data), Secret: true}
	}
	return facts
}

// TestEscort decrypts as a service account is let in, where there are no
// credentials. What lets it in is no part of what is kept: nothing is rendered
// again when it ends.
func TestEscort(t *testing.T) {
	const account = "apps/kms"
	aws := cloud.Identity{Cloud: cloud.AWS, Account: account, Role: "arn:aws:iam::1:role/kms"}
	azure := cloud.Identity{Cloud: cloud.Microsoft, Account: account, Role: "client", Pool: "the-tenant"}
	google := cloud.Identity{Cloud: cloud.GCP, Account: account, Pool: "projects/1/locations/global/workloadIdentityPools/a/providers/b"}
	logins := map[string]string{"https://vault.example.com": "ns1/auth/kubernetes/login"}
	for _, tt := range []struct {
		name, doc string
		at        string
		who       render.Claimant
		err       string
	}{
		{"AWS", amazonDoc, cloud.AWS, render.Claimant{Identity: aws}, ""},
		{"Azure", azureDoc, cloud.Microsoft, render.Claimant{Identity: azure}, ""},
		{"Google", googleDoc, cloud.GCP, render.Claimant{Identity: google}, ""},
		{"Vault", "", render.Vault, render.Claimant{Identity: cloud.Identity{Cloud: cloud.Generic, Account: account}, Logins: logins}, ""},
		{"Vault, as another", "", render.Vault, render.Claimant{Identity: cloud.Identity{Cloud: cloud.Generic, Account: "apps/other"}, Logins: logins},
			`get in as service account apps/other: log in at vault.example.com: it answers 403 Forbidden: invalid role name apps_other`},
		{"a Vault that is not meant", "", render.Vault, render.Claimant{Identity: cloud.Identity{Cloud: cloud.Generic, Account: account}},
			"does not say where to log in at 'https://vault.example.com'"},
		{"nobody there", googleDoc, cloud.GCP, render.Claimant{Why: "service account 'apps/kms' not found"}, "service account 'apps/kms' not found"},
		{"as this program, where it is nobody", googleDoc, cloud.GCP, render.Claimant{Identity: cloud.Identity{Cloud: cloud.GCP}}, "get in as what this program runs as: Google does not know it"},
		{"nobody is said to ask", googleDoc, cloud.AWS, render.Claimant{Identity: aws}, "one of these keys is needed, and none is there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKeeper(t)
			n := 0
			k.hook = offices(&n)
			now := time.Now()
			office := cloud.NewOffice(cloud.OfficeConfig{
				Env: func(string) string { return "" }, Now: func() time.Time { return now }, Transport: k,
				Account: func(_ context.Context, _, _ string, audiences []string) (string, time.Time, error) {
					return "jwt-hunter2 " + strings.Join(audiences, " "), now.Add(time.Hour), nil
				},
			})
			if tt.doc == "" {
				tt.doc = k.vaultKey("https://vault.example.com")
			}
			r := Escort{Next: Renderer{Next: plain.Renderer{}, transport: k}, Office: office}
			kept, err := render.NewKeeper(r, render.Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer kept.Close()
			in := render.Input{
				Tree:   fstest.MapFS{"d/kms.yaml": {Data: []byte(keptBy(t, tt.doc))}},
				Recipe: render.Recipe{Dir: "d", Decrypt: &render.Step{}}, Facts: claimed(t, map[string]render.Claimant{tt.at: tt.who}),
			}
			_, fresh, err := kept.Render(t.Context(), "u", in)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				if fault.IsInput(err) != (tt.name == "nobody is said to ask") {
					t.Errorf("input is %v of %v", fault.IsInput(err), err)
				}
				return
			}
			if err != nil || !fresh {
				t.Fatalf("%v, fresh %v", err, fresh)
			}
			asked := n
			now = now.Add(3 * time.Hour)
			if _, fresh, err := kept.Render(t.Context(), "u", in); err != nil || fresh {
				t.Errorf("when the pass has ended: %v, fresh %v", err, fresh)
			}
			in.Facts = claimed(t, map[string]render.Claimant{tt.at: {Why: "it is gone"}})
			if _, _, err := kept.Render(t.Context(), "u", in); err == nil || !strings.Contains(err.Error(), "it is gone") {
				t.Errorf("when somebody else asks: %v", err)
			}
			if n != asked {
				t.Errorf("offices were asked %d times, and %d times for one rendering", n, asked)
			}
		})
	}
	if _, err := (passes{render.Known{}, cloud.NewOffice(cloud.OfficeConfig{})}).Pass(t.Context(), cloud.AWS, "eu-west-1"); err == nil {
		t.Error("a pass for nobody")
	}
}
