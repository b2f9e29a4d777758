package scenario

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/golang-jwt/jwt/v5"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// TestGitReferences: what can be followed of a repository, which of it counts if
// several are named, and what revision it is said to be.
func TestGitReferences(t *testing.T) {
	s := open(t)
	s.must(s.git.Create("old"))
	old, err := s.git.Commit("old", "master", "old", map[string]string{"a": "1"})
	s.must(err)
	var c []string
	for i := range 4 {
		c = append(c, strings.TrimPrefix(s.commit(map[string]string{"cm.yaml": configMap("a", fmt.Sprint("n: n", i))}), "main@sha1:"))
	}
	s.must(s.git.Set("app", "refs/heads/dev", c[0]))
	s.must(s.git.Tag("app", "v1.0.0", c[0]))
	s.must(s.git.Set("app", "refs/tags/v1.1.0", c[1]))
	s.must(s.git.Set("app", "refs/tags/v2.0.0-rc.1", c[2]))
	s.must(s.git.Set("app", "refs/tags/latest", c[2]))
	s.must(s.git.Set("app", "refs/pull/1/head", c[2]))
	rows := []struct {
		name, ref, want, because string // it is refused because of something, or else there is what is wanted
		words                    []string
	}{
		{"branch", "{branch: dev}", "dev@sha1:" + c[0], "", nil},
		{"tag", "{tag: v1.1.0}", "v1.1.0@sha1:" + c[1], "", nil},
		{"tag-annotated", "{tag: v1.0.0}", "v1.0.0@sha1:" + c[0], "", nil},
		{"semver", "{semver: '>=1.0.0'}", "v1.1.0@sha1:" + c[1], "", nil},
		{"semver-patch", "{semver: 1.0.x}", "v1.0.0@sha1:" + c[0], "", nil},
		{"semver-before", "{semver: '>=1.0.0-0'}", "v2.0.0-rc.1@sha1:" + c[2], "", nil},
		{"name", "{name: refs/pull/1/head}", "refs/pull/1/head@sha1:" + c[2], "", nil},
		{"name-of-tag", "{name: 'refs/tags/v1.0.0^{}'}", "refs/tags/v1.0.0^{}@sha1:" + c[0], "", nil},
		{"commit", "{commit: " + c[1] + "}", "sha1:" + c[1], "", nil},
		{"commit-of-branch", "{branch: main, commit: " + c[1] + "}", "main@sha1:" + c[1], "", nil},
		{"tag-over-branch", "{branch: dev, tag: v1.1.0}", "v1.1.0@sha1:" + c[1], "", nil},
		{"semver-over-tag", "{tag: latest, semver: 1.x}", "v1.1.0@sha1:" + c[1], "", nil},
		{"name-over-semver", "{semver: 1.x, name: refs/heads/dev}", "refs/heads/dev@sha1:" + c[0], "", nil},
		{"commit-over-name", "{name: refs/heads/dev, commit: " + c[3] + "}", "sha1:" + c[3], "", nil},
		{"no-such-branch", "{branch: none}", "", "FetchFailed", []string{"none"}},
		{"no-such-tag", "{tag: none}", "", "FetchFailed", []string{"none"}},
		{"no-such-version", "{semver: 9.x}", "", "FetchFailed", []string{"9.x"}},
		{"no-version", "{semver: nonsense}", "", "Stalled", []string{"nonsense"}},
		{"no-such-name", "{name: refs/pull/9/head}", "", "FetchFailed", []string{"refs/pull/9/head"}},
		{"no-such-commit", "{commit: " + strings.Repeat("ab", 20) + "}", "", "FetchFailed", []string{strings.Repeat("ab", 20)}},
	}
	s.source(feeds, "nothing", "url: "+s.git.URL("old"))
	for _, r := range rows {
		s.source(feeds, r.name, "url: $URL", "ref: "+r.ref)
	}
	s.row("nothing", func(s *scene) { s.stored(s.id(feeds, "nothing"), "master@sha1:"+old) })
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			if r.because != "" {
				s.unfetched(s.id(feeds, r.name), r.because, "GitOperationFailed", r.words...)
				return
			}
			s.stored(s.id(feeds, r.name), r.want)
		})
	}
	s.row("a higher version", func(s *scene) {
		s.must(s.git.Set("app", "refs/tags/v1.2.0", c[3]))
		s.ask(s.id(feeds, "semver"))
		s.stored(s.id(feeds, "semver"), "v1.2.0@sha1:"+c[3])
	})
}

