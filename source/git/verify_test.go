package git

import (
	"bytes"
	"compress/zlib"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/source"
)

// A signer signs as git would have it done.
type signer struct {
	sign   func(payload []byte) []byte
	public []byte
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pgpSigner() signer {
	e := must(openpgp.NewEntity("Ada", "", "ada@example.com", nil))
	var public bytes.Buffer
	w := must(armor.Encode(&public, openpgp.PublicKeyType, nil))
	if err := errors.Join(e.Serialize(w), w.Close()); err != nil {
		panic(err)
	}
	return signer{public: append(public.Bytes(), '\n'), sign: func(payload []byte) []byte {
		var out bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&out, e, bytes.NewReader(payload), nil); err != nil {
			panic(err)
		}
		return append(out.Bytes(), '\n')
	}}
}

func sshSigner(namespace string) signer {
	_, key := must2(ed25519.GenerateKey(rand.Reader))
	s := must(ssh.NewSignerFromKey(key))
	return signer{public: ssh.MarshalAuthorizedKey(s.PublicKey()), sign: func(payload []byte) []byte {
		return sshsig.Armor(must(sshsig.Sign(bytes.NewReader(payload), s, sshsig.HashSHA512, namespace)))
	}}
}

func must2[A, B any](a A, b B, err error) (A, B) { return a, must(b, err) }

// object writes an object beside another, which it is named like, and returns its
// id. It starts no process: there are many.
func (b *bench) object(kind string, data []byte, beside string) string {
	b.Helper()
	whole := append(fmt.Appendf(nil, "%s %d\x00", kind, len(data)), data...)
	sum := sha1.Sum(whole)
	id := hex.EncodeToString(sum[:])
	if len(beside) == 64 {
		sum := sha256.Sum256(whole)
		id = hex.EncodeToString(sum[:])
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, err := w.Write(whole)
	b.must(err)
	b.must(w.Close())
	dir := filepath.Join(b.Path("app.git"), "objects", id[:2])
	b.must(os.MkdirAll(dir, 0o755))
	b.must(os.WriteFile(filepath.Join(dir, id[2:]), packed.Bytes(), 0o644))
	return id
}

// sign puts a commit on main that is signed, and changes it after that.
func (b *bench) sign(by signer, change func([]byte) []byte) string {
	b.Helper()
	id := b.put(map[string]string{"a": fmt.Sprint(time.Now().UnixNano())})
	data, err := exec.Command("git", "-C", b.Path("app.git"), "cat-file", "commit", id).Output()
	b.must(err)
	header := "gpgsig"
	if len(id) == 64 {
		header = "gpgsig-sha256"
	}
	sig := strings.TrimSuffix(strings.ReplaceAll(string(by.sign(data)), "\n", "\n "), " ")
	head, message, _ := strings.Cut(string(data), "\n\n")
	whole := head + "\n" + header + " " + strings.TrimSuffix(sig, "\n") + "\n\n" + message
	if change != nil {
		whole = string(change([]byte(whole)))
	}
	id = b.object("commit", []byte(whole), id)
	b.must(b.Set("app.git", "refs/heads/main", id))
	return id
}

// tag puts a signed tag at the commit.
func (b *bench) tag(by signer, name, ref, commit string) {
	b.Helper()
	payload := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger Ada <ada@example.com> 1700000000 +0000\n\nrelease %s\n", commit, name, name)
	id := b.object("tag", append([]byte(payload), by.sign([]byte(payload))...), commit)
	b.must(b.Set("app.git", "refs/tags/"+ref, id))
}

func TestVerify(t *testing.T) {
	t.Parallel()
	pgp, otherPGP := pgpSigner(), pgpSigner()
	sshKey, otherSSH, file := sshSigner("git"), sshSigner("git"), sshSigner("file")
	both := append(bytes.Clone(otherPGP.public), pgp.public...)
	reword := func(b []byte) []byte { return bytes.Replace(b, []byte("Lovelace"), []byte("Loveless"), 1) }
	keys := func(args ...any) map[string][]byte {
		m := make(map[string][]byte)
		for i := 0; i < len(args); i += 2 {
			m[args[i].(string)] = args[i+1].([]byte)
		}
		return m
	}
	for _, c := range []struct {
		name     string
		by       *signer
		change   func([]byte) []byte
		keys     map[string][]byte
		of       string
		unsigned bool
		words    string // of the error; "" if it is proven
	}{
		{"OpenPGP", &pgp, nil, keys("ada.asc", pgp.public), "", false, ""},
		{"OpenPGP by any name", &pgp, nil, keys("ada", pgp.public), "", false, ""},
		{"two keys in a file", &pgp, nil, keys("all.asc", both), "", false, ""},
		{"SSH", &sshKey, nil, keys("ada.sshpub", sshKey.public), "", false, ""},
		{"SSH, several keys", &sshKey, nil, keys("ada.asc", pgp.public, "all.sshpub", append(bytes.Clone(otherSSH.public), sshKey.public...)), "", false, ""},
		{"nobody", nil, nil, keys("ada.asc", pgp.public), "commit", true, "is not signed"},
		{"a stranger, OpenPGP", &pgp, nil, keys("bob.asc", otherPGP.public), "commit", false, "none of the trusted keys"},
		{"a stranger, SSH", &sshKey, nil, keys("bob.sshpub", otherSSH.public), "commit", false, "none of the trusted keys"},
		{"OpenPGP for SSH", &pgp, nil, keys("ada.sshpub", sshKey.public), "commit", false, "it is of OpenPGP"},
		{"SSH for OpenPGP", &sshKey, nil, keys("ada.asc", pgp.public), "commit", false, "it is of SSH"},
		{"forged, OpenPGP", &pgp, reword, keys("ada.asc", pgp.public), "commit", false, "does not match what is signed"},
		{"forged, SSH", &sshKey, reword, keys("ada.sshpub", sshKey.public), "commit", false, "does not match what is signed"},
		{"SSH for something else", &file, nil, keys("ada.sshpub", file.public), "commit", false, "does not match what is signed"},
		{"no keys", &pgp, nil, nil, "", false, "no key that is trusted"},
		{"a bad OpenPGP key", &pgp, nil, keys("ada.asc", []byte("hello")), "", false, "ada.asc can't be read"},
		{"a bad SSH key", &sshKey, nil, keys("ada.sshpub", []byte("hello")), "", false, "ada.sshpub can't be read"},
		{"a private key", &sshKey, nil, keys("ada.sshpub", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n")), "", false, "ada.sshpub can't be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, format := range []gitserver.Format{gitserver.SHA1, gitserver.SHA256} {
				b := setup(t, gitserver.Options{})
				b.must(os.RemoveAll(b.Path("app.git")))
				b.must(b.CreateAs("app.git", format))
				if c.by == nil {
					b.put(map[string]string{"a": "1"})
				} else {
					b.sign(*c.by, c.change)
				}
				b.at.Proof = &source.Proof{Method: "HEAD", Keys: c.keys}
				b.proves(mainRef, c.of, c.unsigned, c.words)
			}
		})
	}
}

