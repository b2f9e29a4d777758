package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/internal/s3server"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/sourcetest"
)

// A sky stands in for Azure's and Google's storage, and for the offices of all
// clouds.
type sky struct {
	*httptest.Server
	t   testing.TB
	let string // what the Authorization of a request to a store must be; "" means that everybody gets in

	mu      sync.Mutex
	n       int                         // guarded by mu; changes
	buckets map[string]map[string]thing // guarded by mu
	hook    func(w http.ResponseWriter, r *http.Request) bool
	asked   map[string]int // guarded by mu; by host
}

type thing struct{ tag, text string }

func newSky(t testing.TB) *sky {
	s := &sky{t: t, buckets: make(map[string]map[string]thing), asked: make(map[string]int)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// fill makes a bucket hold these objects.
func (s *sky) fill(bucket string, objects map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[string]thing)
	for key, text := range objects {
		old, ok := s.buckets[bucket][key]
		if !ok || old.text != text {
			s.n++
			old = thing{fmt.Sprintf("0x%d", s.n), text}
		}
		next[key] = old
	}
	s.buckets[bucket] = next
}

// office asks offices under the sky.
func (s *sky) office() *cloud.Office {
	at, _ := url.Parse(s.URL)
	return cloud.NewOffice(cloud.OfficeConfig{
		Env: func(string) string { return "" },
		Transport: trip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, at.Scheme, at.Host
			return http.DefaultTransport.RoundTrip(r)
		}),
		Account: func(context.Context, string, string, []string) (string, time.Time, error) {
			return "hunter2-jwt", time.Now().Add(time.Hour), nil
		},
	})
}

type trip func(r *http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *sky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	hook := s.hook
	s.asked[r.Host]++
	s.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if google, ok := strings.CutPrefix(r.URL.EscapedPath(), "/storage/v1/b/"); ok {
		s.google(w, r, google)
		return
	}
	s.azure(w, r)
}

// few is how many objects a page holds.
const few = 3

// page returns the keys of a page, and what to ask the next one by.
func page(objects map[string]thing, prefix, from string) (keys []string, next string) {
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		switch {
		case !strings.HasPrefix(key, prefix) || key < from:
		case len(keys) == few:
			return keys, key
		default:
			keys = append(keys, key)
		}
	}
	return keys, ""
}

func (s *sky) google(w http.ResponseWriter, r *http.Request, path string) {
	bucket, rest, _ := strings.Cut(path, "/")
	objects, ok := s.buckets[bucket]
	key, _ := url.PathUnescape(strings.TrimPrefix(strings.TrimPrefix(rest, "o"), "/"))
	o, is := objects[key]
	answer := func(status int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, status, text)
	}
	switch q := r.URL.Query(); {
	case s.let != "" && r.Header.Get("Authorization") != s.let:
		answer(http.StatusUnauthorized, "Invalid Credentials")
	case !ok:
		answer(http.StatusNotFound, "The specified bucket does not exist.")
	case rest == "o":
		keys, next := page(objects, q.Get("prefix"), q.Get("pageToken"))
		var items []map[string]string
		for _, k := range keys {
			items = append(items, map[string]string{"name": k, "etag": "e" + objects[k].tag, "generation": objects[k].tag, "size": strconv.Itoa(len(objects[k].text))})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "nextPageToken": next})
	case !is:
		answer(http.StatusNotFound, "No such object")
	case q.Get("ifGenerationMatch") != o.tag:
		answer(http.StatusPreconditionFailed, "conditionNotMet")
	case q.Get("alt") == "media":
		fmt.Fprint(w, o.text)
	}
}