// TestGitURLs: what is no URL of a repository is not tried again.
func TestGitURLs(t *testing.T) {
	s := open(t)
	for _, r := range []struct {
		name, url string
		words     []string
	}{
		{"no-host", "https://", []string{"there is no host"}},
		{"no-url", "'https://ada:hunter2@exa mple'", []string{"failed to parse url"}},
		{"no-port", "https://example.com:port/app", []string{"failed to parse url", "port"}},
	} {
		id := s.source(feeds, r.name, "url: "+r.url)
		s.row(r.name, func(s *scene) {
			o := s.unfetched(id, "Stalled", "URLInvalid", r.words...)
			if _, _, message := condition(o, "Ready"); strings.Contains(message, "hunter2") {
				s.Errorf("it tells a password: %s", message)
			}
		})
	}
	s.row("by no such scheme", func(s *scene) {
		out, err := s.kubectl("patch", "gitrepository", "no-host", "-n", s.ns, "--type=merge", "-p", `{"spec":{"url":"git://example.com/app"}}`)
		if err == nil || !strings.Contains(out, "spec.url") {
			s.Errorf("it is accepted: %s", out)
		}
	})
}

// A hub stands in for GitHub: it knows one app, 42, which is installed as 7 at the
// organisation "acme", and lets its tokens in.
type hub struct{ key *rsa.PrivateKey }

const hubToken = "ghs_hunter2"

func (h hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	claims := new(jwt.RegisteredClaims)
	_, err := jwt.ParseWithClaims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), claims,
		func(*jwt.Token) (any, error) { return &h.key.PublicKey, nil }, jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{"RS256"}))
	status, answer := http.StatusNotFound, any(map[string]string{"message": "Not Found"})
	switch {
	case err != nil || claims.Issuer != "42":
		status, answer = http.StatusUnauthorized, map[string]string{"message": "A JSON web token could not be decoded"}
	case r.Method+" "+r.URL.Path == "GET /orgs/acme/installation":
		status, answer = http.StatusOK, map[string]int{"id": 7}
	case r.Method+" "+r.URL.Path == "POST /app/installations/7/access_tokens":
		status, answer = http.StatusCreated, map[string]string{"token": hubToken, "expires_at": time.Now().Add(time.Hour).Format(time.RFC3339)}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who has asked may have gone
}

