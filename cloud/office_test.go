package cloud

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A sky stands in for the clouds, and for what a machine tells of itself.
type sky struct {
	t   *testing.T
	at  *url.URL
	env map[string]string
	now time.Time

	mu      sync.Mutex
	asked   []string          // guarded by mu; method, host and path
	answers map[string]answer // guarded by mu; by those
}

// An answer is given to who asks with all these words: in the URL, in headers
// or in the body.
type answer struct {
	want   []string
	status int // 0 means 200
	body   string
}

func newSky(t *testing.T) *sky {
	s := &sky{t: t, env: make(map[string]string), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), answers: make(map[string]answer)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.at, _ = url.Parse(server.URL)
	return s
}

// RoundTrip brings requests to anybody to the sky.
func (s *sky) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Was", r.URL.Scheme)
	r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, s.at.Scheme, s.at.Host
	return http.DefaultTransport.RoundTrip(r)
}

func (s *sky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text, _ := url.QueryUnescape(string(body))
	text += "\n" + r.URL.RawQuery
	for name, v := range r.Header {
		text += "\n" + name + ": " + strings.Join(v, ",")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	what := r.Method + " " + r.Host + r.URL.EscapedPath()
	s.asked = append(s.asked, what)
	a, ok := s.answers[what]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	for _, want := range a.want {
		if !strings.Contains(text, want) {
			s.t.Errorf("%s is asked without %q:\n%s", what, want, text)
		}
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	fmt.Fprint(w, a.body)
}

// say has the sky answer.
func (s *sky) say(what, body string, want ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what] = answer{want: want, body: body}
}

func (s *sky) refuse(what string, status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what] = answer{status: status, body: body}
}

// times returns how often it was asked for what begins like that.
func (s *sky) times(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if strings.HasPrefix(a, what) {
			n++
		}
	}
	return n
}

func (s *sky) office() *Office {
	return NewOffice(OfficeConfig{
		Env: func(name string) string { return s.env[name] }, Transport: s, Now: func() time.Time { return s.now },
		Own: filepath.Join(s.t.TempDir(), "none"),
		Account: func(_ context.Context, namespace, name string, audiences []string) (string, time.Time, error) {
			if name == "gone" {
				return "", time.Time{}, errors.New("get a token of ServiceAccount/apps/gone: not found")
			}
			return "jwt:" + namespace + "/" + name + ":" + strings.Join(audiences, ","), s.now.Add(time.Hour), nil
		},
	})
}

