package scenario

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	notationgo "github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	notationsigner "github.com/notaryproject/notation-go/signer"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/internal/ociserver"
	"github.com/sane-gitops/sane/object"
)

// registry serves images until the test has ended.
func (s *scene) registry(opts ociserver.Options) *ociserver.Server {
	s.Helper()
	r, err := ociserver.Start(opts)
	s.must(err)
	s.Cleanup(r.Close)
	return r
}

// pushed publishes an image of a ConfigMap under a tag, and returns its digest.
func (s *scene) pushed(r *ociserver.Server, repo, tag, name string) string {
	s.Helper()
	d, err := r.Files(repo, tag, map[string]string{"cm.yaml": s.expand(configMap(name))})
	s.must(err)
	return string(d)
}

// TestImageReferences: what can be followed of an image, which of it counts if
// several are named, and what revision it is said to be.
func TestImageReferences(t *testing.T) {
	s := open(t)
	r := s.registry(ociserver.Options{})
	at := make(map[string]string)
	for _, tag := range []string{"1.0.0", "1.2.0", "v1.2.1", "1.10.0-rc.1", "2.0.0", "latest", "1.2.1-staging", "1.9.0-staging"} {
		at[tag] = s.pushed(r, "team/app", tag, strings.ReplaceAll(tag, ".", "-"))
	}
	rows := []struct{ name, ref, want, because, reason, words string }{
		{"nothing", "", "latest@" + at["latest"], "", "", ""},
		{"tag", "{tag: 1.2.0}", "1.2.0@" + at["1.2.0"], "", "", ""},
		{"semver", "{semver: 1.x}", "v1.2.1@" + at["v1.2.1"], "", "", ""},
		{"semver-before", "{semver: 1.10.x-0}", "1.10.0-rc.1@" + at["1.10.0-rc.1"], "", "", ""},
		{"semver-filter", "{semver: 1.x-0, semverFilter: '.*-staging$'}", "1.9.0-staging@" + at["1.9.0-staging"], "", "", ""},
		{"digest", "{digest: '" + at["1.0.0"] + "'}", at["1.0.0"], "", "", ""},
		{"semver-over-tag", "{semver: 2.x, tag: latest}", "2.0.0@" + at["2.0.0"], "", "", ""},
		{"digest-over-semver", "{digest: '" + at["1.2.0"] + "', semver: 2.x, tag: latest}", at["1.2.0"], "", "", ""},
		{"no-such-tag", "{tag: none}", "", "FetchFailed", "OCIArtifactPullFailed", "none"},
		{"no-such-version", "{semver: 9.x}", "", "FetchFailed", "OCIArtifactPullFailed", "9.x"},
		{"no-such-digest", "{digest: 'sha256:" + strings.Repeat("ab", 32) + "'}", "", "FetchFailed", "OCIArtifactPullFailed", "abab"},
		{"filtered-out", "{semver: 1.x, semverFilter: '.*-prod$'}", "", "FetchFailed", "OCIArtifactPullFailed", "1.x"},
		{"no-version", "{semver: one}", "", "Stalled", "OCIArtifactPullFailed", "one"},
		{"no-filter", "{semver: 1.x, semverFilter: '('}", "", "Stalled", "OCIArtifactPullFailed", "("},
	}
	url := "url: " + r.URL("team/app")
	for _, row := range rows {
		fields := []string{url, "insecure: true"}
		if row.ref != "" {
			fields = append(fields, "ref: "+row.ref)
		}
		s.source(images, row.name, fields...)
	}
	for _, row := range rows {
		s.row(row.name, func(s *scene) {
			if row.because != "" {
				s.unfetched(s.id(images, row.name), row.because, row.reason, row.words)
				return
			}
			s.stored(s.id(images, row.name), row.want)
		})
	}
	for _, row := range []struct{ name, url, words string }{
		{"tag-in-url", "oci://example.com/team/app:v1", "must not hold a tag"},
		{"digest-in-url", "oci://example.com/team/app@sha256:12", "must hold neither a digest nor a user"},
		{"no-repository", "oci://example.com", "must name a registry and a repository"},
	} {
		id := s.source(images, row.name, "url: '"+row.url+"'")
		s.row(row.name, func(s *scene) { s.unfetched(id, "Stalled", "URLInvalid", row.words) })
	}
	s.row("a higher version", func(s *scene) {
		d := s.pushed(r, "team/app", "v1.3.0", "higher")
		s.ask(s.id(images, "semver"))
		s.stored(s.id(images, "semver"), "v1.3.0@"+d)
	})
}

