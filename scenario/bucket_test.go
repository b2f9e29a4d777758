package scenario

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/internal/s3server"
	"github.com/sane-gitops/sane/object"
)

// store serves buckets until the test has ended.
func (s *scene) store(opts s3server.Options) *s3server.Server {
	s.Helper()
	b, err := s3server.Start(opts)
	s.must(err)
	s.Cleanup(b.Close)
	return b
}

// ldap answers as an STS that knows bob by a password, and gives out ada's key.
func ldap(w http.ResponseWriter, r *http.Request) bool {
	if r.FormValue("Action") != "AssumeRoleWithLDAPIdentity" || r.FormValue("LDAPUsername") != "bob" || r.FormValue("LDAPPassword") != "hunter3" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>AccessDenied</Code><Message>who are you?</Message></Error></ErrorResponse>`)
		return true
	}
	fmt.Fprintf(w, `<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithLDAPIdentityResult>
<Credentials><AccessKeyId>ada</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	return true
}

// TestBucketFields: what of a bucket becomes an artifact, ways in at its server,
// and what is said of those that lead nowhere.
func TestBucketFields(t *testing.T) {
	s := open(t)
	plain := s.store(s3server.Options{Key: "ada"})
	secure := s.store(s3server.Options{TLS: true, Key: "ada"})
	sts := s.store(s3server.Options{Hook: ldap})
	secureSTS := s.store(s3server.Options{TLS: true, Hook: ldap})
	proxy := gitserver.StartProxy("carl", "hunter4")
	t.Cleanup(proxy.Close)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	slow := s.store(s3server.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-released:
		}
		return true
	}})
	for _, b := range []*s3server.Server{plain, secure} {
		s.must(b.Create("apps"))
		for key, text := range map[string]string{
			"web/a.yaml": configMap("a"), "web/deep/b.yaml": configMap("b"), "api/c.yaml": configMap("c"), "d.yaml": configMap("d"), ".sourceignore": "/d.yaml\n",
		} {
			s.must(b.Put("apps", key, s.expand(text)))
		}
	}
	for name, data := range map[string]map[string]string{
		"ada":        {"accesskey": "ada", "secretkey": "hunter2"},
		"mallory":    {"accesskey": "mallory", "secretkey": "hunter2"},
		"half":       {"accesskey": "ada"},
		"bob":        {"username": "bob", "password": "hunter3"},
		"not-bob":    {"username": "bob", "password": "hunter5"},
		"ca":         {"ca.crt": string(secure.CA())},
		"sts-ca":     {"ca.crt": string(secureSTS.CA())},
		"carl":       {"address": proxy.Address(), "username": "carl", "password": "hunter4"},
		"not-carl":   {"address": proxy.Address(), "username": "carl", "password": "hunter5"},
		"no-address": {"username": "carl"},
	} {
		s.secret(name, data)
	}
	const denied, failed, http, key = "AuthenticationFailed", "BucketOperationFailed", "insecure: true", "secretRef: {name: ada}"
	by := func(sts *s3server.Server, more string) string {
		return "sts: {provider: ldap, endpoint: '" + sts.URL() + "'" + more + "}"
	}
	rows := []struct {
		name   string
		server *s3server.Server
		fields []string
		want   []string // names of objects; nil if it is refused
		reason string
		words  string
	}{
		{"all", plain, []string{http, key}, []string{"a", "b", "c"}, "", ""},
		{"named-provider", plain, []string{http, key, "provider: generic", "region: eu-west-1"}, []string{"a", "b", "c"}, "", ""},
		{"prefix", plain, []string{http, key, "prefix: web/"}, []string{"a", "b"}, "", ""},
		{"ignore", plain, []string{http, key, "ignore: '/web/deep'"}, []string{"a", "c"}, "", ""},
		{"tls", secure, []string{key, "certSecretRef: {name: ca}"}, []string{"a", "b", "c"}, "", ""},
		{"sts", plain, []string{http, by(sts, ", secretRef: {name: bob}")}, []string{"a", "b", "c"}, "", ""},
		{"sts-by-tls", plain, []string{http, by(secureSTS, ", secretRef: {name: bob}, certSecretRef: {name: sts-ca}")}, []string{"a", "b", "c"}, "", ""},
		{"proxy", secure, []string{key, "certSecretRef: {name: ca}", "proxySecretRef: {name: carl}"}, []string{"a", "b", "c"}, "", ""},
		{"another-key", plain, []string{http, "secretRef: {name: mallory}"}, nil, denied, "InvalidAccessKeyId"},
		{"no-key", plain, []string{http}, nil, denied, "InvalidAccessKeyId"},
		{"half-a-key", plain, []string{http, "secretRef: {name: half}"}, nil, denied, "invalid '$NS/half' secret data: 'accesskey' and 'secretkey' are required"},
		{"no-secret", plain, []string{http, "secretRef: {name: none}"}, nil, denied, `secrets "none" not found`},
		{"not-trusted", secure, []string{key}, nil, denied, "certificate"},
		{"sts-denies", plain, []string{http, by(sts, ", secretRef: {name: not-bob}")}, nil, denied, "who are you?"},
		{"sts-not-trusted", plain, []string{http, by(secureSTS, ", secretRef: {name: bob}")}, nil, denied, "certificate"},
		{"sts-by-nobody", plain, []string{http, by(sts, "")}, nil, "InvalidSTSConfiguration", "set spec.sts.secretRef"},
		{"proxy-denies", secure, []string{key, "certSecretRef: {name: ca}", "proxySecretRef: {name: not-carl}"}, nil, failed, "Proxy"},
		{"proxy-nowhere", plain, []string{http, key, "proxySecretRef: {name: no-address}"}, nil, denied, "'address' must be the URL of an HTTP proxy"},
		{"no-bucket", plain, []string{http, key, "bucketName: none"}, nil, failed, "NoSuchBucket"},
		{"too-slow", slow, []string{http, key, "timeout: 1s"}, nil, failed, "1s"},
		{"no-host", plain, []string{http, key, "endpoint: 'http://example.com/x'"}, nil, "URLInvalid", "spec.endpoint must be a host"},
	}
	for _, r := range rows {
		id := s.id(buckets, r.name)
		s.apply("apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {name: " + r.name + ", namespace: $NS}\nspec:" +
			fieldsOf([]string{"interval: 10m", "bucketName: apps", "endpoint: '" + r.server.Host() + "'"}, r.fields))
		s.unitOf(id, "namePrefix: "+r.name+"-")
	}
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			id := s.id(buckets, r.name)
			if r.want == nil {
				because := "FetchFailed"
				if r.reason == "URLInvalid" || r.reason == "InvalidSTSConfiguration" {
					because = "Stalled"
				}
				o := s.unfetched(id, because, r.reason, r.words)
				if strings.Contains(string(o.JSON()), "hunter") {
					s.Errorf("it tells a secret: %s", o.JSON())
				}
				return
			}
			o := s.until(id, "has an artifact", func(o object.Object) bool { return text(o, "status", "artifact", "revision") != "" })
			rev := text(o, "status", "artifact", "revision")
			if !strings.HasPrefix(rev, "sha256:") {
				s.Errorf("its revision is %s", rev)
			}
			s.stored(id, rev)
			s.ready(r.name, rev)
			var want []string
			for _, name := range r.want {
				want = append(want, r.name+"-"+name)
			}
			s.same("objects", s.owned(configMaps, r.name), want...)
		})
	}
	for _, r := range []struct{ name, fields, words string }{
		{"sts of another provider", "provider: generic, sts: {provider: aws, endpoint: 'https://sts.amazonaws.com'}", "'ldap' is the only supported STS provider for the 'generic' Bucket provider"},
		{"ldap at a cloud", "provider: aws, sts: {provider: ldap, endpoint: 'https://sts.example.com', secretRef: {name: bob}}", "'aws' is the only supported STS provider for the 'aws' Bucket provider"},
		{"an account at no cloud", "provider: generic, serviceAccountName: ada", "ServiceAccountName is not supported"},
	} {
		s.row(r.name, func(s *scene) {
			o, err := object.Parse([]byte(s.expand("{apiVersion: source.toolkit.fluxcd.io/v1, kind: Bucket, metadata: {name: bad, namespace: $NS}, spec: {interval: 1m, bucketName: apps, endpoint: example.com, " + r.fields + "}}")))
			s.must(err)
			if _, err := s.Apply(t.Context(), o[0], cluster.How{Manager: "tester"}); err == nil || !strings.Contains(err.Error(), r.words) {
				s.Errorf("the API server says %v", err)
			}
		})
	}
	if proxy.Passed() == 0 {
		t.Error("nothing has passed the proxy")
	}
	s.silent(sane, "hunter2", "hunter3", "hunter4", "hunter5")
}
