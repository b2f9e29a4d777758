package git

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// A place is a source.Remote whose URL has been looked at.
type place struct {
	url     string // as git is given it: without secrets
	scheme  string
	host    string
	path    string
	access  source.Access
	timeout time.Duration
}

// place looks at a Remote's URL. User and password in it count as access
// unless the Remote has better.
func (s *Source) place(at source.Remote) (place, error) {
	u, err := url.Parse(at.URL)
	if err != nil {
		return place{}, badURL("it does not parse") // err would repeat it, and its password
	}
	p := place{scheme: u.Scheme, host: u.Host, path: u.Path, access: at.Access, timeout: at.Timeout}
	if p.timeout <= 0 {
		p.timeout = time.Minute
	}
	switch u.Scheme {
	case "http", "https", "ssh":
		if u.Hostname() == "" || strings.HasPrefix(u.Host, "-") {
			return place{}, badURL("it names no host")
		}
	case "file":
		if !s.AllowFile {
			return place{}, badURL("file URLs are not allowed")
		}
	default:
		return place{}, badURL("its scheme must be http, https or ssh")
	}
	if strings.ContainsFunc(at.URL+u.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return place{}, badURL("it holds a control character")
	}
	p.takeUser(u)
	p.url = u.String()
	return p, nil
}

// takeUser moves what u says of the user to p's access, or for SSH the other
// way round, since there the name is no secret.
func (p *place) takeUser(u *url.URL) {
	name := u.User.Username()
	password, _ := u.User.Password()
	u.User = nil
	if p.scheme == "ssh" {
		if name == "" {
			name = p.access.Username
		}
		if name == "" {
			name = "git"
		}
		u.User = url.User(name)
		return
	}
	if p.access.Username == "" && p.access.Password == "" && p.access.Bearer == "" && p.access.App == nil && p.access.Cloud.Cloud == "" {
		p.access.Username, p.access.Password = name, password
	}
}

func badURL(why string) error { return &failure{text: "invalid URL: " + why, kind: source.ErrURL} }

// redact returns a URL without its password.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		if before, after, ok := strings.Cut(text, "@"); ok && err != nil {
			scheme, _, _ := strings.Cut(before, "://")
			return scheme + "://***@" + after
		}
		return text
	}
	if u.Scheme == "ssh" {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	return u.String()
}

// server names the repository at p, and by what the server is known that has it.
func (p place) server() string {
	r := web.Route(p.access)
	return named(p.url, string(r.CA), string(r.KnownHosts), r.Proxy)
}

// key names p and what it takes to get in.
func (p place) key() string {
	a := p.access
	var app source.App
	if a.App != nil {
		app = *a.App
	}
	return named(p.url, a.Cloud.Cloud, a.Cloud.Account, a.Cloud.Role, a.Cloud.Pool, app.ID, app.Installation, app.Owner, string(app.Key), app.API, a.Username, a.Password, a.Bearer,
		string(a.CA), string(a.Identity), string(a.KnownHosts), string(a.Cert), string(a.Key), a.Proxy)
}