// lets answers requests for repositories that do not come by the token.
func (h hub) lets(w http.ResponseWriter, r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	if user == "x-access-token" && password == hubToken {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

func keyPEM(k *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
}

// serve serves the scene's repositories in another way, too.
func (s *scene) serve(opts gitserver.Options) *gitserver.Server {
	s.Helper()
	g, err := gitserver.Start(string(s.git.Repos), opts)
	s.must(err)
	s.Cleanup(g.Close)
	return g
}

// TestGitAccess: ways in at a repository's server, and what is said of those that
// lead nowhere.
func TestGitAccess(t *testing.T) {
	s := open(t)
	rev := s.commit(map[string]string{"cm.yaml": configMap("a")})
	cert, key := s.certificate("sane")
	strange, strangeKey := s.certificate("stranger")
	app, err := rsa.GenerateKey(rand.Reader, 2048)
	s.must(err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	s.must(err)
	api := httptest.NewServer(hub{app})
	t.Cleanup(api.Close)
	proxy := gitserver.StartProxy("bob", "hunter3")
	t.Cleanup(proxy.Close)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })

	plain := s.git.URL("app")
	mutual := s.serve(gitserver.Options{TLS: true, Clients: cert})
	basic := s.serve(gitserver.Options{TLS: true, Username: "ada", Password: "hunter2"})
	hubs := s.serve(gitserver.Options{Hook: hub{app}.lets})
	slow := s.serve(gitserver.Options{Hook: func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-released:
		}
		return true
	}})
	type secret = map[string]string
	with := func(m secret, more ...string) secret {
		all := make(secret)
		for k, v := range m {
			all[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	mine := secret{"ca.crt": string(mutual.CA()), "tls.crt": string(cert), "tls.key": string(key)}
	ada := secret{"username": "ada", "password": "hunter2", "ca.crt": string(basic.CA())}
	installed := secret{"githubAppID": "42", "githubAppInstallationID": "7", "githubAppPrivateKey": keyPEM(app), "githubAppBaseURL": api.URL}
	byOwner := secret{"githubAppID": "42", "githubAppInstallationOwner": "acme", "githubAppPrivateKey": keyPEM(app), "githubAppBaseURL": api.URL}
	by := secret{"address": proxy.Address(), "username": "bob", "password": "hunter3"}
	const github, failed, denied = "provider: github", "GitOperationFailed", "AuthenticationFailed"
	rows := []struct {
		name, url string
		login     secret // nil means none
		proxy     secret // nil means none
		fields    string
		reason    string // "" means that it is let in
		words     []string
	}{
		{"open", plain, nil, nil, "", "", nil},
		{"certificate", mutual.URL("app"), mine, nil, "", "", nil},
		{"no-certificate", mutual.URL("app"), secret{"ca.crt": string(mutual.CA())}, nil, "", denied, []string{"client certificate"}},
		{"another-certificate", mutual.URL("app"), with(mine, "tls.crt", string(strange), "tls.key", string(strangeKey)), nil, "", denied, []string{"client certificate"}},
		{"half-a-certificate", mutual.URL("app"), with(mine, "tls.key", ""), nil, "", denied, []string{"'tls.crt' and 'tls.key' are required together"}},
		{"old-key-names", basic.URL("app"), secret{"username": "ada", "password": "hunter2", "caFile": string(basic.CA())}, nil, "", "", nil},
		{"no-password", basic.URL("app"), with(ada, "password", ""), nil, "", denied, []string{"password required when username is set"}},
		{"two-ways", basic.URL("app"), with(ada, "bearerToken", "hunter4"), nil, "", denied, []string{"can't be set both"}},
		{"app", hubs.URL("app"), installed, nil, github, "", nil},
		{"app-by-owner", hubs.URL("app"), byOwner, nil, github, "", nil},
		{"app-with-another-key", hubs.URL("app"), with(installed, "githubAppPrivateKey", keyPEM(other)), nil, github, denied, []string{"GitHub App 42", "401 Unauthorized"}},
		{"app-elsewhere", hubs.URL("app"), with(byOwner, "githubAppInstallationOwner", "nobody"), nil, github, denied, []string{"not installed at 'nobody'"}},
		{"app-without-id", hubs.URL("app"), with(installed, "githubAppID", ""), nil, github, denied, []string{"'githubAppID' is missing"}},
		{"app-at-no-provider", hubs.URL("app"), installed, nil, "", "InvalidProviderConfiguration", []string{"has github app data but provider is not set to github"}},
		{"provider-without-app", basic.URL("app"), ada, nil, github, "InvalidProviderConfiguration", []string{"has no github app data but provider is set to github"}},
		{"proxy", basic.URL("app"), ada, by, "", "", nil},
		{"proxy-denies", plain, nil, with(by, "password", "hunter4"), "", denied, []string{"proxy does not accept the credentials"}},
		{"proxy-nowhere", plain, nil, secret{"username": "bob"}, "", denied, []string{"key 'address' is missing"}},
		{"too-slow", slow.URL("app"), nil, nil, "timeout: 1s", failed, []string{"1s"}},
	}
	for _, r := range rows {
		fields := []string{"url: " + r.url, "ref: {branch: main}"}
		if r.login != nil {
			s.secret(r.name, r.login)
			fields = append(fields, "secretRef: {name: "+r.name+"}")
		}
		if r.proxy != nil {
			s.secret(r.name+"-proxy", r.proxy)
			fields = append(fields, "proxySecretRef: {name: "+r.name+"-proxy}")
		}
		s.source(feeds, r.name, append(fields, r.fields)...)
	}
	s.source(feeds, "no-secret", "url: "+basic.URL("app"), "secretRef: {name: none}")
	s.source(feeds, "no-proxy-secret", "url: "+plain, "proxySecretRef: {name: none}")
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			id := s.id(feeds, r.name)
			if r.reason == "" {
				s.stored(id, rev)
				return
			}
			because := "FetchFailed"
			if r.reason == "InvalidProviderConfiguration" {
				because = "Stalled"
			}
			o := s.unfetched(id, because, r.reason, r.words...)
			if strings.Contains(string(o.JSON()), "hunter") {
				s.Errorf("it tells a secret: %s", o.JSON())
			}
		})
	}
	s.row("no-secret", func(s *scene) {
		s.unfetched(s.id(feeds, "no-secret"), "FetchFailed", denied, `failed to get secret '$NS/none': secrets "none" not found`)
		s.unfetched(s.id(feeds, "no-proxy-secret"), "FetchFailed", denied, `failed to get secret '$NS/none': secrets "none" not found`)
	})
	s.row("cured", func(s *scene) {
		for _, r := range []struct {
			name string
			data secret
		}{{"no-certificate", mine}, {"two-ways", with(ada, "bearerToken", "")}, {"app-elsewhere", byOwner}, {"proxy-denies-proxy", by}} {
			s.secret(r.name, r.data)
			s.stored(s.id(feeds, strings.TrimSuffix(r.name, "-proxy")), rev)
		}
	})
	if proxy.Passed() == 0 {
		t.Error("nothing has passed the proxy")
	}
	s.silent(sane, "hunter2", "hunter3", "hunter4")
}

