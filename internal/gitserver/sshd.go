package gitserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoSSHD says that this machine has no sshd.
var ErrNoSSHD = errors.New("sshd is not installed (apt-get install openssh-server)")

// SSH is the machine's own sshd, serving a directory of repositories to one key.
type SSH struct {
	Repos
	Identity   []byte // the private key that is let in
	Passphrase string // of Locked
	Locked     []byte // the same key, encrypted
	KnownHosts []byte // the host key, in the format of known_hosts
	Stranger   []byte // a private key that is not let in
	OtherHost  []byte // known_hosts with another key for this host

	addr string
	user string
	cmd  *exec.Cmd
	temp string
}

// StartSSH runs an sshd on a free port of loopback. The error is [ErrNoSSHD]
// if there is none to run.
func StartSSH(repos string) (*SSH, error) {
	program, err := exec.LookPath("sshd")
	if err != nil {
		program = "/usr/sbin/sshd" // which is not on everyone's PATH
	}
	if _, err := os.Stat(program); err != nil {
		return nil, ErrNoSSHD
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "sane-sshd-")
	if err != nil {
		return nil, err
	}
	s := &SSH{Repos: Repos(repos), temp: temp, user: me.Username, Passphrase: "correct horse"}
	if err := s.start(program); err != nil {
		s.Close()
		return nil, fmt.Errorf("gitserver: start sshd: %w", err)
	}
	return s, nil
}

func (s *SSH) start(program string) error {
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd wants it for privilege separation
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	if err := s.keys(); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(s.addr)
	config := filepath.Join(s.temp, "config")
	// HOME is ours lest the user's shell runs a slow .bashrc for every request.
	text := fmt.Sprintf(`ListenAddress %s
Port %s
HostKey %[3]s/host
AuthorizedKeysFile %[3]s/identity.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AcceptEnv GIT_PROTOCOL
SetEnv HOME=%[3]s
LogLevel ERROR
MaxStartups 100
KexAlgorithms curve25519-sha256
`, host, port, s.temp)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	l.Close()
	s.cmd = exec.Command(program, "-D", "-e", "-f", config)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.wait()
}

// keys makes the key pairs and the files that name them.
func (s *SSH) keys() error {
	host, port, _ := net.SplitHostPort(s.addr)
	for _, k := range []struct {
		name, passphrase string
		private          *[]byte
	}{
		{"host", "", nil}, {"other", "", nil},
		{"identity", "", &s.Identity}, {"stranger", "", &s.Stranger},
	} {
		file := filepath.Join(s.temp, k.name)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", k.passphrase, "-f", file).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
		if k.private != nil {
			*k.private, _ = os.ReadFile(file)
		}
	}
	locked := filepath.Join(s.temp, "locked")
	if err := os.WriteFile(locked, s.Identity, 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-P", "", "-N", s.Passphrase, "-f", locked).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	s.Locked, _ = os.ReadFile(locked)
	known := func(key string) []byte {
		pub, _ := os.ReadFile(filepath.Join(s.temp, key+".pub"))
		return fmt.Appendf(nil, "[%s]:%s %s", host, port, pub)
	}
	s.KnownHosts, s.OtherHost = known("host"), known("other")
	return nil
}

// wait returns when sshd takes connections.
func (s *SSH) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// URL returns where a repository is served.
func (s *SSH) URL(repo string) string {
	path, err := filepath.Abs(s.Path(repo))
	if err != nil {
		path = s.Path(repo)
	}
	return "ssh://" + s.user + "@" + s.addr + "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")
}

// Close ends sshd.
func (s *SSH) Close() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
	os.RemoveAll(s.temp)
}