// TestImageLayers: which layer becomes the artifact, and what of it.
func TestImageLayers(t *testing.T) {
	s := open(t)
	r := s.registry(ociserver.Options{})
	files := func(names ...string) map[string]string {
		all := make(map[string]string)
		for _, name := range names {
			all[name+"/cm.yaml"] = s.expand(configMap(name))
		}
		return all
	}
	const chart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	layers := []ociserver.Layer{{Files: files("a", "b")}, {Files: files("c"), MediaType: chart}, {Files: files("d"), MediaType: chart}}
	d, err := r.Push("team/app", "v1", map[string]string{"org.opencontainers.image.source": "https://example.com/app", "org.opencontainers.image.revision": "main@sha1:1234"}, layers...)
	s.must(err)
	_, err = r.Push("team/none", "v1", nil)
	s.must(err)
	_, err = r.Push("team/odd", "v1", nil, ociserver.Layer{Data: []byte("no archive at all")})
	s.must(err)
	rows := []struct {
		name, repo, fields string
		want               []string // names of objects; nil if it is refused
		words              string
	}{
		{"first", "team/app", "", []string{"first-a", "first-b"}, ""},
		{"by-type", "team/app", "layerSelector: {mediaType: " + chart + "}", []string{"by-type-c"}, ""},
		{"extracted", "team/app", "layerSelector: {mediaType: " + chart + ", operation: extract}", []string{"extracted-c"}, ""},
		{"ignoring", "team/app", "ignore: /a/", []string{"ignoring-b"}, ""},
		{"no-such-type", "team/app", "layerSelector: {mediaType: text/none}", nil, "failed to find layer with media type 'text/none'"},
		{"no-layers", "team/none", "", nil, "no layers"},
		{"no-archive", "team/odd", "", nil, "archive"},
	}
	for _, row := range rows {
		s.unitOf(s.source(images, row.name, "url: "+r.URL(row.repo), "insecure: true", "ref: {tag: v1}", row.fields), "namePrefix: "+row.name+"-")
	}
	for _, row := range rows {
		s.row(row.name, func(s *scene) {
			id := s.id(images, row.name)
			if row.want == nil {
				s.unfetched(id, "FetchFailed", "OCIArtifactLayerOperationFailed", row.words)
				return
			}
			o := s.ready(row.name, "v1@"+string(d))
			s.is(o, "main@sha1:1234", "status", "lastAppliedOriginRevision")
			s.same("objects", s.owned(configMaps, row.name), row.want...)
			o = s.stored(id, "v1@"+string(d))
			s.is(o, "https://example.com/app", "status", "artifact", "metadata", "org.opencontainers.image.source")
		})
	}
	s.row("statuses", func(s *scene) {
		s.is(s.get(s.id(images, "by-type")), "map[mediaType:"+chart+"]", "status", "observedLayerSelector")
		s.is(s.get(s.id(images, "first")), nil, "status", "observedLayerSelector")
		s.is(s.get(s.id(images, "ignoring")), "/a/", "status", "observedIgnore")
		s.event(s.id(images, "first"), "NewArtifact", "from '"+r.URL("team/app")+"', origin source 'https://example.com/app', origin revision 'main@sha1:1234'")
	})
}

// pull returns a Secret of Docker's for a registry.
func pull(host, password string) map[string]string {
	return map[string]string{".dockerconfigjson": fmt.Sprintf(`{"auths": {%q: {"username": "ada", "password": %q}}}`, host, password)}
}