func (s *sky) file(text string) string {
	name := filepath.Join(s.t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// fails checks an error, and that it tells nothing secret.
func (s *sky) fails(err error, isDenied bool, words string) {
	s.t.Helper()
	if err == nil || Denied(err) != isDenied || !strings.Contains(err.Error(), words) {
		s.t.Errorf("error %v (denied: %v), want one with %q", err, Denied(err), words)
	}
	for _, secret := range []string{"jwt:", "hunter2", "SECRET"} {
		if strings.Contains(fmt.Sprint(err), secret) {
			s.t.Errorf("%v tells a secret", err)
		}
	}
}

const (
	webKey = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>AKID</AccessKeyId><SecretAccessKey>SECRET</SecretAccessKey><SessionToken>session</SessionToken><Expiration>2026-11-25T13:00:00Z</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
	ownKey = `{"AccessKeyId":"AKID","SecretAccessKey":"SECRET","Token":"session","Expiration":"2026-11-25T13:00:00Z"}`
	role   = "arn:aws:iam::111122223333:role/r"
)

var (
	onAWS   = Identity{Cloud: AWS, Account: "apps/tenant", Role: role}
	onAzure = Identity{Cloud: Microsoft, Account: "apps/tenant", Role: "client", Pool: "tenant"}
	onGCP   = Identity{Cloud: GCP, Account: "apps/tenant", Role: "me@p.iam.gserviceaccount.com", Pool: "projects/1/locations/global/workloadIdentityPools/a/providers/b"}
)

func TestAmazonAccount(t *testing.T) {
	s := newSky(t)
	o := s.office()
	const sts = "POST sts.eu-west-1.amazonaws.com/"
	s.say(sts, webKey, "Action=AssumeRoleWithWebIdentity", "RoleArn="+role, "WebIdentityToken=jwt:apps/tenant:sts.amazonaws.com",
		"RoleSessionName=tenant.apps.eu-west-1.sane", "Was: https")
	get := func() {
		t.Helper()
		k, until, err := o.Amazon(t.Context(), onAWS, "eu-west-1", "")
		if k != (Amazon{"AKID", "SECRET", "session"}) || until.Hour() != 13 || err != nil {
			t.Errorf("%v until %v, %v", k, until, err)
		}
	}
	get()
	get()
	s.now = s.now.Add(47 * time.Minute)
	get()
	if n := s.times(sts); n != 1 {
		t.Errorf("asked %d times in three quarters of an hour", n)
	}
	s.now = s.now.Add(5 * time.Minute)
	get()
	if n := s.times(sts); n != 2 {
		t.Errorf("asked %d times when the key was about to end", n)
	}
	s.refuse(sts, 403, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>`)
	get() // it is still good
	s.now = s.now.Add(time.Hour)
	_, _, err := o.Amazon(t.Context(), onAWS, "eu-west-1", "")
	s.fails(err, true, "get in as service account apps/tenant: assume the role "+role+": it answers 403 Forbidden: AccessDenied: Not authorized")
	s.refuse(sts, 503, "")
	_, _, err = o.Amazon(t.Context(), onAWS, "eu-west-1", "")
	s.fails(err, false, "503")
	s.say(sts, "<html>")
	_, _, err = o.Amazon(t.Context(), onAWS, "eu-west-1", "")
	s.fails(err, false, "holds no access key")
	_, _, err = o.Amazon(t.Context(), onAWS, "", "")
	s.fails(err, true, "which region's STS")
	_, _, err = o.Amazon(t.Context(), Identity{Cloud: AWS, Account: "apps/gone", Role: role}, "eu-west-1", "")
	s.fails(err, true, "get in as service account apps/gone: get a token of ServiceAccount/apps/gone: not found")
	_, _, err = o.Amazon(t.Context(), Identity{Cloud: AWS, Account: "apps/tenant", Role: "arn:other:iam::1:role/r"}, "eu-west-1", "")
	s.fails(err, true, "no partition")
	s.say("POST vpce-1.sts.eu-west-1.vpce.amazonaws.com/", webKey)
	if _, _, err := o.Amazon(t.Context(), onAWS, "eu-west-1", "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"); err != nil {
		t.Error(err)
	}
	if _, _, err := NewOffice(OfficeConfig{Transport: s}).Amazon(t.Context(), onAWS, "eu-west-1", ""); err == nil {
		t.Error("a token of a service account where there are none")
	}
}

func TestAmazonOwn(t *testing.T) {
	own := Identity{Cloud: AWS}
	for _, tt := range []struct {
		name string
		sky  func(*sky)
		want string // the id of the key, or words of the error
	}{
		{"its environment", func(s *sky) { s.env["AWS_ACCESS_KEY_ID"], s.env["AWS_SECRET_ACCESS_KEY"] = "ENVID", "SECRET" }, "ENVID"},
		{"its service account", func(s *sky) {
			s.env["AWS_WEB_IDENTITY_TOKEN_FILE"], s.env["AWS_ROLE_ARN"], s.env["AWS_REGION"] = s.file("hunter2\n"), role, "us-east-1"
			s.say("POST sts.us-east-1.amazonaws.com/", webKey, "WebIdentityToken=hunter2\n", "RoleArn="+role)
		}, "AKID"},
		{"its service account, elsewhere", func(s *sky) {
			s.env["AWS_WEB_IDENTITY_TOKEN_FILE"], s.env["AWS_ROLE_ARN"], s.env["AWS_REGION"] = s.file("hunter2"), role, "us-east-1"
			s.env["AWS_ENDPOINT_URL_STS"] = "https://sts.example.com"
			s.say("POST sts.example.com/", webKey)
		}, "AKID"},
		{"no file", func(s *sky) {
			s.env["AWS_WEB_IDENTITY_TOKEN_FILE"], s.env["AWS_ROLE_ARN"] = "/nowhere", role
		}, "the token of our own service account can't be read"},
		{"its pod", func(s *sky) {
			s.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
			s.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = s.file("hunter2")
			s.say("GET 169.254.170.23/v1/credentials", ownKey, "Authorization: hunter2")
		}, "AKID"},
		{"its task", func(s *sky) {
			s.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/1"
			s.say("GET 169.254.170.2/v2/1", ownKey)
		}, "AKID"},
		{"its machine", func(s *sky) {
			s.say("PUT 169.254.169.254/latest/api/token", "ttoken", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60")
			s.say("GET 169.254.169.254/latest/meta-data/iam/security-credentials/", "node\n", "X-Aws-Ec2-Metadata-Token: ttoken")
			s.say("GET 169.254.169.254/latest/meta-data/iam/security-credentials/node", ownKey, "X-Aws-Ec2-Metadata-Token: ttoken")
		}, "AKID"},
		{"nobody", func(*sky) {}, "get in as what this program runs as: AWS does not know it: give the controller's service account a role"},
		{"nobody, by its environment", func(s *sky) { s.env["AWS_EC2_METADATA_DISABLED"] = "true" }, "give the controller's service account a role"},
		{"nonsense", func(s *sky) {
			s.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/1"
			s.say("GET 169.254.170.2/v2/1", `{"SecretAccessKey":"SECRET"}`)
		}, "holds no access key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSky(t)
			tt.sky(s)
			k, _, err := s.office().Amazon(t.Context(), own, "", "")
			if err == nil {
				if k.ID != tt.want || k.Secret != "SECRET" {
					t.Errorf("%s, want %s", k.ID, tt.want)
				}
				return
			}
			s.fails(err, true, tt.want)
		})
	}
}

func TestAzureTokens(t *testing.T) {
	const office = "POST login.microsoftonline.com/tenant/oauth2/v2.0/token"
	const scope = "https://storage.azure.com/.default"
	own := Identity{Cloud: Microsoft}
	pod := func(s *sky) {
		s.env["AZURE_TENANT_ID"], s.env["AZURE_CLIENT_ID"], s.env["AZURE_FEDERATED_TOKEN_FILE"] = "tenant", "client", s.file("hunter2\n")
	}
	for _, tt := range []struct {
		name string
		id   Identity
		sky  func(*sky)
		err  string // "" means a token
		may  bool   // the error may pass
	}{
		{"an account", onAzure, func(s *sky) {
			s.say(office, `{"access_token":"atoken","expires_in":3599}`, "grant_type=client_credentials", "client_id=client", "scope="+scope,
				"client_assertion_type="+assertedJWT, "client_assertion=jwt:apps/tenant:api://AzureADTokenExchange", "Was: https")
		}, "", false},
		{"an account, refused", onAzure, func(s *sky) {
			s.refuse(office, 401, `{"error":"invalid_client","error_description":"AADSTS700211: No matching federated identity record"}`)
		}, "get in as service account apps/tenant: ask login.microsoftonline.com for a token: it answers 401 Unauthorized: invalid_client: AADSTS700211", false},
		{"an account, when it is busy", onAzure, func(s *sky) { s.refuse(office, 429, "") }, "429", true},
		{"an account, nonsense", onAzure, func(s *sky) { s.say(office, "hello") }, "there is none in the answer", true},
		{"in China", onAzure, func(s *sky) {
			s.env["AZURE_AUTHORITY_HOST"] = "https://login.chinacloudapi.cn"
			s.say("POST login.chinacloudapi.cn/tenant/oauth2/v2.0/token", `{"access_token":"atoken","expires_in":3599}`)
		}, "", false},
		{"its pod", own, func(s *sky) {
			pod(s)
			s.say(office, `{"access_token":"atoken","expires_in":3599}`, "client_id=client", "client_assertion=hunter2")
		}, "", false},
		{"its environment", own, func(s *sky) {
			s.env["AZURE_TENANT_ID"], s.env["AZURE_CLIENT_ID"], s.env["AZURE_CLIENT_SECRET"] = "tenant", "client", "hunter2"
			s.say(office, `{"access_token":"atoken","expires_in":3599}`, "client_id=client", "client_secret=hunter2")
		}, "", false},
		{"its machine", own, func(s *sky) {
			s.say("GET 169.254.169.254/metadata/identity/oauth2/token", `{"access_token":"atoken","expires_in":"3599"}`,
				"Metadata: true", "resource=https%3A%2F%2Fstorage.azure.com", "api-version=2018-02-01")
		}, "", false},
		{"one of its machine's", Identity{Cloud: Microsoft, Role: "other"}, func(s *sky) {
			pod(s)
			s.say("GET 169.254.169.254/metadata/identity/oauth2/token", `{"access_token":"atoken","expires_in":"3599"}`, "client_id=other")
		}, "", false},
		{"nobody", own, func(*sky) {}, "get in as what this program runs as: Azure does not know it: AZURE_TENANT_ID", false},
		{"no file", own, func(s *sky) { pod(s); s.env["AZURE_FEDERATED_TOKEN_FILE"] = "/nowhere" }, "can't be read", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSky(t)
			tt.sky(s)
			o := s.office()
			for range 2 {
				got, err := o.Token(t.Context(), tt.id, scope)
				switch {
				case tt.err != "":
					s.fails(err, !tt.may, tt.err)
				case got != "atoken" || err != nil:
					t.Errorf("%q, %v", got, err)
				}
			}
			if tt.err == "" && len(s.asked) != 1 {
				t.Errorf("asked %q", s.asked)
			}
		})
	}
}

func googleKeyFile(t *testing.T, s *sky) string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	data, _ := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "own@p.iam",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	return s.file(string(data))
}

func TestGoogleTokens(t *testing.T) {
	const sts = "POST sts.googleapis.com/v1/token"
	const mint = "POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/me@p.iam.gserviceaccount.com:generateAccessToken"
	const meta = "GET metadata.google.internal/computeMetadata/v1/"
	own := Identity{Cloud: GCP}
	direct := onGCP
	direct.Role = ""
	gke := Identity{Cloud: GCP, Account: "apps/tenant"}
	for _, tt := range []struct {
		name string
		id   Identity
		sky  func(*sky)
		err  string
		may  bool
	}{
		{"an account", direct, func(s *sky) {
			s.say(sts, `{"access_token":"gtoken","expires_in":3599}`, "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
				"audience=//iam.googleapis.com/"+onGCP.Pool, "subject_token=jwt:apps/tenant://iam.googleapis.com/"+onGCP.Pool,
				"subject_token_type=urn:ietf:params:oauth:token-type:jwt", "Was: https")
		}, "", false},
		{"an account as another", onGCP, func(s *sky) {
			s.say(sts, `{"access_token":"federated","expires_in":3599}`)
			s.say(mint, `{"accessToken":"gtoken","expireTime":"2026-11-25T13:00:00Z"}`, "Authorization: Bearer federated", "cloud-platform")
		}, "", false},
		{"an account as one that it may not be", onGCP, func(s *sky) {
			s.say(sts, `{"access_token":"federated-hunter2","expires_in":3599}`)
			s.refuse(mint, 403, `{"error":{"message":"Permission 'iam.serviceAccounts.getAccessToken' denied"}}`)
		}, "the token of a service account: it answers 403 Forbidden: Permission 'iam", false},
		{"an account, refused", direct, func(s *sky) {
			s.refuse(sts, 400, `{"error":"invalid_grant","error_description":"The issuer is not known"}`)
		}, "it answers 400 Bad Request: invalid_grant: The issuer is not known", false},
		{"an account of GKE", gke, func(s *sky) {
			s.say(meta+"project/project-id", "acme", "Metadata-Flavor: Google")
			s.say(meta+"instance/attributes/cluster-location", "europe-west1")
			s.say(meta+"instance/attributes/cluster-name", "prod")
			s.say(sts, `{"access_token":"gtoken","expires_in":3599}`, "subject_token=jwt:apps/tenant:acme.svc.id.goog",
				"audience=identitynamespace:acme.svc.id.goog:https://container.googleapis.com/v1/projects/acme/locations/europe-west1/clusters/prod")
		}, "", false},
		{"an account elsewhere", gke, func(*sky) {}, "annotate it with gcp.auth.fluxcd.io/workload-identity-provider", false},
		{"its machine", own, func(s *sky) {
			s.say(meta+"instance/service-accounts/default/token", `{"access_token":"gtoken","expires_in":3599}`, "Metadata-Flavor: Google")
		}, "", false},
		{"its machine, elsewhere", own, func(s *sky) {
			s.env["GCE_METADATA_HOST"] = "10.0.0.1:80"
			s.say("GET 10.0.0.1:80/computeMetadata/v1/instance/service-accounts/default/token", `{"access_token":"gtoken","expires_in":3599}`)
		}, "", false},
		{"its file", own, func(s *sky) {
			s.env["GOOGLE_APPLICATION_CREDENTIALS"] = googleKeyFile(s.t, s)
			s.say("POST oauth2.googleapis.com/token", `{"access_token":"gtoken","expires_in":3599}`, "assertion=")
		}, "", false},
		{"its file, of another cloud's", own, func(s *sky) {
			s.env["GOOGLE_APPLICATION_CREDENTIALS"] = s.file(`{"type":"external_account","audience":"//a","token_url":"https://sts.googleapis.com/v1/token",
				"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/me@p.iam.gserviceaccount.com:generateAccessToken",
				"credential_source":{"file":"` + s.file(`{"t":"hunter2"}`) + `","format":{"type":"json","subject_token_field_name":"t"}}}`)
			s.say(sts, `{"access_token":"federated","expires_in":3599}`, "audience=//a", "subject_token=hunter2")
			s.say(mint, `{"accessToken":"gtoken","expireTime":"2026-11-25T13:00:00Z"}`)
		}, "", false},
		{"its file, which is none", own, func(s *sky) { s.env["GOOGLE_APPLICATION_CREDENTIALS"] = "/nowhere" }, "can't be read", false},
		{"its file, of a sort that is not known", own, func(s *sky) {
			s.env["GOOGLE_APPLICATION_CREDENTIALS"] = s.file(`{"type":"external_account","credential_source":{"executable":{"command":"id"}}}`)
		}, "names no file with a token", false},
		{"nobody", own, func(*sky) {}, "get in as what this program runs as: Google does not know it", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSky(t)
			tt.sky(s)
			got, err := s.office().Token(t.Context(), tt.id, "")
			switch {
			case tt.err != "":
				s.fails(err, !tt.may, tt.err)
			case got != "gtoken" || err != nil:
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// jwtUntil returns a token that says when it ends.
func jwtUntil(at time.Time) string {
	return "h." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, at.Unix())) + ".s"
}

func TestRegistries(t *testing.T) {
	login := base64.StdEncoding.EncodeToString([]byte("AWS:hunter2"))
	for _, tt := range []struct {
		id             Identity
		host           string
		sky            func(*sky)
		user, password string
		err            string
	}{
		{onAWS, "111122223333.dkr.ecr.eu-west-1.amazonaws.com", func(s *sky) {
			s.say("POST sts.eu-west-1.amazonaws.com/", webKey)
			s.say("POST api.ecr.eu-west-1.amazonaws.com/", fmt.Sprintf(`{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d.5}]}`, login, s.now.Add(12*time.Hour).Unix()),
				"X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "Content-Type: application/x-amz-json-1.1",
				"/20261125/eu-west-1/ecr/aws4_request", "X-Amz-Security-Token: session")
		}, "AWS", "hunter2", ""},
		{onAWS, publicECR, func(s *sky) {
			s.say("POST sts.us-east-1.amazonaws.com/", webKey)
			s.say("POST api.ecr-public.us-east-1.amazonaws.com/", fmt.Sprintf(`{"authorizationData":{"authorizationToken":%q,"expiresAt":1}}`, login),
				"X-Amz-Target: SpencerFrontendService.GetAuthorizationToken", "/us-east-1/ecr-public/aws4_request")
		}, "AWS", "hunter2", ""},
		{onAWS, "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com", func(s *sky) {
			s.say("POST sts.us-gov-west-1.amazonaws.com/", webKey)
			s.refuse("POST ecr-fips.us-gov-west-1.amazonaws.com/", 400, `{"__type":"AccessDeniedException","message":"not authorized to perform: ecr:GetAuthorizationToken"}`)
		}, "", "", "ask ecr-fips.us-gov-west-1.amazonaws.com: it answers 400 Bad Request: AccessDeniedException: not authorized"},
		{onAWS, "111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.example", func(*sky) {}, "", "", "is none of aws's"},
		{onAzure, "acme.azurecr.io", func(s *sky) {
			s.say("POST login.microsoftonline.com/tenant/oauth2/v2.0/token", `{"access_token":"atoken","expires_in":3599}`, "scope=https://containerregistry.azure.net/.default")
			s.say("POST acme.azurecr.io/oauth2/exchange", `{"refresh_token":"`+jwtUntil(s.now.Add(3*time.Hour))+`"}`, "grant_type=access_token", "service=acme.azurecr.io", "access_token=atoken")
		}, "00000000-0000-0000-0000-000000000000", "h.", ""},
		{onAzure, "acme.azurecr.io", func(s *sky) {
			s.say("POST login.microsoftonline.com/tenant/oauth2/v2.0/token", `{"access_token":"hunter2","expires_in":3599}`)
			s.refuse("POST acme.azurecr.io/oauth2/exchange", 401, "")
		}, "", "", "ask acme.azurecr.io for a token: it answers 401"},
		{onGCP, "europe-west1-docker.pkg.dev", func(s *sky) {
			s.say("POST sts.googleapis.com/v1/token", `{"access_token":"federated","expires_in":3599}`)
			s.say("POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/me@p.iam.gserviceaccount.com:generateAccessToken", `{"accessToken":"gtoken","expireTime":"2026-11-25T13:00:00Z"}`)
		}, "oauth2accesstoken", "gtoken", ""},
		{onGCP, "ghcr.io", func(*sky) {}, "", "", "the registry ghcr.io is none of gcp's"},
	} {
		s := newSky(t)
		tt.sky(s)
		l, err := s.office().Registry(t.Context(), tt.id, tt.host)
		if tt.err != "" {
			s.fails(err, true, tt.err)
			continue
		}
		if l.User != tt.user || !strings.HasPrefix(l.Password, tt.password) || err != nil {
			t.Errorf("%s: %s, %q, %v", tt.host, l.User, l.Password, err)
		}
	}
}

// TestCodeCommit holds a signature that was made apart, as git-remote-codecommit
// makes them.
func TestCodeCommit(t *testing.T) {
	s := newSky(t)
	s.say("POST sts.eu-west-1.amazonaws.com/", webKey)
	s.say("POST login.microsoftonline.com/tenant/oauth2/v2.0/token", `{"access_token":"atoken","expires_in":3599}`, "scope="+azureDevOps)
	o := s.office()
	l, err := o.Git(t.Context(), onAWS, "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/apps")
	if l.User != "AKID%session" || l.Password != "20261125T120000Z733cda180e8d099edbf64047710616fa68228b0bd1d74f8e3e39380188b865b5" || !l.Until.Equal(s.now.Add(15*time.Minute)) || err != nil {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = o.Git(t.Context(), onAzure, "https://dev.azure.com/acme/p/_git/apps")
	if l.User != "" || l.Password != "atoken" || err != nil {
		t.Errorf("%+v, %v", l, err)
	}
	for _, at := range []string{
		"https://git-codecommit.eu-west-1.amazonaws.com.evil.example/v1/repos/apps", "http://git-codecommit.eu-west-1.amazonaws.com/v1/repos/apps",
		"https://git-codecommit.eu-west-1.amazonaws.com:8443/v1/repos/apps", "https://evil.example/v1", "%",
	} {
		_, err := o.Git(t.Context(), onAWS, at)
		s.fails(err, true, "the repository is none of aws's")
	}
}

func TestClusters(t *testing.T) {
	const (
		arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"
		aks = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod"
		gke = "projects/acme/locations/europe-west1/clusters/prod"
	)
	ca := base64.StdEncoding.EncodeToString([]byte("PEM"))
	kubeconfig := func(server string) string {
		text := "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: other, cluster: {server: 'https://other'}}, {name: k, cluster: {server: '" + server + "', certificate-authority-data: " + ca + "}}]\n"
		return `{"name":"clusterUser","value":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
	}
	s := newSky(t)
	s.env["AWS_ACCESS_KEY_ID"], s.env["AWS_SECRET_ACCESS_KEY"] = "ENVID", "SECRET"
	s.say("POST sts.eu-west-1.amazonaws.com/", webKey)
	s.say("GET eks.eu-west-1.amazonaws.com/clusters/prod", `{"cluster":{"endpoint":"https://ABC.gr7.eu-west-1.eks.amazonaws.com","certificateAuthority":{"data":"`+ca+`"}}}`, "/eu-west-1/eks/aws4_request")
	s.say("POST login.microsoftonline.com/tenant/oauth2/v2.0/token", `{"access_token":"atoken","expires_in":3599}`)
	s.say("GET management.azure.com"+aks, `{"properties":{"aadProfile":{}}}`, "Authorization: Bearer atoken", "api-version=")
	s.say("POST management.azure.com"+aks+"/listClusterUserCredential", `{"kubeconfigs":[`+kubeconfig("https://private.azmk8s.io:443")+","+kubeconfig("https://public.azmk8s.io:443")+`]}`)
	s.say("GET metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token", `{"access_token":"own","expires_in":3599}`)
	s.say("POST sts.googleapis.com/v1/token", `{"access_token":"federated","expires_in":3599}`)
	s.say("POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/me@p.iam.gserviceaccount.com:generateAccessToken", `{"accessToken":"gtoken","expireTime":"2026-11-25T13:00:00Z"}`)
	s.say("GET container.googleapis.com/v1/"+gke, `{"endpoint":"203.0.113.1","masterAuth":{"clusterCaCertificate":"`+ca+`"},
		"privateClusterConfig":{"privateEndpoint":"10.0.0.2"},"controlPlaneEndpointsConfig":{"dnsEndpointConfig":{"endpoint":"gke-1.gke.goog"}}}`)
	o := s.office()
	for _, tt := range []struct {
		c    Cluster
		want string // address and CA
		err  string
	}{
		{Cluster{Identity: onAWS, Name: arn}, "https://ABC.gr7.eu-west-1.eks.amazonaws.com PEM", ""},
		{Cluster{Identity: onAWS, Name: arn, Spot: Spot{"https://own.example", ""}}, "https://own.example PEM", ""},
		{Cluster{Identity: onAWS, Name: arn, Spot: Spot{"https://own.example", "CA"}}, "https://own.example CA", ""},
		{Cluster{Identity: Identity{Cloud: AWS}, Name: arn}, "https://ABC.gr7.eu-west-1.eks.amazonaws.com PEM", ""},
		{Cluster{Identity: Identity{Cloud: AWS}, Name: arn, Spot: Spot{"https://evil.example", "CA"}}, "", `is not at "https://evil.example": its addresses are https://ABC`},
		{Cluster{Identity: Identity{Cloud: AWS}, Name: arn, Spot: Spot{"https://abc.gr7.eu-west-1.eks.amazonaws.com:443/", "CA"}}, "https://ABC.gr7.eu-west-1.eks.amazonaws.com PEM", ""},
		{Cluster{Identity: onAWS, Name: "prod"}, "", `"prod" is not the ARN of a cluster`},
		{Cluster{Identity: onAzure, Name: aks}, "https://private.azmk8s.io:443 PEM", ""},
		{Cluster{Identity: onAzure, Name: aks, Spot: Spot{"https://public.azmk8s.io", ""}}, "https://public.azmk8s.io PEM", ""},
		{Cluster{Identity: onAzure, Name: aks, Spot: Spot{"https://none.azmk8s.io", ""}}, "", "its addresses are https://private.azmk8s.io:443, https://public.azmk8s.io:443"},
		{Cluster{Identity: onAzure, Name: "/subscriptions/1"}, "", "is not the id of a cluster of AKS's"},
		{Cluster{Identity: onGCP, Name: gke}, "https://203.0.113.1 PEM", ""},
		{Cluster{Identity: Identity{Cloud: GCP}, Name: gke, Spot: Spot{"https://10.0.0.2", ""}}, "https://10.0.0.2 PEM", ""},
		{Cluster{Identity: Identity{Cloud: GCP}, Name: gke, Spot: Spot{"https://gke-1.gke.goog", ""}}, "https://gke-1.gke.goog ", ""},
		{Cluster{Identity: Identity{Cloud: GCP}, Name: gke, Spot: Spot{"https://evil.example", "CA"}}, "", "is not at"},
		{Cluster{Identity: Identity{Cloud: GCP}, Name: "projects/a/locations/b/clusters/../x"}, "", "is not a cluster of GKE's"},
	} {
		got, err := o.Find(t.Context(), tt.c)
		if tt.err != "" {
			s.fails(err, true, tt.err)
		} else if got.Address+" "+got.CA != tt.want || err != nil {
			t.Errorf("%s %s at %s: %v, %v; want %s", tt.c.Cloud, tt.c.Account, tt.c.Address, got, err, tt.want)
		}
	}
	s.say("GET management.azure.com"+aks, `{"properties":{}}`)
	_, err := s.office().Find(t.Context(), Cluster{Identity: onAzure, Name: aks})
	s.fails(err, true, "does not let in identities of Entra's")
	for _, tt := range []struct {
		c    Cluster
		want string
	}{{Cluster{Identity: onAzure}, "atoken"}, {Cluster{Identity: onGCP}, "gtoken"}, {Cluster{Identity: Identity{Cloud: GCP}}, "own"}} {
		if got, err := o.ClusterToken(t.Context(), tt.c); got != tt.want || err != nil {
			t.Errorf("%s: %q, %v", tt.c.Cloud, got, err)
		}
	}
	token, err := o.ClusterToken(t.Context(), Cluster{Identity: onAWS, Name: arn})
	if err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(token, "k8s-aws-v1.")
	at, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil {
		t.Fatalf("%q, %v", token, err)
	}
	checkPresigned(t, string(at))
	s.now = s.now.Add(13 * time.Minute)
	if again, _ := o.ClusterToken(t.Context(), Cluster{Identity: onAWS, Name: arn}); again == token {
		t.Error("a token of a quarter of an hour is good for longer")
	}
	_, err = o.ClusterToken(t.Context(), Cluster{Identity: onAWS, Name: "prod"})
	s.fails(err, true, "is not the ARN")
}

// checkPresigned holds a URL to what EKS asks of one: that is signed anew from
// its parts, as its documentation has it.
func checkPresigned(t *testing.T, at string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"Action": "GetCallerIdentity", "Version": "2011-06-15", "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Expires": "60",
		"X-Amz-SignedHeaders": "host;x-k8s-aws-id", "X-Amz-Security-Token": "session", "X-Amz-Date": "20261125T120000Z",
		"X-Amz-Credential": "AKID/20261125/eu-west-1/sts/aws4_request",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	signature := q.Get("X-Amz-Signature")
	q.Del("X-Amz-Signature")
	request := "GET\n/\n" + strings.ReplaceAll(q.Encode(), "+", "%20") + "\nhost:sts.eu-west-1.amazonaws.com\nx-k8s-aws-id:prod\n\nhost;x-k8s-aws-id\n" +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	key := []byte("AWS4SECRET")
	for _, part := range []string{"20261125", "eu-west-1", "sts", "aws4_request"} {
		key = mac(key, part)
	}
	if want := fmt.Sprintf("%x", mac(key, "AWS4-HMAC-SHA256\n20261125T120000Z\n20261125/eu-west-1/sts/aws4_request\n"+hash([]byte(request)))); signature != want {
		t.Errorf("the signature is %s, want %s", signature, want)
	}
	if u.Scheme != "https" || u.Host != "sts.eu-west-1.amazonaws.com" {
		t.Errorf("it is of %s", u.Host)
	}
}

func TestSelf(t *testing.T) {
	s := newSky(t)
	o := s.office()
	_, err := o.Self()
	s.fails(err, true, "can't be read")
	for _, tt := range []struct{ claims, want string }{
		{`{"sub":"system:serviceaccount:flux-system:sane"}`, "flux-system/sane"}, {`{"sub":"me"}`, ""}, {"", ""},
	} {
		o.Own = s.file("h." + base64.RawURLEncoding.EncodeToString([]byte(tt.claims)) + ".s\n")
		if got, err := o.Self(); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.claims, got, err)
		}
	}
}

