package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/source"
)

// A failure is an error whose text is for people and whose kind is one of
// source's errors.
type failure struct {
	text string
	kind error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// errRefused says that the server gives no commits by id.
var errRefused = &failure{text: "the server gives no commits by id", kind: source.ErrNotFound}

// errRedirect says that the server is elsewhere.
var errRedirect = &failure{text: "the server redirects elsewhere, where these credentials are not sent: use the new URL", kind: source.ErrURL}

// passed are the variables of our own environment that git may see.
var passed = []string{"PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// always are the settings of every git that we run.
var always = []setting{
	{"core.fsync", "none"}, // a mirror can be had again
	{"gc.auto", "0"},
	{"maintenance.auto", "false"},
	{"core.hooksPath", "/dev/null"},
	{"safe.directory", "*"},
}

// env returns the environment of a git process.
func (s *Source) env(e *errand) []string {
	protocols := "http:https:ssh"
	if s.AllowFile {
		protocols += ":file"
	}
	env := []string{
		"LC_ALL=C", "HOME=" + s.temp, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=" + protocols, "GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(s.temp),
	}
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	settings := always
	if e != nil {
		env = append(env, e.env...)
		if e.ssh != nil {
			env = append(env, "GIT_SSH_COMMAND="+strings.Join(e.ssh, " "))
		}
		settings = append(settings[:len(settings):len(settings)], e.settings...)
	}
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(settings)))
	for i, c := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, c.key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, c.value))
	}
	return env
}

// command returns a git process in a group of its own, which is killed as a
// whole when ctx ends.
func (s *Source) command(ctx context.Context, e *errand, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir, cmd.Env = s.temp, s.env(e)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// local runs git on what is here.
func (s *Source) local(ctx context.Context, args ...string) ([]byte, error) {
	return s.run(ctx, place{}, s.command(ctx, nil, args...))
}

// ask runs git on a server. Who gets in by a token that is not good any more asks
// for another one.
func (s *Source) ask(ctx context.Context, r *remote, p place, args ...string) ([]byte, error) {
	for again := false; ; again = true {
		in, err := s.login(ctx, p)
		if err != nil {
			return nil, err
		}
		out, err := s.askAs(ctx, r, in, args...)
		if !errors.Is(err, source.ErrAuth) || !s.logout(p, in) || again {
			return out, err
		}
	}
}

// askAs runs git on a server that p gets in at.
func (s *Source) askAs(ctx context.Context, r *remote, p place, args ...string) ([]byte, error) {
	r.mu.Lock()
	polite := r.polite
	r.mu.Unlock()
	out, err := s.askOnce(ctx, p, polite, args...)
	if err == error(errRedirect) && !polite && p.access.Bearer == "" {
		if out, err = s.askOnce(ctx, p, true, args...); err == nil {
			r.mu.Lock()
			r.polite = true
			r.mu.Unlock()
		}
	}
	return out, err
}

func (s *Source) askOnce(ctx context.Context, p place, polite bool, args ...string) ([]byte, error) {
	e, err := s.errand(p, polite)
	if err != nil {
		return nil, err
	}
	defer e.close()
	return s.run(ctx, p, s.command(ctx, e, args...))
}

func (s *Source) run(ctx context.Context, p place, cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	var text tail
	cmd.Stdout, cmd.Stderr = &out, &text
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // git has ended well, and something that it has started has not yet
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = nil
	}
	if err == nil {
		return out.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, stopped(ctx)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil, &failure{text: err.Error(), kind: source.ErrStorage}
	}
	return nil, p.classify(string(text))
}

// A Way is how a git that is not run by a Source gets in where one does.
type Way struct {
	URL   string              // without secrets
	Env   []string            // the whole environment, with the secrets
	Hide  func(string) string // takes the secrets out of what a server has said
	Close func()              // removes the files with secrets
}

// Lend returns the way in at a remote, for who pushes there. Close it after use.
func (s *Source) Lend(ctx context.Context, at source.Remote) (*Way, error) {
	w, err := s.lend(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("git: get in at %s: %w", redact(at.URL), err)
	}
	return w, nil
}

