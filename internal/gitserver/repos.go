package gitserver

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Repos is a directory of bare repositories.
type Repos string

// Delete as the content of a file takes it away.
const Delete = "\x00delete"

// Format names the hash that a repository names its objects by.
type Format string

// The formats that git knows.
const (
	SHA1   Format = "sha1"
	SHA256 Format = "sha256"
)

// A Commit is a change to the files of a branch.
type Commit struct {
	Message  string            // "" means "change"
	When     time.Time         // zero means now
	Files    map[string]string // path to content, or Delete
	Programs map[string]string // path to the content of a file that is executable
	Links    map[string]string // path to the target of a symbolic link
	Modules  map[string]string // path to the commit of a submodule
	Only     bool              // nothing of the parent's files is kept
}

// Path returns the directory of a repository.
func (r Repos) Path(repo string) string { return filepath.Join(string(r), repo) }

// Create makes an empty repository whose default branch is main. It gives any
// object by its id, as GitHub does.
func (r Repos) Create(repo string) error { return r.CreateAs(repo, SHA1) }

// CreateAs is Create for a chosen hash. It makes what `git init --bare` makes, but
// for samples, and starts no process: tests make many repositories.
func (r Repos) CreateAs(repo string, f Format) error {
	for _, dir := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info"} {
		if err := os.MkdirAll(filepath.Join(r.Path(repo), dir), 0o755); err != nil {
			return err
		}
	}
	version, extensions := 0, ""
	if f != SHA1 {
		version, extensions = 1, "[extensions]\n\tobjectformat = "+string(f)+"\n"
	}
	config := fmt.Sprintf(`[core]
	repositoryformatversion = %d
	filemode = true
	bare = true
%s[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[http]
	receivepack = true
[gc]
	auto = 0
`, version, extensions)
	err := os.WriteFile(filepath.Join(r.Path(repo), "config"), []byte(config), 0o644)
	return first(err, os.WriteFile(filepath.Join(r.Path(repo), "HEAD"), []byte("ref: refs/heads/main\n"), 0o644))
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Commit puts one commit on a branch, which it makes if need be, and returns
// the commit's id.
func (r Repos) Commit(repo, branch, message string, files map[string]string) (string, error) {
	ids, err := r.Write(repo, branch, slices.Values([]Commit{{Message: message, Files: files}}))
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// Write puts many commits on a branch in one go, and returns their ids.
func (r Repos) Write(repo, branch string, commits iter.Seq[Commit]) ([]string, error) {
	ref := "refs/heads/" + branch
	_, missing := os.Stat(filepath.Join(r.Path(repo), ref))
	if _, err := os.Stat(filepath.Join(r.Path(repo), "packed-refs")); err == nil && missing != nil {
		_, missing = r.git(nil, "-C", r.Path(repo), "rev-parse", "-q", "--verify", ref)
	}
	cmd := r.cmd("-C", r.Path(repo), "fast-import", "--quiet", "--force", "--done")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(in, 1<<20)
	more := missing == nil // the first commit has a parent that is there; the others follow it by themselves
	for c := range commits {
		c.write(w, ref, more)
		more = false
	}
	fmt.Fprint(w, "done\n")
	err = first(w.Flush(), in.Close())
	if wait := cmd.Wait(); wait != nil {
		return nil, fmt.Errorf("git fast-import: %w: %s", wait, text.String())
	}
	return strings.Fields(out.String()), err
}

func (c Commit) write(w io.Writer, ref string, more bool) {
	when := c.When
	if when.IsZero() {
		when = time.Now()
	}
	message := c.Message
	if message == "" {
		message = "change"
	}
	fmt.Fprintf(w, "commit %s\nmark :1\n", ref)
	for _, who := range []string{"author", "committer"} {
		fmt.Fprintf(w, "%s Ada Lovelace <ada@example.com> %d +0000\n", who, when.Unix())
	}
	data(w, message)
	if more {
		fmt.Fprintf(w, "from %s^0\n", ref)
	}
	if c.Only {
		fmt.Fprint(w, "deleteall\n")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		if c.Files[name] == Delete {
			fmt.Fprintf(w, "D %s\n", quote(name))
			continue
		}
		fmt.Fprintf(w, "M 100644 inline %s\n", quote(name))
		data(w, c.Files[name])
	}
	for name, content := range c.Programs {
		fmt.Fprintf(w, "M 100755 inline %s\n", quote(name))
		data(w, content)
	}
	for name, target := range c.Links {
		fmt.Fprintf(w, "M 120000 inline %s\n", quote(name))
		data(w, target)
	}
	for name, id := range c.Modules {
		fmt.Fprintf(w, "M 160000 %s %s\n", id, quote(name))
	}
	fmt.Fprint(w, "get-mark :1\n")
}

func data(w io.Writer, s string) { fmt.Fprintf(w, "data %d\n%s\n", len(s), s) }

func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

var fullID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Set points a ref, such as "refs/tags/v1", at a commit, or takes it away if
// the commit is "". Where the commit's whole id is given no process is started.
func (r Repos) Set(repo, ref, commit string) error {
	if path := filepath.Join(r.Path(repo), ref); strings.HasPrefix(ref, "refs/") && fullID.MatchString(commit) {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		return first(err, replace(path, []byte(commit+"\n")))
	}
	args := []string{"-C", r.Path(repo), "update-ref", ref, commit}
	if commit == "" {
		args = []string{"-C", r.Path(repo), "update-ref", "-d", ref}
	}
	_, err := r.git(nil, args...)
	return err
}

// replace makes a file that others read whole, or as it was before.
func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".lock", data, 0o644); err != nil { // as git names it
		return err
	}
	return os.Rename(path+".lock", path)
}

// Tag makes an annotated tag.
func (r Repos) Tag(repo, tag, commit string) error {
	_, err := r.git(nil, "-C", r.Path(repo), "-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com",
		"tag", "-f", "-a", "-m", tag, tag, commit)
	return err
}

func (r Repos) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C")
	return cmd
}

func (r Repos) git(in io.Reader, args ...string) (string, error) {
	cmd := r.cmd(args...)
	cmd.Stdin = in
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(text.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