// named returns a name for all of parts, which gives nothing away.
func named(parts ...string) string {
	h := sha256.New()
	for _, s := range parts {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// hide removes p's secrets from text, if some server should repeat them.
func (p place) hide(text string) string {
	secrets := []string{p.access.Password, p.access.Bearer}
	if u, err := url.Parse(p.access.Proxy); err == nil {
		password, _ := u.User.Password()
		secrets = append(secrets, u.User.String(), password)
	}
	for _, secret := range secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// A setting is one line of git's configuration, passed by environment.
type setting struct{ key, value string }

// An errand is the environment of one git process that talks to a server.
type errand struct {
	settings []setting
	env      []string
	ssh      []string // the command, as a shell reads its words; nil means none
	dir      string   // private, with the secrets that can only be files; "" if there are none
}

// close removes the files.
func (e *errand) close() {
	if e.dir != "" {
		os.RemoveAll(e.dir)
	}
}

// file writes a file that only we can read.
func (e *errand) file(temp, name, data string, mode os.FileMode) (string, error) {
	if e.dir == "" {
		dir, err := os.MkdirTemp(temp, "run-")
		if err != nil {
			return "", err
		}
		e.dir = dir
	}
	file := filepath.Join(e.dir, name)
	return file, os.WriteFile(file, []byte(data), mode)
}

// errand prepares what git needs to get in at p. If polite it waits to be
// asked, since headers would be repeated where a server redirects to.
func (s *Source) errand(p place, polite bool) (*errand, error) {
	e := &errand{settings: []setting{{"credential.helper", ""}}}
	var err error
	switch p.scheme {
	case "ssh":
		if err = p.ssh(e, s.temp, s.Ciphers); err == nil && p.access.Proxy != "" {
			err = p.tunnel(e, s.Tunnel)
		}
	case "http", "https":
		err = p.http(e, s.temp, polite)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (p place) http(e *errand, temp string, polite bool) error {
	a := p.access
	header, err := authorization(a)
	if err != nil {
		return err
	}
	if polite && header != "" && a.Bearer == "" {
		header = ""
		e.env = append(e.env, "SANE_USERNAME="+a.Username, "SANE_PASSWORD="+a.Password)
		e.settings = append(e.settings, setting{"credential." + p.scheme + "://" + p.host + ".helper",
			`!f() { printf 'username=%s\npassword=%s\n' "$SANE_USERNAME" "$SANE_PASSWORD"; }; f`})
	}
	if header != "" {
		e.settings = append(e.settings, setting{"http.extraHeader", "Authorization: " + header}, setting{"http.followRedirects", "false"})
	}
	if err := p.tls(e, temp); err != nil {
		return err
	}
	return p.proxy(e)
}

// authorization returns the header of that name by which HTTP lets in, or "" if it
// takes none.
func authorization(a source.Access) (string, error) {
	switch {
	case strings.ContainsAny(a.Username+a.Password+a.Bearer, "\r\n\x00"):
		return "", &failure{text: "the credentials hold a line break", kind: source.ErrAuth}
	case a.Bearer != "":
		return "Bearer " + a.Bearer, nil
	case a.Username+a.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password)), nil
	}
	return "", nil
}

// tls tells git whom to trust, and what to prove itself by.
func (p place) tls(e *errand, temp string) error {
	a := p.access
	if len(a.Cert)+len(a.Key) > 0 {
		if _, err := tls.X509KeyPair(a.Cert, a.Key); err != nil {
			return &failure{text: "the client certificate and its key can't be used: " + err.Error(), kind: source.ErrAuth}
		}
	}
	for _, f := range []struct{ setting, name, data string }{
		{"http.sslCAInfo", "ca", string(a.CA)},
		{"http.sslCert", "cert", string(a.Cert)},
		{"http.sslKey", "key", string(a.Key)},
	} {
		if f.data == "" {
			continue
		}
		if f.name == "ca" {
			f.data = string(systemCAs()) + "\n" + f.data
		}
		file, err := e.file(temp, f.name, f.data, 0o600)
		if err != nil {
			return err
		}
		e.settings = append(e.settings, setting{f.setting, file})
	}
	return nil
}

// proxy tells git by which way to go. What our own environment says of hosts
// that need no proxy does not count: the proxy was named for this one.
func (p place) proxy(e *errand) error {
	if p.access.Proxy == "" {
		return nil
	}
	u, err := proxyURL(p.access.Proxy)
	if err != nil {
		return err
	}
	e.settings = append(e.settings, setting{"http.proxy", u.String()}, setting{"http.proxyAuthMethod", "basic"})
	e.env = append(e.env, "NO_PROXY=", "no_proxy=")
	return nil
}

// systemCAs returns the certificates that the system trusts, since git's
// setting replaces them.
func systemCAs() []byte {
	for _, file := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"} {
		if data, err := os.ReadFile(file); err == nil {
			return data
		}
	}
	return nil
}

func (p place) ssh(e *errand, temp string, may Ciphers) error {
	a := p.access
	if len(a.Identity) == 0 {
		return &failure{text: "an SSH identity is required", kind: source.ErrAuth}
	}
	if len(a.KnownHosts) == 0 {
		return &failure{text: "known_hosts is required, to know the server by", kind: source.ErrAuth}
	}
	key, err := e.file(temp, "identity", strings.TrimRight(string(a.Identity), "\n")+"\n", 0o600)
	if err != nil {
		return err
	}
	known, err := e.file(temp, "known_hosts", string(a.KnownHosts), 0o600)
	if err != nil {
		return err
	}
	batch := "yes"
	if a.Password != "" { // batch mode would not ask for the passphrase
		batch = "no"
		askpass, err := e.file(temp, "askpass", "#!/bin/sh\nprintf '%s\\n' \"$SANE_PASSWORD\"\n", 0o700)
		if err != nil {
			return err
		}
		e.env = append(e.env, "SANE_PASSWORD="+a.Password, "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:")
	}
	seconds := strconv.Itoa(max(1, int(p.timeout/time.Second)))
	e.ssh = []string{"ssh", "-F", "/dev/null"}
	for _, o := range append(may.options(),
		"BatchMode="+batch, "NumberOfPasswordPrompts=1", "PreferredAuthentications=publickey",
		"IdentitiesOnly=yes", "IdentityAgent=none", "IdentityFile="+key,
		"StrictHostKeyChecking=yes", "UserKnownHostsFile="+known, "GlobalKnownHostsFile=/dev/null",
		"UpdateHostKeys=no", "ControlMaster=no", "ForwardAgent=no", "ConnectTimeout="+seconds, "LogLevel=ERROR",
	) {
		e.ssh = append(e.ssh, "-o", quoted(o))
	}
	e.env = append(e.env, "GIT_SSH_VARIANT=ssh")
	return nil
}

// quoted returns text as a shell reads it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// tunnel has ssh go by the proxy, which it can't by itself: it starts a process
// of ours that can.
func (p place) tunnel(e *errand, command []string) error {
	u, err := proxyURL(p.access.Proxy)
	if err != nil {
		return err
	}
	if command == nil {
		return &failure{text: "ssh can't go by a proxy here", kind: source.ErrURL}
	}
	var words []string
	for _, word := range command {
		words = append(words, quoted(strings.ReplaceAll(word, "%", "%%"))) // which ssh puts things in for
	}
	e.ssh = append(e.ssh, "-o", quoted("ProxyCommand="+strings.Join(words, " ")), "-o", "ProxyUseFdpass=no")
	e.env = append(e.env, tunnelTo+"="+hostPort(p.scheme, p.host), tunnelBy+"="+u.String())
	return nil
}