func (s *Source) lend(ctx context.Context, at source.Remote) (*Way, error) {
	p, err := s.place(at)
	if err != nil {
		return nil, err
	}
	r, err := s.remote(p)
	if err != nil {
		return nil, err
	}
	if p, err = s.login(ctx, p); err != nil {
		return nil, err
	}
	r.mu.Lock()
	polite := r.polite
	r.mu.Unlock()
	e, err := s.errand(p, polite)
	if err != nil {
		return nil, err
	}
	return &Way{URL: p.url, Env: s.env(e), Hide: p.hide, Close: e.close}, nil
}

// A tail keeps the last of what is written to it.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	if const64k := 64 << 10; len(*t) > const64k {
		*t = append((*t)[:0], (*t)[len(*t)-const64k:]...)
	}
	return len(b), nil
}

// classes tell by git's words what has gone wrong. The first that matches
// counts. An empty text stands for git's own.
var classes = []struct {
	words *lazy.Regexp
	text  string
	kind  error
}{
	{lazy.Compile(`(?i)unadvertised object|does not allow request for|no such remote ref [0-9a-f]{40}`), "", errRefused},
	{lazy.Compile(`(?i)not our ref|couldn't find remote ref`), "", source.ErrNotFound},
	{lazy.Compile(`returned error: 30\d`), "", errRedirect},
	{lazy.Compile(`(?i)host key verification failed|host key is known|REMOTE HOST IDENTIFICATION HAS CHANGED`), "the server's host key is not in known_hosts", source.ErrAuth},
	{lazy.Compile(`(?i)(code|response) 407|returned error: 407|proxy authentication|was rejected by the SOCKS5`), "the proxy does not accept the credentials", source.ErrAuth},
	{lazy.Compile(`the proxy can't be reached`), "the proxy can't be reached", source.ErrNetwork},
	{lazy.Compile(`(?i)proxy CONNECT aborted|from proxy after CONNECT|could not resolve proxy|CONNECT tunnel failed`), "the proxy does not let us through", source.ErrNetwork},
	{lazy.Compile(`(?i)alert (bad certificate|certificate (required|unknown|expired|revoked)|unknown ca|handshake failure|access denied)|TLS fatal alert`), "the server breaks off TLS: it wants a client certificate, or another one", source.ErrAuth},
	{lazy.Compile(`(?i)ssl certificate problem|certificate verif|SSL: no alternative|unable to get local issuer|self.signed certificate`), "the server's certificate is not trusted", source.ErrAuth},
	{lazy.Compile(`(?i)permission denied \(|too many authentication failures|incorrect passphrase`), "the server does not accept the SSH identity", source.ErrAuth},
	{lazy.Compile(`(?i)authentication failed|could not read (username|password)|terminal prompts disabled|returned error: 40[13]|access denied|invalid credentials`), "authentication required", source.ErrAuth},
	{lazy.Compile(`(?i)repository.*not found|returned error: 404|not appear to be a git repository|could not be found|no such repository`), "repository not found", source.ErrNotFound},
	{lazy.Compile(`(?i)could not resolve host|connection (refused|reset|timed out|closed)|failed to connect|timed out|unreachable|no route to host|early eof|hung up|rpc failed|returned error: (429|5\d\d)|unable to access|transfer closed|empty reply|kex_exchange|could not read from remote|bad line length|unexpected disconnect|expected flush|invalid index-pack|bad pack header`), "", source.ErrNetwork},
}

// classify makes an error of what git has said.
func (p place) classify(text string) error {
	line := p.hide(telling(text))
	for _, c := range classes {
		if !c.words.MatchString(text) {
			continue
		}
		var own *failure
		if errors.As(c.kind, &own) {
			return own
		}
		if c.text != "" {
			line = c.text
		}
		if line == "authentication required" && p.access.Username+p.access.Password+p.access.Bearer != "" {
			line = "the server does not accept the credentials"
		}
		return &failure{text: line, kind: c.kind}
	}
	return &failure{text: line, kind: source.ErrStorage}
}

// telling returns the line of git's output that says most: the first that
// calls itself fatal, or an error, or just the first.
func telling(text string) string {
	for _, prefix := range []string{"fatal: ", "error: ", "remote: ", "ssh: ", ""} {
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok && rest != "" {
				return rest
			}
		}
	}
	return "git failed without a word"
}