// A signer signs commits and tags.
type signer struct {
	file, public string // the name of a key in a Secret, and that key
	sign         func(payload []byte) ([]byte, error)
}

// pgp returns a signer by OpenPGP.
func (s *scene) pgp() signer {
	s.Helper()
	e, err := openpgp.NewEntity("Ada", "", "ada@example.com", nil)
	s.must(err)
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	s.must(err)
	s.must(errors.Join(e.Serialize(w), w.Close()))
	return signer{"ada.asc", public.String() + "\n", func(payload []byte) ([]byte, error) {
		var out bytes.Buffer
		err := openpgp.ArmoredDetachSign(&out, e, bytes.NewReader(payload), nil)
		return append(out.Bytes(), '\n'), err
	}}
}

// ssh returns a signer by SSH.
func (s *scene) ssh() signer {
	s.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	s.must(err)
	by, err := ssh.NewSignerFromKey(key)
	s.must(err)
	return signer{"ada.sshpub", string(ssh.MarshalAuthorizedKey(by.PublicKey())), func(payload []byte) ([]byte, error) {
		sig, err := sshsig.Sign(bytes.NewReader(payload), by, sshsig.HashSHA512, "git")
		if err != nil {
			return nil, err
		}
		return sshsig.Armor(sig), nil
	}}
}

// hashed writes an object of a kind into the repository, and returns its id.
func (s *scene) hashed(kind, data string) string {
	s.Helper()
	git := exec.Command("git", "-C", s.git.Path("app"), "hash-object", "-t", kind, "-w", "--stdin")
	git.Stdin = strings.NewReader(data)
	out, err := git.Output()
	s.must(err)
	return strings.TrimSpace(string(out))
}

// signed makes a commit anew, signed, and returns its id. What is said of it may
// be changed after that.
func (s *scene) signed(by signer, commit, was, is string) string {
	s.Helper()
	data, err := exec.Command("git", "-C", s.git.Path("app"), "cat-file", "commit", commit).Output()
	s.must(err)
	sig, err := by.sign(data)
	s.must(err)
	head, message, _ := strings.Cut(string(data), "\n\n")
	if was != "" {
		head = strings.Replace(head, was, is, 1)
	}
	return s.hashed("commit", head+"\ngpgsig "+strings.ReplaceAll(strings.TrimSpace(string(sig)), "\n", "\n ")+"\n\n"+message)
}