// TestImageAccess: ways in at a registry, and what is said of those that lead
// nowhere.
func TestImageAccess(t *testing.T) {
	s := open(t)
	cert, key := s.certificate("sane")
	strange, strangeKey := s.certificate("stranger")
	pair, err := tls.X509KeyPair(cert, key)
	s.must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	proxy := gitserver.StartProxy("bob", "hunter3")
	t.Cleanup(proxy.Close)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })

	plain := s.registry(ociserver.Options{})
	basic := s.registry(ociserver.Options{Username: "ada", Password: "hunter2"})
	secure := s.registry(ociserver.Options{TLS: true, Username: "ada", Password: "hunter2"})
	mutual := s.registry(ociserver.Options{TLS: true, Clients: pool, Client: pair})
	slow := s.registry(ociserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-released:
		}
		return true
	}})
	var want string
	for _, r := range []*ociserver.Server{plain, basic, secure, mutual} {
		want = "latest@" + s.pushed(r, "team/app", "latest", "a")
	}
	for name, data := range map[string]map[string]string{
		"ada":        pull(basic.Host(), "hunter2"),
		"secure-ada": pull(secure.Host(), "hunter2"),
		"mallory":    pull(basic.Host(), "hunter4"),
		"elsewhere":  pull("example.com", "hunter2"),
		"no-config":  {"password": "hunter2"},
		"ca":         {"ca.crt": string(secure.CA())},
		"client":     {"ca.crt": string(mutual.CA()), "tls.crt": string(cert), "tls.key": string(key)},
		"stranger":   {"ca.crt": string(mutual.CA()), "tls.crt": string(strange), "tls.key": string(strangeKey)},
		"half":       {"ca.crt": string(mutual.CA()), "tls.crt": string(cert)},
		"proxy":      {"address": proxy.Address(), "username": "bob", "password": "hunter3"},
		"no-proxy":   {"address": "nowhere"},
	} {
		s.secret(name, data)
	}
	for account, secret := range map[string]string{"puller": "ada", "pulls-nothing": "not-there"} {
		s.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: " + account + ", namespace: $NS}, imagePullSecrets: [{name: " + secret + "}]}")
	}
	const denied, failed, trusting = "AuthenticationFailed", "OCIArtifactPullFailed", "certSecretRef: {name: ca}"
	rows := []struct {
		name   string
		server *ociserver.Server
		fields []string
		reason string // "" means that it is let in
		words  string
	}{
		{"open", plain, []string{"insecure: true"}, "", ""},
		{"not-insecure", plain, nil, failed, "HTTP"},
		{"secret", basic, []string{"insecure: true", "secretRef: {name: ada}"}, "", ""},
		{"account", basic, []string{"insecure: true", "serviceAccountName: puller"}, "", ""},
		{"secret-before-account", basic, []string{"insecure: true", "secretRef: {name: mallory}", "serviceAccountName: puller"}, denied, "401"},
		{"wrong-password", basic, []string{"insecure: true", "secretRef: {name: mallory}"}, denied, "401"},
		{"nobody", basic, []string{"insecure: true"}, denied, ""},
		{"account-without-secret", basic, []string{"insecure: true", "serviceAccountName: pulls-nothing"}, denied, ""},
		{"no-account", basic, []string{"insecure: true", "serviceAccountName: none"}, denied, `serviceaccounts "none" not found`},
		{"no-secret", basic, []string{"insecure: true", "secretRef: {name: none}"}, denied, `secrets "none" not found`},
		{"no-config", basic, []string{"insecure: true", "secretRef: {name: no-config}"}, denied, ".dockerconfigjson"},
		{"config-of-others", basic, []string{"insecure: true", "secretRef: {name: elsewhere}"}, denied, ""},
		{"trusted", secure, []string{trusting, "secretRef: {name: secure-ada}"}, "", ""},
		{"not-trusted", secure, []string{"secretRef: {name: secure-ada}"}, denied, "certificate"},
		{"certificate", mutual, []string{"certSecretRef: {name: client}"}, "", ""},
		{"another-certificate", mutual, []string{"certSecretRef: {name: stranger}"}, denied, "certificate"},
		{"half-a-certificate", mutual, []string{"certSecretRef: {name: half}"}, denied, "must contain both 'tls.crt' and 'tls.key', or neither"},
		{"proxy", secure, []string{trusting, "secretRef: {name: secure-ada}", "proxySecretRef: {name: proxy}"}, "", ""},
		{"no-proxy", secure, []string{trusting, "secretRef: {name: secure-ada}", "proxySecretRef: {name: no-proxy}"}, denied, "'address' must be the URL of an HTTP proxy"},
		{"too-slow", slow, []string{"insecure: true", "timeout: 1s"}, failed, "1s"},
		{"cloud-elsewhere", plain, []string{"provider: aws"}, "InvalidProviderConfiguration", "provider aws is for its own registries"},
	}
	for _, row := range rows {
		s.source(images, row.name, append([]string{"url: " + row.server.URL("team/app")}, row.fields...)...)
	}
	for _, row := range rows {
		s.row(row.name, func(s *scene) {
			id := s.id(images, row.name)
			if row.reason == "" {
				s.stored(id, want)
				return
			}
			because := "FetchFailed"
			if row.reason == "InvalidProviderConfiguration" {
				because = "Stalled"
			}
			o := s.unfetched(id, because, row.reason, row.words)
			if strings.Contains(string(o.JSON()), "hunter") {
				s.Errorf("it tells a secret: %s", o.JSON())
			}
		})
	}
	s.row("cured", func(s *scene) {
		s.secret("mallory", pull(basic.Host(), "hunter2"))
		s.stored(s.id(images, "wrong-password"), want)
		s.secret("not-there", pull(basic.Host(), "hunter2"))
		s.stored(s.id(images, "account-without-secret"), want)
	})
	if proxy.Passed() == 0 {
		t.Error("nothing has passed the proxy")
	}
	s.silent(sane, "hunter2", "hunter3", "hunter4")
}