// proves checks that what ref means is proven, or if there are words why not.
func (b *bench) proves(ref source.Ref, of string, unsigned bool, words string) {
	b.Helper()
	snap, err := b.try(ref)
	if words == "" {
		if err != nil || snap.Proven != b.at.Proof.Method || snap.Signed == "" {
			b.Errorf("snapshot is %+v, %v", snap, err)
		}
		return
	}
	var why *source.ProofError
	if !errors.Is(err, source.ErrProof) || !errors.As(err, &why) || !strings.Contains(err.Error(), words) {
		b.Errorf("error is %v; want %q", err, words)
		return
	}
	if why.Of != of || why.Unsigned != unsigned {
		b.Errorf("error is %+v", *why)
	}
	if strings.Contains(err.Error(), "hunter2") {
		b.Errorf("error %v repeats a key", err)
	}
}

func TestVerifyTag(t *testing.T) {
	t.Parallel()
	by, other := pgpSigner(), sshSigner("git")
	keys := map[string][]byte{"ada.asc": by.public}
	for _, old := range []bool{false, true} {
		b := setup(t, gitserver.Options{Old: old})
		commit := b.sign(by, nil)
		plain := b.put(map[string]string{"b": "1"})
		b.tag(by, "v1.0.0", "v1.0.0", commit)
		b.tag(by, "v1.1.0", "v1.1.0", plain)
		b.tag(other, "v2.0.0", "v2.0.0", commit)
		b.tag(by, "v1.0.0", "v9.0.0", commit) // replayed by another name
		b.must(b.Tag("app.git", "unsigned", commit))
		b.must(b.Set("app.git", "refs/tags/light", commit))
		for _, c := range []struct {
			method   string
			ref      source.Ref
			of       string
			unsigned bool
			words    string
		}{
			{"Tag", source.Ref{Tag: "v1.0.0"}, "", false, ""},
			{"TagAndHEAD", source.Ref{Tag: "v1.0.0"}, "", false, ""},
			{"Tag", source.Ref{Tag: "v1.1.0"}, "", false, ""},
			{"TagAndHEAD", source.Ref{Tag: "v1.1.0"}, "commit", true, "is not signed"},
			{"Tag", source.Ref{Semver: "~1.0"}, "", false, ""},
			{"Tag", source.Ref{Name: "refs/tags/v1.0.0"}, "", false, ""},
			{"Tag", source.Ref{Name: "refs/tags/v1.0.0^{}"}, "", false, ""},
			{"Tag", source.Ref{Tag: "v2.0.0"}, "tag", false, "it is of SSH"},
			{"Tag", source.Ref{Tag: "v9.0.0"}, "tag", false, "signed by the name 'v1.0.0'"},
			{"Tag", source.Ref{Tag: "unsigned"}, "tag", true, "tag 'unsigned' is not signed"},
			{"Tag", source.Ref{Tag: "light"}, "tag", true, "lightweight"},
			{"Tag", source.Ref{Name: "refs/heads/main"}, "tag", true, "is no tag"},
			{"Tag", mainRef, "tag", true, "is no tag"},
			{"HEAD", source.Ref{Tag: "light"}, "", false, ""},
			{"tail", source.Ref{Tag: "light"}, "", false, "no way to verify"},
		} {
			b.at.Proof = &source.Proof{Method: c.method, Keys: keys}
			b.proves(c.ref, c.of, c.unsigned, c.words)
		}
	}
}