// tag puts a signed tag at a commit, which may bear another name than the one by
// which it is there.
func (s *scene) tag(by signer, name, ref, commit string) {
	s.Helper()
	payload := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger Ada <ada@example.com> 1700000000 +0000\n\nrelease\n", commit, name)
	sig, err := by.sign([]byte(payload))
	s.must(err)
	s.must(s.git.Set("app", "refs/tags/"+ref, s.hashed("tag", payload+string(sig))))
}

// TestGitProof: what a repository's content must prove in each mode, by each sort
// of key.
func TestGitProof(t *testing.T) {
	s := open(t)
	pgp, key, stranger := s.pgp(), s.ssh(), s.pgp()
	plain := strings.TrimPrefix(s.commit(map[string]string{"cm.yaml": configMap("a")}), "main@sha1:")
	byPGP, bySSH, forged := s.signed(pgp, plain, "", ""), s.signed(key, plain, "", ""), s.signed(pgp, plain, "Lovelace", "Loveless")
	for branch, id := range map[string]string{"plain": plain, "pgp": byPGP, "ssh": bySSH, "forged": forged} {
		s.must(s.git.Set("app", "refs/heads/"+branch, id))
	}
	s.tag(pgp, "v1.0.0", "v1.0.0", byPGP)
	s.tag(pgp, "v2.0.0", "v2.0.0", plain)
	s.tag(key, "v3.0.0", "v3.0.0", bySSH)
	s.tag(stranger, "v4.0.0", "v4.0.0", byPGP)
	s.tag(pgp, "v1.0.0", "v5.0.0", byPGP)
	s.must(s.git.Set("app", "refs/tags/light", byPGP))
	s.must(s.git.Tag("app", "unsigned", byPGP))
	s.secret("keys", map[string]string{pgp.file: pgp.public, key.file: key.public})
	s.secret("legacy", map[string]string{"author": pgp.public})
	s.secret("ssh-only", map[string]string{key.file: key.public})
	s.secret("strange", map[string]string{stranger.file: stranger.public})
	s.secret("bad", map[string]string{"a.asc": "hunter2"})

	rows := []struct {
		name, ref, mode, keys string
		reason                string // "" means that it is proven
		words                 []string
	}{
		{"head-by-pgp", "branch: pgp", "HEAD", "keys", "", nil},
		{"head-by-ssh", "branch: ssh", "HEAD", "keys", "", nil},
		{"head-as-it-was-written", "branch: pgp", "head", "keys", "", nil},
		{"key-by-any-name", "branch: pgp", "HEAD", "legacy", "", nil},
		{"head-of-a-tag", "tag: light", "HEAD", "keys", "", nil},
		{"tag-by-pgp", "tag: v1.0.0", "Tag", "keys", "", nil},
		{"tag-by-ssh", "tag: v3.0.0", "Tag", "keys", "", nil},
		{"tag-of-a-plain-commit", "tag: v2.0.0", "Tag", "keys", "", nil},
		{"tag-by-version", "semver: 1.x", "Tag", "keys", "", nil},
		{"tag-by-name", "name: refs/tags/v1.0.0", "Tag", "keys", "", nil},
		{"tag-and-head", "tag: v1.0.0", "TagAndHEAD", "keys", "", nil},
		{"tag-and-head-by-ssh", "tag: v3.0.0", "TagAndHEAD", "ssh-only", "", nil},
		{"unsigned", "branch: plain", "HEAD", "keys", "InvalidCommitSignature", []string{"is not signed"}},
		{"by-a-stranger", "branch: pgp", "HEAD", "strange", "InvalidCommitSignature", []string{"none of the trusted keys"}},
		{"by-another-sort", "branch: pgp", "HEAD", "ssh-only", "InvalidCommitSignature", []string{"it is of OpenPGP"}},
		{"forged", "branch: forged", "HEAD", "keys", "InvalidCommitSignature", []string{"does not match what is signed"}},
		{"tag-by-a-stranger", "tag: v4.0.0", "Tag", "keys", "InvalidTagSignature", []string{"none of the trusted keys"}},
		{"tag-by-another-name", "tag: v5.0.0", "Tag", "keys", "InvalidTagSignature", []string{"signed by the name 'v1.0.0'"}},
		{"tag-unsigned", "tag: unsigned", "Tag", "keys", "InvalidGitObject", []string{"is not signed"}},
		{"tag-lightweight", "tag: light", "Tag", "keys", "InvalidGitObject", []string{"lightweight"}},
		{"tag-signed-and-head-not", "tag: v2.0.0", "TagAndHEAD", "keys", "InvalidCommitSignature", []string{"is not signed"}},
		{"no-tag", "branch: pgp", "Tag", "keys", "InvalidVerificationMode", []string{"cannot verify tag object's signature if a tag reference is not specified"}},
		{"no-tag-and-head", "branch: pgp", "TagAndHEAD", "keys", "InvalidVerificationMode", []string{"a tag reference is not specified"}},
		{"no-keys", "branch: pgp", "HEAD", "none", "VerificationError", []string{`public keys secret error: failed to get secret '$NS/none': secrets "none" not found`}},
		{"bad-keys", "branch: pgp", "HEAD", "bad", "VerificationError", []string{"a.asc"}},
	}
	for _, r := range rows {
		s.source(feeds, r.name, "url: $URL", "ref: {"+r.ref+"}", "verify: {mode: "+r.mode+", secretRef: {name: "+r.keys+"}}")
	}
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			id := s.id(feeds, r.name)
			if r.reason == "" {
				o := s.until(id, "is ready", func(o object.Object) bool { status, _, _ := condition(o, "Ready"); return status == "True" })
				s.stored(id, text(o, "status", "artifact", "revision"), "SourceVerified=True Succeeded")
				mode := r.mode
				if mode == "head" {
					mode = "HEAD"
				}
				s.is(o, mode, "status", "sourceVerificationMode")
				return
			}
			o := s.refused(id, r.reason, r.words...)
			want := []string{"Ready=False " + r.reason, "Reconciling=True ProgressingWithRetry", "SourceVerified=False " + r.reason}
			if r.reason == "InvalidVerificationMode" {
				want = []string{"Ready=False " + r.reason, "SourceVerified=False " + r.reason, "Stalled=True " + r.reason}
			}
			s.same("conditions", conditions(o), want...)
			s.is(o, nil, "status", "artifact")
			if strings.Contains(string(o.JSON()), "hunter2") {
				s.Errorf("it tells of a key: %s", o.JSON())
			}
		})
	}
	s.row("another mode", func(s *scene) {
		id := s.source(feeds, "head-by-pgp", "url: $URL", "ref: {tag: v1.0.0}", "verify: {mode: TagAndHEAD, secretRef: {name: keys}}")
		s.has(id, "TagAndHEAD", "status", "sourceVerificationMode")
		s.source(feeds, "head-by-pgp", "url: $URL", "ref: {tag: v1.0.0}")
		s.until(id, "is not verified any more", func(o object.Object) bool {
			status, _, _ := condition(o, "SourceVerified")
			return status == "" && observed(o) && text(o, "status", "sourceVerificationMode") == ""
		})
		s.stored(id, "v1.0.0@sha1:"+byPGP)
	})
}