func (s *sky) azure(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/account"), "/"), "/")
	objects, ok := s.buckets[bucket]
	o, is := objects[key]
	answer := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>It is so.\nRequestId:1</Message></Error>", code)
	}
	switch q := r.URL.Query(); {
	case r.Header.Get("X-Ms-Version") == "":
		answer(http.StatusBadRequest, "MissingRequiredHeader")
	case s.let != "" && r.Header.Get("Authorization") != s.let:
		answer(http.StatusForbidden, "AuthenticationFailed")
	case !ok:
		answer(http.StatusNotFound, "ContainerNotFound")
	case q.Get("comp") == "list" && q.Get("restype") == "container":
		keys, next := page(objects, q.Get("prefix"), q.Get("marker"))
		fmt.Fprint(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>`)
		for _, k := range keys {
			var name bytes.Buffer
			_ = xml.EscapeText(&name, []byte(k))
			fmt.Fprintf(w, `<Blob><Name>%s</Name><Properties><Etag>%s</Etag><Content-Length>%d</Content-Length></Properties></Blob>`, &name, objects[k].tag, len(objects[k].text))
		}
		fmt.Fprintf(w, `</Blobs><NextMarker>%s</NextMarker></EnumerationResults>`, next)
	case !is:
		answer(http.StatusNotFound, "BlobNotFound")
	case r.Header.Get("If-Match") != `"`+o.tag+`"`:
		answer(http.StatusPreconditionFailed, "ConditionNotMet")
	default:
		fmt.Fprint(w, o.text)
	}
}

func (s *sky) remote(api string) source.Remote {
	return source.Remote{Type: "bucket", API: api, URL: s.URL, Timeout: 10 * time.Second}
}

func (s *sky) source(t testing.TB) *Source {
	src := open(t, t.TempDir(), -1)
	src.Office = s.office()
	return src
}

// TestClouds holds Azure's and Google's storage to what all sources must do.
func TestClouds(t *testing.T) {
	for _, api := range []string{"azure", "gcp"} {
		t.Run(api, func(t *testing.T) {
			s := newSky(t)
			sourcetest.Run(t, branches{s.source(t)}, s.remote(api), func(branch string, files map[string]string) {
				s.fill(named(source.Ref{Branch: branch}).Name, files)
			})
		})
	}
}

// What is here already is asked about without its content.
func TestCloudCheck(t *testing.T) {
	for _, api := range []string{"azure", "gcp"} {
		sky := newSky(t)
		sky.fill("apps", map[string]string{"a b/c": "1"})
		src, p := sky.source(t), placeOf(sky.remote(api), source.Ref{Name: "apps"})
		c, err := src.client(p)
		must(t, err)
		list, err := c.list(t.Context(), p)
		must(t, err)
		sky.hook = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && (api == "azure" || r.URL.Query().Get("alt") == "media") {
				t.Errorf("%s: its content is asked for: %s", api, r.URL)
			}
			return false
		}
		if err := c.check(t.Context(), p, list[0]); err != nil {
			t.Errorf("%s: %v", api, err)
		}
		sky.fill("apps", map[string]string{"a b/c": "2"})
		if err := c.check(t.Context(), p, list[0]); err == nil || !strings.Contains(err.Error(), "has changed meanwhile") {
			t.Errorf("%s: of one that has changed: %v", api, err)
		}
	}
}

// TestCloudKeys has keys with all that has a meaning in a URL, prefixes, many
// pages and changes.
func TestCloudKeys(t *testing.T) {
	for _, api := range []string{"azure", "gcp"} {
		s := newSky(t)
		objects := map[string]string{"other/x": "1"}
		for _, key := range []string{"a b", "a%2Fb", "a+b", "a#b", "a?b=c&d", "d/e/ü.yaml", "d/f", "g", "h", "i"} {
			objects["apps/"+key] = key
		}
		s.fill("apps", objects)
		src := s.source(t)
		ref := source.Ref{Name: "apps", Prefix: "apps/"}
		snap, err := get(t, src, s.remote(api), ref)
		must(t, err)
		if n := len(names(t, snap.Tree)); n != 10 {
			t.Errorf("%s: %d files", api, n)
		}
		for key, want := range objects {
			if data, err := fs.ReadFile(snap.Tree, key); string(data) != want && strings.HasPrefix(key, "apps/") {
				t.Errorf("%s: %s holds %q, %v", api, key, data, err)
			}
		}
		objects["apps/g"] = "changed"
		s.fill("apps", objects)
		s.mu.Lock()
		s.hook = func(_ http.ResponseWriter, r *http.Request) bool { // between the listing and the object
			if strings.HasSuffix(r.URL.Path, "/g") {
				objects["apps/g"] = "again"
				s.fill("apps", objects)
			}
			return false
		}
		s.mu.Unlock()
		if _, err := get(t, src, s.remote(api), ref); err == nil || !strings.Contains(err.Error(), "has changed meanwhile") {
			t.Errorf("%s: what changes while it is read: %v", api, err)
		}
	}
}

func keyAndCertificate(t testing.TB) (key *rsa.PrivateKey, both []byte, cert *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err = x509.ParseCertificate(der)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return key, slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert
}

// offices answers as the offices of clouds do.
func (s *sky) offices(key *rsa.PrivateKey, cert *x509.Certificate) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		ok := false
		switch {
		case r.Host == "login.microsoftonline.com":
			if text := r.FormValue("client_assertion"); text != "" && text != "hunter2-jwt" {
				token, err := jwt.ParseWithClaims(text, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return key.Public(), nil },
					jwt.WithAudience("https://login.microsoftonline.com/tenant/oauth2/v2.0/token"), jwt.WithIssuer("certified"), jwt.WithSubject("certified"), jwt.WithExpirationRequired())
				sum := sha1.Sum(cert.Raw)
				chain, _ := token.Header["x5c"].([]any)
				ok = err == nil && token.Header["x5t"] == base64.RawURLEncoding.EncodeToString(sum[:]) && len(chain) == 1
			} else {
				ok = r.FormValue("client_secret") == "hunter2" || text == "hunter2-jwt" && r.FormValue("client_id") == "client"
			}
			ok = ok && r.FormValue("scope") == "https://storage.azure.com/.default"
		case r.Host == "oauth2.googleapis.com":
			_, err := jwt.Parse(r.FormValue("assertion"), func(*jwt.Token) (any, error) { return key.Public(), nil })
			ok = err == nil
		case r.Host == "sts.googleapis.com":
			ok = r.FormValue("subject_token") == "hunter2-jwt"
		case r.Host == "169.254.169.254":
			ok = r.URL.Query().Get("client_id") == "machine"
		case strings.HasPrefix(r.Host, "127.0.0.1"):
			return false
		}
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return true
		}
		fmt.Fprint(w, `{"access_token":"hunter2-token","expires_in":3600}`)
		return true
	}
}

func TestCloudAccess(t *testing.T) {
	key, both, cert := keyAndCertificate(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	account, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "me@p.iam",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	azure := func(account, role string) cloud.Identity {
		return cloud.Identity{Cloud: cloud.Microsoft, Account: account, Role: role, Pool: "tenant"}
	}
	google := cloud.Identity{Cloud: cloud.GCP, Account: "apps/tenant", Pool: "projects/1/locations/global/workloadIdentityPools/a/providers/b"}
	for _, tt := range []struct {
		name, api string
		access    source.Access
		err       error
		words     string
	}{
		{"a secret", "azure", source.Access{Grant: &source.Grant{Tenant: "tenant", Client: "client", Secret: "hunter2"}}, nil, ""},
		{"another secret", "azure", source.Access{Grant: &source.Grant{Tenant: "tenant", Client: "client", Secret: "hunter2 no more"}}, source.ErrAuth, "ask login.microsoftonline.com for a token: it answers 401 Unauthorized: invalid_client"},
		{"a certificate", "azure", source.Access{Grant: &source.Grant{Tenant: "tenant", Client: "certified", Certificate: both, Chain: true}}, nil, ""},
		{"no certificate", "azure", source.Access{Grant: &source.Grant{Tenant: "tenant", Client: "certified", Certificate: []byte("hunter2")}}, source.ErrAuth, "clientCertificate must be"},
		{"an account of the cluster's", "azure", source.Access{Cloud: azure("apps/tenant", "client")}, nil, ""},
		{"an account that Azure does not know", "azure", source.Access{Cloud: azure("apps/tenant", "other")}, source.ErrAuth, "get in as service account apps/tenant: "},
		{"the machine's", "azure", source.Access{Cloud: cloud.Identity{Cloud: cloud.Microsoft, Role: "machine"}}, nil, ""},
		{"nobody", "azure", source.Access{}, source.ErrAuth, "the server answers 403 Forbidden: AuthenticationFailed: It is so."},
		{"a key", "gcp", source.Access{Grant: &source.Grant{Account: string(account)}}, nil, ""},
		{"no key", "gcp", source.Access{Grant: &source.Grant{Account: "hunter2"}}, source.ErrAuth, "no JSON key of a service account"},
		{"an account of the cluster's", "gcp", source.Access{Cloud: google}, nil, ""},
		{"nobody here", "gcp", source.Access{Cloud: cloud.Identity{Cloud: cloud.GCP}}, source.ErrAuth, "get in as what this program runs as: Google does not know it"},
		{"nobody", "gcp", source.Access{}, source.ErrAuth, "the server answers 401 Unauthorized: Invalid Credentials"},
		{"another API", "none", source.Access{}, source.ErrURL, `the API "none" is not supported`},
	} {
		t.Run(tt.api+" "+tt.name, func(t *testing.T) {
			s := newSky(t)
			s.let, s.hook = "Bearer hunter2-token", s.offices(key, cert)
			s.fill("apps", map[string]string{"a": "1", "b": "2"})
			at := s.remote(tt.api)
			at.Access = tt.access
			_, err := get(t, s.source(t), at, source.Ref{Name: "apps"})
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !strings.Contains(fmt.Sprint(err), tt.words) {
				t.Errorf("error %v, want %v with %q", err, tt.err, tt.words)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("the error tells a secret: %v", err)
			}
			if n := s.asked["login.microsoftonline.com"] + s.asked["sts.googleapis.com"] + s.asked["oauth2.googleapis.com"]; tt.err == nil && n > 1 {
				t.Errorf("asked for a token %d times", n)
			}
			at.Access = source.Access{}
			s.let, s.hook = "", nil
			if _, err = get(t, s.source(t), at, source.Ref{Name: "none"}); tt.api != "none" && !errors.Is(err, source.ErrNotFound) {
				t.Errorf("no such bucket: %v", err)
			}
		})
	}
}

// TestSharedKey holds a signature to one that was made apart of Microsoft's
// example, and has signatures in URLs.
func TestSharedKey(t *testing.T) {
	now := time.Date(2015, 6, 26, 23, 39, 12, 0, time.UTC)
	k, err := newSharedKey("https://myaccount.blob.core.windows.net", base64.StdEncoding.EncodeToString([]byte("key")), func() time.Time { return now })
	must(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20", nil)
	must(t, err)
	r.Header.Set("X-Ms-Version", "2015-02-21")
	must(t, k.sign(r))
	if got, want := r.Header.Get("Authorization"), "SharedKey myaccount:WM6PIVHYgxCEsyR7/qzf8xFpP0IqD5n1ky7LYLMZ/9g="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, bad := range []struct{ at, key string }{{"https://localhost", "a2V5"}, {"https://a.blob.core.windows.net", "hunter2!"}} {
		if _, err := newSharedKey(bad.at, bad.key, time.Now); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad.at, err)
		}
	}
	s := newSky(t)
	s.fill("apps", map[string]string{"a": "1"})
	s.hook = func(w http.ResponseWriter, r *http.Request) bool {
		if q := r.URL.Query(); q.Get("sig") != "hunter2+/=" && !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<Error><Code>AuthenticationFailed</Code><Message>%s</Message></Error>", q.Get("sig"))
			return true
		}
		return false
	}
	for _, tt := range []struct {
		grant source.Grant
		err   error
	}{
		{source.Grant{SAS: "?sv=2021-12-02&sig=hunter2%2B%2F%3D"}, nil}, {source.Grant{SAS: "sv=1&sig=hunter2"}, source.ErrAuth},
		{source.Grant{SAS: "%hunter2"}, source.ErrAuth}, {source.Grant{AccountKey: "a2V5"}, nil},
	} {
		at := s.remote("azure")
		at.URL += "/account"
		at.Access.Grant = &tt.grant
		_, err := get(t, s.source(t), at, source.Ref{Name: "apps"})
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || strings.Contains(strings.ReplaceAll(fmt.Sprint(err), "***", ""), "sig=hunter2%2B") {
			t.Errorf("%+v: %v", tt.grant.SAS, err)
		}
	}
}

// TestRole gets in at S3 by the role of a service account.
func TestRole(t *testing.T) {
	clouds := newSky(t)
	clouds.hook = func(w http.ResponseWriter, r *http.Request) bool {
		if r.FormValue("RoleArn") != "arn:aws:iam::1:role/r" || r.Host != "sts.us-east-1.amazonaws.com" && r.Host != "vpce-1.sts.us-east-1.vpce.amazonaws.com" {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		fmt.Fprint(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>alice</AccessKeyId>
<SecretAccessKey>hunter2</SecretAccessKey><SessionToken>hunter2</SessionToken></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
		return true
	}
	server := serve(t, s3server.Options{Key: "alice"})
	must(t, server.Create("apps"))
	must(t, server.Put("apps", "a", "1"))
	for _, tt := range []struct {
		role, sts string
		err       error
	}{
		{"arn:aws:iam::1:role/r", "", nil}, {"arn:aws:iam::1:role/r", "https://vpce-1.sts.us-east-1.vpce.amazonaws.com", nil}, {"arn:aws:iam::1:role/other", "", source.ErrAuth},
	} {
		at := remoteOf(server)
		at.Access.Cloud = cloud.Identity{Cloud: cloud.AWS, Account: "apps/tenant", Role: tt.role}
		if tt.sts != "" {
			at.Access.Issuer = &source.Issuer{Type: "aws", Endpoint: tt.sts}
		}
		_, err := get(t, clouds.source(t), at, source.Ref{Name: "apps"})
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s at %s: %v", tt.role, tt.sts, err)
		}
	}
	if n := clouds.asked["vpce-1.sts.us-east-1.vpce.amazonaws.com"]; n != 1 {
		t.Errorf("the STS that is named was asked %d times", n)
	}
}