// A tag that has moved, or a server that is down, does not take away what was
// proven before; and neither does tidying.
func TestVerifyTagAgain(t *testing.T) {
	t.Parallel()
	by := sshSigner("git")
	b := setup(t, gitserver.Options{})
	b.at.Proof = &source.Proof{Method: "Tag", Keys: map[string][]byte{"ada.sshpub": by.public}}
	ref := source.Ref{Tag: "v1"}
	first := b.put(map[string]string{"a": "1"})
	b.tag(by, "v1", "v1", first)
	snap := b.get(ref)
	b.must(b.Set("app.git", "refs/tags/v1", b.put(map[string]string{"a": "2"})))
	b.proves(ref, "tag", true, "lightweight")
	again, err := b.src.Fetch(t.Context(), b.at, ref, snap.Revision)
	b.must(err)
	b.reads(again, "a", "1")
	b.Close()
	m := snap.Tree.(*snapshot).mirror
	m.turn <- struct{}{}
	b.must(m.tidy(t.Context()))
	<-m.turn
	if again, err = b.src.Fetch(t.Context(), b.at, ref, snap.Revision); err != nil || again.Signed != snap.Signed {
		t.Errorf("snapshot is %+v, %v; want %q", again, err, snap.Signed)
	}
}

// What gpg and git made together, in 2026.
func TestVerifyReal(t *testing.T) {
	read := func(name string) []byte { return must(os.ReadFile("testdata/signed/" + name)) }
	now := func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	keys := must(readKeys(map[string][]byte{"key.asc": read("key.asc")}, now))
	if by, err := keys.check(must(splitCommit(read("commit"), 40))); err != nil {
		t.Error(by, err)
	}
	if by, err := keys.check(splitTag(read("tag"))); err != nil {
		t.Error(by, err)
	}
}

// What git signs with ssh-keygen is what is verified.
func TestVerifyGit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip(err)
	}
	b := setup(t, gitserver.Options{})
	key := t.TempDir() + "/key"
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
	}
	run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	work := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		run("git", append([]string{"-C", work, "-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, args...)...)
	}
	git("init", "-q", "-b", "main")
	git("commit", "-q", "-S", "--allow-empty", "-m", "signed\n\nwith a body")
	git("tag", "-s", "-m", "one", "v1")
	git("push", "-q", b.Path("app.git"), "main", "v1")
	b.at.Proof = &source.Proof{Method: "TagAndHEAD", Keys: map[string][]byte{"k.sshpub": must(os.ReadFile(key + ".pub"))}}
	b.proves(source.Ref{Tag: "v1"}, "", false, "")
}

func FuzzSplitCommit(f *testing.F) {
	f.Add(must(os.ReadFile("testdata/signed/commit")))
	f.Add([]byte("tree 1\ngpgsig a\n b\n\n gpgsig c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := splitCommit(data, 40)
		if err != nil {
			return
		}
		again, err := splitCommit(s.payload, 40)
		if err != nil || again.signature != nil || !bytes.Equal(again.payload, s.payload) {
			t.Errorf("%q leaves %q, and that %q and %q, %v", data, s.payload, again.payload, again.signature, err)
		}
		c, err := parseCommit(data)
		signed, errSigned := parseCommit(s.payload)
		if (err == nil) != (errSigned == nil) || !bytes.Equal(c.tree, signed.tree) {
			t.Errorf("%q has the tree %x, and what is signed %x", data, c.tree, signed.tree)
		}
		keyring{}.check(s)
	})
}

func FuzzSplitTag(f *testing.F) {
	f.Add(must(os.ReadFile("testdata/signed/tag")))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := splitTag(data)
		if len(s.payload)+len(s.signature) > len(data) {
			t.Errorf("%q became %q and %q", data, s.payload, s.signature)
		}
		keyring{now: time.Now}.check(s)
	})
}

func FuzzReadKeys(f *testing.F) {
	f.Add("key.asc", must(os.ReadFile("testdata/signed/key.asc")))
	f.Add("key.sshpub", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx ada\n"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		k, err := readKeys(map[string][]byte{name: data}, time.Now)
		if err == nil && len(k.pgp)+len(k.ssh) == 0 {
			t.Error("no keys and no error")
		}
	})
}
