package sops

import (
	"bytes"
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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
)

// dataKey is the key of kms.yaml, which its generator chose.
var dataKey = bytes.Repeat([]byte("kms.yaml 0123456789abcdef0123456789abcdef"), 2)[:32]

// keptBy returns kms.yaml as it would be if others kept its key.
func keptBy(t testing.TB, keys string) string {
	before, rest, ok := strings.Cut(string(read(t, "testdata/formats/kms.yaml.enc")), "    kms:\n")
	_, after, ok2 := strings.Cut(rest, "    lastmodified:")
	if !ok || !ok2 {
		t.Fatal("kms.yaml is not what it was")
	}
	return before + keys + "\n    lastmodified:" + after
}

// A keeper stands in for those who keep keys.
type keeper struct {
	*httptest.Server
	google *rsa.PrivateKey

	mu    sync.Mutex
	asked []string // guarded by mu; host and path
	hook  func(w http.ResponseWriter, r *http.Request) bool
}

func newKeeper(t testing.TB) *keeper {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{google: key}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

// RoundTrip makes requests to anybody reach the keeper.
func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	u, _ := url.Parse(k.URL)
	if r.URL.Scheme != "https" && r.URL.Host != u.Host {
		return nil, errors.New("credentials would go where everybody can read them")
	}
	r = r.Clone(r.Context())
	r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, u.Scheme, u.Host
	return http.DefaultTransport.RoundTrip(r)
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.asked = append(k.asked, r.Host+r.URL.Path)
	hook := k.hook
	k.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	body, _ := io.ReadAll(r.Body)
	if why := k.answer(w, r, body); why != "" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[%q],"error":{"message":%q},"__type":"AccessDenied","message":%q}`, why, why, why)
	}
}

// answer answers, or says why not.
func (k *keeper) answer(w http.ResponseWriter, r *http.Request, body []byte) string {
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	plain := base64.StdEncoding.EncodeToString(dataKey)
	switch host := r.Host; {
	case strings.HasSuffix(r.URL.Path, "/decrypt/firstkey"):
		if r.Method != "POST" || r.URL.EscapedPath() != "/v1/team%20a/transit/decrypt/firstkey" || r.Header.Get("X-Vault-Token") != "hvs.hunter2" || in["ciphertext"] != "vault:v1:ENC" {
			return "permission denied for " + r.Header.Get("X-Vault-Token")
		}
		fmt.Fprintf(w, `{"data":{"plaintext":%q}}`, plain)
	case host == "sts.eu-west-1.amazonaws.com":
		form, _ := url.ParseQuery(string(body))
		if !signed(r, body, cloud.Amazon{ID: "AKID", Secret: "hunter2"}, "sts") || form.Get("Action") != "AssumeRole" || form.Get("RoleArn") != "arn:aws:iam::1:role/r" {
			return "not you"
		}
		fmt.Fprint(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>rolesecret</SecretAccessKey><SessionToken>rolesession</SessionToken></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	case host == "kms.eu-west-1.amazonaws.com":
		who := cloud.Amazon{ID: "AKID", Secret: "hunter2"}
		if r.Header.Get("X-Amz-Security-Token") != "" {
			who = cloud.Amazon{ID: "ROLE", Secret: "rolesecret", Session: "rolesession"}
		}
		want := map[string]any{"CiphertextBlob": "RU5D", "KeyId": "arn:aws:kms:eu-west-1:1:key/a", "EncryptionContext": map[string]any{"app": "web"}}
		if !signed(r, body, who, "kms") || r.Header.Get("X-Amz-Target") != "TrentService.Decrypt" || fmt.Sprint(in) != fmt.Sprint(want) {
			return "not you"
		}
		fmt.Fprintf(w, `{"Plaintext":%q}`, plain)
	case r.URL.Path == "/google-token":
		return k.googleToken(w, r, body)
	case host == "cloudkms.googleapis.com":
		if r.URL.Path != "/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k:decrypt" || r.Header.Get("Authorization") != "Bearer gtoken" || in["ciphertext"] != "RU5D" {
			return "not you"
		}
		fmt.Fprintf(w, `{"plaintext":%q}`, plain)
	case r.URL.Path == "/the-tenant/oauth2/v2.0/token":
		form, _ := url.ParseQuery(string(body))
		if host != "login.microsoftonline.com" || form.Get("client_id") != "app" || form.Get("client_secret") != "hunter2" || form.Get("scope") != "https://vault.azure.net/.default" || form.Get("grant_type") != "client_credentials" {
			return "not you"
		}
		fmt.Fprint(w, `{"access_token":"ztoken","expires_in":3600}`)
	case host == "ours.vault.azure.net":
		if r.URL.Path != "/keys/k/0a1b/decrypt" || r.URL.RawQuery != "api-version=7.4" || r.Header.Get("Authorization") != "Bearer ztoken" || in["alg"] != "RSA-OAEP-256" || in["value"] != "RU5D" {
			return "not you"
		}
		fmt.Fprintf(w, `{"value":%q}`, base64.RawURLEncoding.EncodeToString(dataKey))
	default:
		return "who is " + host + r.URL.Path
	}
	return ""
}

// signed reports whether a request was signed by a key, now, with all that
// tells what is wanted. That signatures are Amazon's, package cloud tests.
func signed(r *http.Request, body []byte, by cloud.Amazon, service string) bool {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	if err != nil || time.Since(at).Abs() > time.Minute || !slices.Contains(strings.Split(names, ";"), "content-type") {
		return false
	}
	again, _ := http.NewRequest(r.Method, "https://"+r.Host+r.URL.String(), nil)
	for name := range strings.SplitSeq(names, ";") {
		if v := r.Header.Get(name); v != "" {
			again.Header.Set(name, v)
		}
	}
	by.Sign(again, body, "eu-west-1", service, at)
	return again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

func (k *keeper) googleToken(w http.ResponseWriter, r *http.Request, body []byte) string {
	form, _ := url.ParseQuery(string(body))
	claims := jwt.MapClaims{}
	proof, err := jwt.ParseWithClaims(form.Get("assertion"), claims, func(*jwt.Token) (any, error) { return &k.google.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(k.URL+"/google-token"), jwt.WithIssuer("me@p.iam"), jwt.WithExpirationRequired())
	if err != nil || proof.Header["kid"] != "id1" || claims["scope"] != "https://www.googleapis.com/auth/cloudkms" || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return fmt.Sprint("not you: ", err)
	}
	fmt.Fprint(w, `{"access_token":"gtoken","expires_in":3600}`)
	return ""
}

func (k *keeper) account(t testing.TB) string {
	der, err := x509.MarshalPKCS8PrivateKey(k.google)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "me@p.iam", "private_key_id": "id1", "token_uri": k.URL + "/google-token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	return string(data)
}

func (k *keeper) vaultKey(address string) string {
	return "    hc_vault: [{vault_address: '" + address + "', engine_path: team a/transit, key_name: firstkey, enc: 'vault:v1:ENC'}]"
}

const (
	amazonDoc = "    kms: [{arn: 'arn:aws:kms:eu-west-1:1:key/a', context: {app: web}, enc: RU5D}]"
	roleDoc   = "    kms: [{arn: 'arn:aws:kms:eu-west-1:1:key/a', role: 'arn:aws:iam::1:role/r', context: {app: web}, enc: RU5D}]"
	googleDoc = "    gcp_kms: [{resource_id: projects/p/locations/global/keyRings/r/cryptoKeys/k, enc: RU5D}]"
	azureDoc  = "    azure_kv: [{vault_url: 'https://ours.vault.azure.net', name: k, version: 0a1b, enc: RU5D}]"

	amazonKeyID = "aws_access_key_id: AKID\naws_secret_access_key: hunter2\n"
	azureApp    = "tenantId: the-tenant\nclientId: app\nclientSecret: hunter2\n"
)

// rendered renders files with a Secret of one key.
func rendered(ctx context.Context, t http.RoundTripper, files map[string]string, name, content string) (string, error) {
	data, _ := json.Marshal(map[string]string{name: content})
	tree := make(fstest.MapFS)
	for file, text := range files {
		tree[file] = &fstest.MapFile{Data: []byte(text)}
	}
	r := Guard{Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{}), transport: t}}
	objects, err := r.Render(ctx, render.Input{Tree: tree, Recipe: render.Recipe{Dir: ".", Decrypt: &render.Step{Unless: unless}},
		Facts: render.Known{render.Keys: {Value: string(data), Secret: true}}})
	if err != nil {
		return "", err
	}
	got, _ := objects[0].Get("stringData", "password")
	s, _ := got.(string)
	return s, nil
}

// Those who keep keys decrypt for who may ask, and an error says whose fault it
// is.
func TestRemote(t *testing.T) {
	k := newKeeper(t)
	vault := k.vaultKey(k.URL)
	for _, tt := range []struct {
		name, keys, file, content string
		err                       string // "" if it is decrypted
		input                     bool
		asked                     int
	}{
		{"Vault", vault, vaultFile, "hvs.hunter2\n", "", false, 1},
		{"Vault, another token", vault, vaultFile, "hvs.wrong", "Vault " + k.URL + " firstkey: it answers 403 Forbidden: permission denied for ***", false, 1},
		{"Vault, an address that is none", k.vaultKey("ftp://vault"), vaultFile, "hvs.hunter2", "its vault_address is not a URL such as", true, 0},
		{"Vault, a password in the address", k.vaultKey("https://u:hunter2@vault"), vaultFile, "hvs.hunter2", "Vault https://u:xxxxx@vault firstkey: its vault_address", true, 0},
		{"Vault, a path that climbs", strings.Replace(vault, "team a", "..", 1), vaultFile, "hvs.hunter2", "are no path in Vault", true, 0},
		{"Vault, no token", vault, "a.txt", "", "Vault " + k.URL + " firstkey: add one, or what gets in where it is kept, to the Secret of spec.decryption.secretRef, as sops.vault-token", true, 0},
		{"Vault, an empty token", vault, vaultFile, "\n", "sops.vault-token: no token of Vault", true, 0},
		{"AWS", amazonDoc, amazonFile, amazonKeyID, "", false, 1},
		{"AWS, another key", amazonDoc, amazonFile, strings.Replace(amazonKeyID, "hunter2", "hunter3", 1), "AWS KMS arn:aws:kms:eu-west-1:1:key/a: it answers 403 Forbidden: AccessDenied: not you", false, 1},
		{"AWS, a role", roleDoc, amazonFile, amazonKeyID, "", false, 2},
		{"AWS, another role", strings.Replace(roleDoc, "role/r", "role/x", 1), amazonFile, amazonKeyID, "assume the role arn:aws:iam::1:role/x: it answers 403", false, 1},
		{"AWS, a region that is a host", strings.Replace(amazonDoc, "eu-west-1", "evil.example.com/", 1), amazonFile, amazonKeyID, "is no region of Amazon's", true, 0},
		{"AWS, no arn", strings.Replace(amazonDoc, "arn:aws:kms", "alias", 1), amazonFile, amazonKeyID, "its arn is not one such as", true, 0},
		{"AWS, no key", amazonDoc, amazonFile, "hunter2", "sops.aws-kms: no access key", true, 0},
		{"GCP", googleDoc, googleFile, k.account(t), "", false, 2},
		{"GCP, another account", googleDoc, googleFile, strings.Replace(k.account(t), "me@p", "you@p", 1), "a token: it answers 403", false, 1},
		{"GCP, another kind of key", googleDoc, googleFile, `{"type":"external_account"}`, `its type is "external_account": only service_account is supported`, true, 0},
		{"GCP, an id that climbs", strings.Replace(googleDoc, "projects/p", "../p", 1), googleFile, k.account(t), "its resource_id is not one such as", true, 0},
		{"Azure", azureDoc, azureFile, azureApp, "", false, 2},
		{"Azure, as az has it", azureDoc, azureFile, `{"tenant":"the-tenant","appId":"app","password":"hunter2"}`, "", false, 2},
		{"Azure, another secret", azureDoc, azureFile, strings.Replace(azureApp, "hunter2", "hunter3", 1), "ask login.microsoftonline.com for a token: it answers 403", false, 1},
		{"Azure, no vault of Azure's", strings.Replace(azureDoc, "ours.vault.azure.net", "vault.azure.net.example.com", 1), azureFile, azureApp, "its vault_url is not one such as", true, 0},
		{"Azure, a managed identity", azureDoc, azureFile, "clientId: app\n", "clientSecret or clientCertificate are needed", true, 0},
		{"either", vault + "\n" + amazonDoc, amazonFile, amazonKeyID, "", false, 1},
		{"Huawei", "    hckms: [{key_id: 'eu:1'}]", "a.txt", "", "Huawei Cloud KMS eu:1: those of Huawei Cloud are not supported", true, 0},
	} {
		k.asked = nil
		for _, files := range []map[string]string{
			{"a.yaml": keptBy(t, tt.keys)},
			{"a.yaml": keptBy(t, tt.keys), "kustomization.yaml": "resources: [a.yaml]\n"},
		} {
			k.asked = nil
			got, err := rendered(t.Context(), k, files, tt.file, tt.content)
			if tt.err == "" && (err != nil || got != "hunter2") || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "a.yaml")) {
				t.Errorf("%s: got %q, error %v, want %q", tt.name, got, err, tt.err)
			}
			if err != nil && (fault.IsInput(err) != tt.input || strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "hvs.")) {
				t.Errorf("%s: a fault of the input: %v, in: %v", tt.name, fault.IsInput(err), err)
			}
			if len(k.asked) != tt.asked {
				t.Errorf("%s: asked %q", tt.name, k.asked)
			}
		}
	}
}

// Vault is asked by the way that is meant for it, nobody goes where it sends
// us, and what it can't answer passes.
func TestVaultsAnswers(t *testing.T) {
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer away.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	k := newKeeper(t)
	for _, tt := range []struct {
		name, at string
		hook     func(w http.ResponseWriter, r *http.Request) bool
		err      string
	}{
		{"it does", k.URL, nil, ""},
		{"nobody is there", gone.URL, nil, "connection refused"},
		{"it tells of machines", "http://169.254.169.254", nil, "169.254.169.254 is an address that is not asked"},
		{"it sends us away", k.URL, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, away.URL, http.StatusTemporaryRedirect)
			return true
		}, "it answers 307 Temporary Redirect, and redirects are not followed"},
		{"it is sealed", k.URL, answering(503, `{"errors":["Vault is sealed"]}`), "it answers 503 Service Unavailable: Vault is sealed"},
		{"no JSON", k.URL, answering(200, "hunter2"), "its answer can't be read"},
		{"no base64", k.URL, answering(200, `{"data":{"plaintext":"hunter2!"}}`), "its answer can't be read"},
		{"no key", k.URL, answering(200, `{}`), "what it decrypts to is no data key"},
		{"too much", k.URL, answering(200, strings.Repeat(" ", 2<<20)), "more than 1048576 bytes"},
	} {
		k.mu.Lock()
		k.hook = tt.hook
		k.mu.Unlock()
		_, err := rendered(t.Context(), nil, map[string]string{"a.yaml": keptBy(t, k.vaultKey(tt.at))}, vaultFile, "hvs.hunter2")
		if (err == nil) != (tt.err == "") || !strings.Contains(fmt.Sprint(err), tt.err) || fault.IsInput(err) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.err)
		}
	}
}

func answering(status int, text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
		return true
	}
}

// After one has failed, nobody is asked in vain: a rendering must end in time.
func TestRemoteFailsOnce(t *testing.T) {
	k := newKeeper(t)
	k.hook = answering(500, "")
	doc := keptBy(t, k.vaultKey(k.URL))
	files := map[string]string{"a.yaml": doc, "b.yaml": strings.Replace(doc, "name: db", "name: b", 1), "c.yaml": strings.Replace(doc, "name: db", "name: c", 1)}
	if _, err := rendered(t.Context(), k, files, vaultFile, "hvs.hunter2"); err == nil || fault.IsInput(err) || len(k.asked) != 1 {
		t.Errorf("asked %q, %v", k.asked, err)
	}
}

// A rendering that is given up does not wait for answers.
func TestRemoteGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	k := newKeeper(t)
	k.hook = func(_ http.ResponseWriter, r *http.Request) bool {
		cancel(errSlow)
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees who goes
		<-r.Context().Done()
		return true
	}
	if _, err := rendered(ctx, k, map[string]string{"a.yaml": keptBy(t, k.vaultKey(k.URL))}, vaultFile, "hvs.hunter2"); !errors.Is(err, errSlow) || fault.IsInput(err) {
		t.Errorf("error is %v", err)
	}
}

// Parts of a key may be kept by many.
func TestRemoteParts(t *testing.T) {
	k := newKeeper(t)
	group := func(key string) string { return "        - " + strings.TrimSpace(key) + "\n" }
	doc := keptBy(t, "    shamir_threshold: 2\n    key_groups:\n"+group(k.vaultKey(k.URL))+group(amazonDoc)+group(googleDoc))
	_, err := rendered(t.Context(), k, map[string]string{"a.yaml": doc}, vaultFile, "hvs.hunter2")
	if want := "2 of these 3 groups of keys are needed, and 1 are there: Vault "; !fault.IsInput(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
}

// said answers all requests with one answer.
type said struct {
	status int
	body   string
}

func (s said) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

// FuzzAnswers looks for panics, for keys that are none, and for answers that
// are taken for a fault of the input.
func FuzzAnswers(f *testing.F) {
	f.Add(200, `{"data":{"plaintext":"AAAA"},"Plaintext":"AAAA","plaintext":"AAAA","value":"AAAA","access_token":"t"}`)
	f.Add(403, `{"errors":["no"],"error":{"message":"no"},"__type":"t","message":"hunter2"}`)
	with := remoteKeys{vault: "hunter2", secrets: []string{"hunter2"}}
	for file, content := range map[string]string{amazonFile: amazonKeyID, azureFile: azureApp, googleFile: newKeeper(f).account(f)} {
		if _, err := with.add(file, content); err != nil {
			f.Fatal(err)
		}
	}
	keys := []remoteKey{
		vaultKey{"https://vault", "transit", "k", "e"}, amazonKey{"arn:aws:kms:eu-west-1:1:key/a", "", nil, "e"},
		googleKey{"projects/p/locations/l/keyRings/r/cryptoKeys/k", "e"}, azureKey{"https://a.vault.azure.net", "k", "", "e"},
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		c, stop := newCalls(t.Context(), said{status, body})
		defer stop()
		for _, k := range keys {
			part, err := c.part(k, with)
			if (err == nil) == (len(part) == 0) || err != nil && (!errors.As(err, new(*outage)) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("%s: %x, %v", k, part, err)
			}
		}
	})
}