// TestGitParts: what of a repository becomes an artifact.
func TestGitParts(t *testing.T) {
	s := open(t)
	for _, repo := range []string{"lib", "sub"} {
		s.must(s.git.Create(repo))
	}
	lib, err := s.git.Commit("lib", "main", "lib", map[string]string{"deploy/lib.yaml": s.expand(configMap("lib")), "top.yaml": s.expand(configMap("top"))})
	s.must(err)
	sub, err := s.git.Commit("sub", "main", "sub", map[string]string{"sub.yaml": s.expand(configMap("sub"))})
	s.must(err)
	commits, err := s.git.Write("app", "main", slices.Values([]gitserver.Commit{{
		Files: map[string]string{
			"a/a.yaml": s.expand(configMap("a")), "b/b.yaml": s.expand(configMap("b")), "c.yaml": s.expand(configMap("c")),
			"notes.md": "no object", "logo.png": "no object", ".sourceignore": "/b/\n",
			".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = ../sub\n",
		},
		Modules: map[string]string{"sub": sub},
	}}))
	s.must(err)
	rev := "main@sha1:" + commits[0]
	s.stored(s.source(feeds, "lib", "url: "+s.git.URL("lib"), "ref: {branch: main}"), "main@sha1:"+lib)
	rows := []struct {
		name, fields string
		want         []string // names of objects; nil if it is refused
		reason       string
		words        []string
	}{
		{"all", "", []string{"all-a", "all-c"}, "", nil},
		{"more-rules", "ignore: /a/", []string{"more-rules-c"}, "", nil},
		{"other-rules", `ignore: "/*\n!/a\n!/b\n"`, []string{"other-rules-a", "other-rules-b"}, "", nil},
		{"no-rules", "ignore: ''", []string{"no-rules-a", "no-rules-c"}, "", nil},
		{"sparse", "sparseCheckout: [a]", []string{"sparse-a"}, "", nil},
		{"sparse-dotted", "sparseCheckout: [./a/]", []string{"sparse-dotted-a"}, "", nil},
		{"submodules", "recurseSubmodules: true", []string{"submodules-a", "submodules-c", "submodules-sub"}, "", nil},
		{"included", "include: [{repository: {name: lib}}]", []string{"included-a", "included-c", "included-lib", "included-top"}, "", nil},
		{"included-in-part", "include: [{repository: {name: lib}, fromPath: deploy, toPath: a/lib}]", []string{"included-in-part-a", "included-in-part-c", "included-in-part-lib"}, "", nil},
		{"sparse-nowhere", "sparseCheckout: [a, nowhere]", nil, "GitOperationFailed", []string{"nowhere"}},
		{"includes-nothing", "include: [{repository: {name: none}}]", nil, "NotFound", []string{"none"}},
		{"includes-nowhere", "include: [{repository: {name: lib}, fromPath: nowhere}]", nil, "CopyFailure", []string{"nowhere"}},
	}
	for _, r := range rows {
		s.unitOf(s.source(feeds, r.name, "url: $URL", "ref: {branch: main}", r.fields), "namePrefix: "+r.name+"-")
	}
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			if r.reason != "" {
				because := "FetchFailed"
				switch {
				case strings.HasPrefix(r.name, "includes"):
					because = "IncludeUnavailable"
				case strings.HasPrefix(r.name, "sparse"):
					because = "Stalled"
				}
				s.unfetched(s.id(feeds, r.name), because, r.reason, r.words...)
				return
			}
			s.ready(r.name, rev)
			s.same("objects", s.owned(configMaps, r.name), r.want...)
		})
	}
	s.row("statuses", func(s *scene) {
		s.is(s.get(s.id(feeds, "more-rules")), "/a/", "status", "observedIgnore")
		s.is(s.get(s.id(feeds, "no-rules")), "", "status", "observedIgnore")
		s.is(s.get(s.id(feeds, "all")), nil, "status", "observedIgnore")
		s.is(s.get(s.id(feeds, "sparse")), []any{"a"}, "status", "observedSparseCheckout")
		s.is(s.get(s.id(feeds, "submodules")), true, "status", "observedRecurseSubmodules")
		o := s.get(s.id(feeds, "included-in-part"))
		s.is(o, "[map[fromPath:deploy repository:map[name:lib] toPath:a/lib]]", "status", "observedInclude")
		v, _ := o.Get("status", "includedArtifacts")
		list, _ := v.([]any)
		if len(list) != 1 || text(object.Of(list[0].(map[string]any)), "revision") != "main@sha1:"+lib {
			s.Errorf("included are %v", list)
		}
	})
	s.row("a directory that comes", func(s *scene) {
		rev := s.commit(map[string]string{"nowhere/d.yaml": configMap("d")})
		s.ask(s.id(feeds, "sparse-nowhere"))
		s.ready("sparse-nowhere", rev)
		s.same("objects", s.owned(configMaps, "sparse-nowhere"), "sparse-nowhere-a", "sparse-nowhere-d")
	})
	s.row("a rule that goes", func(s *scene) {
		s.source(feeds, "more-rules", "url: $URL", "ref: {branch: main}")
		s.here(s.id(configMaps, "more-rules-a"))
		s.has(s.id(feeds, "more-rules"), nil, "status", "observedIgnore")
	})
}