// TestBy goes by a proxy, which sees nothing but where to go.
func TestBy(t *testing.T) {
	var went sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		went.Store(r.Method+" "+r.Host, true)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	s := newSky(t)
	o := s.office()
	o.Transport = nil
	_, err := o.By(proxy.URL).Token(t.Context(), onAzure, "scope")
	s.fails(err, false, "Bad Gateway")
	if _, ok := went.Load("CONNECT login.microsoftonline.com:443"); !ok {
		t.Error("it did not go by the proxy")
	}
	if o.By("") != o {
		t.Error("no proxy is another way")
	}
}

// TestVault logs in as the service account that we run as.
func TestVault(t *testing.T) {
	s := newSky(t)
	o := s.office()
	own := Identity{Cloud: Generic}
	_, err := o.Vault(t.Context(), own, "https://vault.example.com", "auth/jwt/login")
	s.fails(err, true, "get in as what this program runs as: the token of our own service account can't be read")
	o.Own = s.file("h." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"system:serviceaccount:flux-system:sane"}`)) + ".s\n")
	const login = "POST vault.example.com/v1/auth/jwt/login"
	s.say(login, `{"auth":{"client_token":"hvs","lease_duration":600}}`, `"role":"flux-system_sane"`, `"jwt":"jwt:flux-system/sane:https://vault.example.com"`)
	for range 2 {
		if got, err := o.Vault(t.Context(), own, "https://vault.example.com", "auth/jwt/login"); got != "hvs" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := s.times(login); n != 1 {
		t.Errorf("logged in %d times", n)
	}
	s.now = s.now.Add(time.Hour)
	s.refuse(login, 400, `{"errors":["claims do not match"]}`)
	_, err = o.Vault(t.Context(), own, "https://vault.example.com", "auth/jwt/login")
	s.fails(err, true, "log in at vault.example.com: it answers 400 Bad Request: claims do not match")
	s.say(login, "{}")
	_, err = o.Vault(t.Context(), own, "https://vault.example.com", "auth/jwt/login")
	s.fails(err, false, "there is no token in the answer")
	_, err = o.Vault(t.Context(), own, "https://me:hunter2@vault.example.com", "x")
	s.fails(err, true, "where Vault is is no URL")
}