// A notary puts signatures beside images of a registry.
type notary struct {
	*scene
	registry *ociserver.Server
	key      *ecdsa.PrivateKey
	sigstore *ca.VirtualSigstore
	rsa      *rsa.PrivateKey
	cert     *x509.Certificate
}

func (s *scene) notary(r *ociserver.Server) notary {
	s.Helper()
	n := notary{scene: s, registry: r}
	var err error
	n.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	n.sigstore, err = ca.NewVirtualSigstore()
	s.must(err)
	n.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	s.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "notary", Organization: []string{"Example"}, Country: []string{"US"}, Province: []string{"WA"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, n.rsa.Public(), n.rsa)
	s.must(err)
	n.cert, err = x509.ParseCertificate(der)
	s.must(err)
	return n
}

// public returns what signatures by key are known by.
func (n notary) public() string {
	n.Helper()
	der, err := x509.MarshalPKIXPublicKey(n.key.Public())
	n.must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// root returns what signatures by identity are known by.
func (n notary) root() string {
	n.Helper()
	logs := n.sigstore.RekorLogs()
	for id, l := range logs {
		var err error
		l.ID, err = hex.DecodeString(id) // in memory it is text
		n.must(err)
	}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, n.sigstore.FulcioCertificateAuthorities(), nil, n.sigstore.TimestampingAuthorities(), logs)
	n.must(err)
	data, err := r.MarshalJSON()
	n.must(err)
	return string(data)
}

func payloadOf(image string) []byte {
	return fmt.Appendf(nil, `{"critical":{"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, image)
}

// leave puts a signature of cosign's beside an image.
func (n notary) leave(repo, image string, annotations map[string]string) {
	n.Helper()
	_, err := n.registry.Push(repo, strings.Replace(image, ":", "-", 1)+".sig", nil, ociserver.Layer{
		Data: payloadOf(image), MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Annotations: annotations,
	})
	n.must(err)
}

const signature = "dev.cosignproject.cosign/signature"

// byKey signs an image with a key.
func (n notary) byKey(repo, image string) {
	n.Helper()
	sum := sha256.Sum256(payloadOf(image))
	signed, err := n.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	n.must(err)
	n.leave(repo, image, map[string]string{signature: base64.StdEncoding.EncodeToString(signed)})
}

// by signs an image in the name of somebody whom an issuer knows.
func (n notary) by(who, repo, image string) {
	n.Helper()
	e, err := n.sigstore.Sign(who, "https://issuer.example.com", payloadOf(image))
	n.must(err)
	sig, err := e.SignatureContent()
	n.must(err)
	cert, err := e.VerificationContent()
	n.must(err)
	logs, err := e.TlogEntries()
	n.must(err)
	l := logs[0].TransparencyLogEntry()
	payload := tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(l.CanonicalizedBody), IntegratedTime: l.IntegratedTime, LogIndex: l.LogIndex, LogID: hex.EncodeToString(l.LogId.KeyId),
	}
	promise, err := n.sigstore.RekorSignPayload(payload)
	n.must(err)
	entry, err := json.Marshal(map[string]any{"SignedEntryTimestamp": promise, "Payload": map[string]any{
		"body": l.CanonicalizedBody, "integratedTime": l.IntegratedTime, "logIndex": l.LogIndex, "logID": payload.LogID,
	}})
	n.must(err)
	n.leave(repo, image, map[string]string{
		signature:                         base64.StdEncoding.EncodeToString(sig.Signature()),
		"dev.sigstore.cosign/certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw})),
		"dev.sigstore.cosign/bundle":      string(entry),
	})
}

// byNotation signs an image as notation does.
func (n notary) byNotation(repo, image string) {
	n.Helper()
	by, err := notationsigner.NewGenericSigner(n.rsa, []*x509.Certificate{n.cert})
	n.must(err)
	at, err := remote.NewRepository(n.registry.Host() + "/" + repo)
	n.must(err)
	at.PlainHTTP = true
	_, err = notationgo.Sign(n.Context(), by, notationregistry.NewRepository(at), notationgo.SignOptions{
		SignerSignOptions: notationgo.SignerSignOptions{SignatureMediaType: "application/jose+json"},
		ArtifactReference: n.registry.Host() + "/" + repo + "@" + image,
	})
	n.must(err)
}

// policy returns a Secret of notation's.
func (n notary) policy(level string) map[string]string {
	stores := `"trustStores": ["ca:any"], "trustedIdentities": ["*"],`
	if level == "skip" {
		stores = ""
	}
	return map[string]string{
		"trustpolicy.json": fmt.Sprintf(`{"version": "1.0", "trustPolicies": [{"name": "p", "registryScopes": ["*"], %s "signatureVerification": {"level": %q}}]}`, stores, level),
		"a.crt":            string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.cert.Raw})),
	}
}

// TestImageProof: what an image must prove, by each sort of signature.
func TestImageProof(t *testing.T) {
	s := open(t)
	r := s.registry(ociserver.Options{})
	ours, theirs := s.notary(r), s.notary(r)
	s.secret("key", map[string]string{"ours.pub": ours.public()})
	s.secret("both", map[string]string{"theirs.pub": theirs.public(), "ours.pub": ours.public()})
	s.secret("badly-named", map[string]string{"ours": ours.public()})
	s.secret("root", map[string]string{"trusted_root.json": ours.root()})
	s.secret("no-root", map[string]string{"root.json": "{}"})
	s.secret("notation", ours.policy("strict"))
	s.secret("audit", ours.policy("audit"))
	s.secret("skip", ours.policy("skip"))
	s.secret("no-policy", map[string]string{"a.crt": ours.policy("")["a.crt"]})
	const (
		me      = "me@example.com"
		keyed   = "provider: cosign, secretRef: {name: key}"
		rooted  = "provider: cosign, trustedRootSecretRef: {name: root}"
		meAlone = rooted + ", matchOIDCIdentity: [{issuer: '^none$', subject: none}, {issuer: '^https://issuer', subject: '^me@'}]"
	)
	rows := []struct {
		name   string
		sign   func(repo, image string)
		verify string
		words  string // "" means that it is proven
	}{
		{"key", ours.byKey, keyed, ""},
		{"one-of-the-keys", ours.byKey, "provider: cosign, secretRef: {name: both}", ""},
		{"not-signed", func(string, string) {}, keyed, "bears no signature"},
		{"another-key", theirs.byKey, keyed, "not by this key"},
		{"no-keys", ours.byKey, "provider: cosign, secretRef: {name: none}", `secrets "none" not found`},
		{"badly-named", ours.byKey, "provider: cosign, secretRef: {name: badly-named}", "no matching public keys were found in secret '$NS/badly-named'"},
		{"anybody", func(repo, image string) { ours.by("you@example.com", repo, image) }, rooted, ""},
		{"identity", func(repo, image string) { ours.by(me, repo, image) }, meAlone, ""},
		{"another-identity", func(repo, image string) { ours.by("you@example.com", repo, image) }, meAlone, "none of its 1 signatures"},
		{"another-sigstore", func(repo, image string) { theirs.by(me, repo, image) }, meAlone, "none of its 1 signatures"},
		{"key-for-an-identity", ours.byKey, meAlone, "signed with a key"},
		{"no-root", func(repo, image string) { ours.by(me, repo, image) }, "provider: cosign, trustedRootSecretRef: {name: no-root}", "'trusted_root.json' not found in secret '$NS/no-root'"},
		{"notation", ours.byNotation, "provider: notation, secretRef: {name: notation}", ""},
		{"notation-not-signed", func(string, string) {}, "provider: notation, secretRef: {name: notation}", "no signature"},
		{"notation-by-another", theirs.byNotation, "provider: notation, secretRef: {name: notation}", "any trusted certificate"},
		{"notation-audits", theirs.byNotation, "provider: notation, secretRef: {name: audit}", ""},
		{"notation-without-policy", ours.byNotation, "provider: notation, secretRef: {name: no-policy}", "trustpolicy.json"},
		{"notation-without-secret", ours.byNotation, "provider: notation", "set spec.verify.secretRef"},
	}
	at := make(map[string]string)
	for _, row := range rows {
		at[row.name] = s.pushed(r, "signed/"+row.name, "v1", row.name)
		row.sign("signed/"+row.name, at[row.name])
		s.source(images, row.name, "url: "+r.URL("signed/"+row.name), "insecure: true", "ref: {tag: v1}", "verify: {"+row.verify+"}")
	}
	at["skip"] = s.pushed(r, "signed/skip", "v1", "skip")
	s.source(images, "skip", "url: "+r.URL("signed/skip"), "insecure: true", "ref: {tag: v1}", "verify: {provider: notation, secretRef: {name: skip}}")
	for _, row := range rows {
		s.row(row.name, func(s *scene) {
			id := s.id(images, row.name)
			if row.words != "" {
				o := s.refused(id, "VerificationError", row.words)
				s.is(o, nil, "status", "artifact")
				if status, reason, _ := condition(o, "SourceVerified"); status != "False" || reason != "VerificationError" {
					s.Errorf("SourceVerified=%s %s", status, reason)
				}
				return
			}
			o := s.stored(id, "v1@"+at[row.name], "SourceVerified=True Succeeded")
			if _, _, message := condition(o, "SourceVerified"); message != "verified signature of revision v1@"+at[row.name] {
				s.Errorf("SourceVerified says %q", message)
			}
		})
	}
	s.row("a policy that asks for nothing", func(s *scene) { s.stored(s.id(images, "skip"), "v1@"+at["skip"]) })
	s.row("signed at last", func(s *scene) {
		ours.byKey("signed/not-signed", at["not-signed"])
		s.ask(s.id(images, "not-signed"))
		s.stored(s.id(images, "not-signed"), "v1@"+at["not-signed"], "SourceVerified=True Succeeded")
	})
	s.row("not verified any more", func(s *scene) {
		id := s.source(images, "key", "url: "+r.URL("signed/key"), "insecure: true", "ref: {tag: v1}")
		s.until(id, "is not verified", func(o object.Object) bool {
			status, _, _ := condition(o, "SourceVerified")
			return status == "" && observed(o)
		})
	})
	s.event(s.id(images, "another-key"), "VerificationError", "not by this key")
}
