// Package commit puts paths of a Git repository back to what they were, in a new
// commit on a branch.
//
// There is no work tree. The newest commit of the branch and the one to go back to
// are fetched into an empty repository, each without its history. Of the newest
// tree the entries of the paths are replaced by those of the older tree, so that
// what is below them is the very same tree object, with its links, submodules and
// executable bits; nothing else of the newest tree changes. The new commit has the
// newest as its parent, and is pushed on the condition that the branch is still
// there. Nobody's commit is ever lost to it.
package commit

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

	"github.com/sane-gitops/sane/source"
)

// Why something could not be done. Other errors are git's own.
var (
	ErrMoved   = errors.New("somebody has pushed meanwhile")  // prepare it anew
	ErrRefused = errors.New("the server does not take it")    // a hook, a protected branch, or who may only read
	ErrNobody  = errors.New("git does not know who you are")  // user.name and user.email are not set
	ErrInWay   = errors.New("something else is in its place") // such as a file where a directory was
)

// A Config says which repository is written to, and as whom.
type Config struct {
	Way Way
	Git string // the program; "" means "git"

	// From is a directory. What the repository there, if there is one, is told of
	// the user's identity and signing counts. "" means the user's own settings alone.
	From string

	Quiet bool // nobody is there whom git could ask at a terminal

	// Author and Committer are who makes commits. nil means as git is set up, and
	// then commits are signed if it is set up so.
	Author, Committer *Person
}

// A Way is how git gets in at a server.
type Way struct {
	URL string

	// Env is the environment of git. nil means our own: then all that the user has
	// set up counts, such as helpers with passwords and an SSH agent, and git may
	// ask them at the terminal.
	Env []string

	Hide func(string) string // takes secrets out of what a server has said; nil means that there are none
}

// A Person is a name and an address, as Git has them.
type Person struct{ Name, Email string }

// A Commit is one of the repository's.
type Commit struct {
	ID string
	source.Commit
}

// A Repo is a repository of a server that commits are made for. It is for one
// goroutine at a time.
type Repo struct {
	c       Config
	program string
	dir     string   // ours alone
	begun   bool     // there is a repository
	own     []string // settings of the user, as options of git
}

// Open returns a repository, of which nothing is fetched yet. Close it after use.
func Open(ctx context.Context, c Config) (*Repo, error) {
	if c.Git == "" {
		c.Git = "git"
	}
	program, err := exec.LookPath(c.Git)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sane-commit-")
	if err != nil {
		return nil, err
	}
	r := &Repo{c: c, program: program, dir: dir}
	if c.From != "" {
		r.own = r.settings(ctx)
	}
	return r, nil
}

// Close removes all that was fetched.
func (r *Repo) Close() error { return os.RemoveAll(r.dir) }

// identity are the settings that say who makes a commit, and how it is signed.
const identity = `^(user|author|committer|gpg)\.|^commit\.gpgsign$`

// settings returns the user's settings of identity as they are where he works.
// That there are none is no error: git says later what it lacks.
func (r *Repo) settings(ctx context.Context) (options []string) {
	cmd := exec.CommandContext(ctx, r.program, "-C", r.c.From, "config", "--null", "--get-regexp", identity)
	cmd.Env = environ()
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	for line := range strings.SplitSeq(string(out), "\x00") {
		key, value, ok := strings.Cut(line, "\n")
		switch {
		case key == "":
		case ok:
			options = append(options, "-c", key+"="+value)
		default:
			options = append(options, "-c", key) // without a value it is true
		}
	}
	return options
}

// Check is an error if git does not know who makes commits.
func (r *Repo) Check(ctx context.Context) error {
	if r.c.Author != nil {
		return nil
	}
	for _, who := range []string{"GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"} {
		if _, err := r.git(ctx, nil, "var", who); err != nil {
			return fmt.Errorf("%w: git config --global user.name 'Your Name'; git config --global user.email you@example.com", ErrNobody)
		}
	}
	return nil
}

// Signs reports whether commits are signed.
func (r *Repo) Signs(ctx context.Context) bool {
	if r.c.Author != nil {
		return false
	}
	out, err := r.git(ctx, nil, "config", "--type=bool", "--get", "commit.gpgsign")
	return err == nil && strings.TrimSpace(out) == "true"
}

// begin makes the repository. The length of an id says how it names objects.
func (r *Repo) begin(ctx context.Context, id string) error {
	if r.begun {
		return nil
	}
	format := "sha1"
	if len(id) == 64 {
		format = "sha256"
	}
	cmd := r.command(ctx, "init", "--quiet", "--bare", "--template=", "--object-format="+format, r.dir)
	if _, err := r.run(ctx, cmd); err != nil {
		return err
	}
	r.begun = true
	return nil
}

// Names of refs in the repository.
const (
	tipRef = "refs/sane/tip"
	oldRef = "refs/sane/old"
	newRef = "refs/sane/new"
)

// tip fetches the newest commit of a branch.
func (r *Repo) tip(ctx context.Context, branch string) (Commit, error) {
	if err := r.fetch(ctx, "--depth=1", "+"+headOf(branch)+":"+tipRef); err != nil {
		return Commit{}, fmt.Errorf("fetch %s: %w", branch, err)
	}
	return r.commit(ctx, tipRef)
}

// old fetches a commit by its id. Of servers that give none by id the whole branch
// is fetched, in whose history it must be.
func (r *Repo) old(ctx context.Context, id, branch string) (Commit, error) {
	if c, err := r.commit(ctx, id); err == nil {
		return c, nil
	}
	refused := r.fetch(ctx, "--depth=1", "+"+id+":"+oldRef)
	if refused == nil {
		return r.commit(ctx, id)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "shallow")); err == nil {
		if err := r.fetch(ctx, "--unshallow", "+"+headOf(branch)+":"+oldRef); err != nil {
			return Commit{}, fmt.Errorf("fetch %s: %w", id, refused)
		}
	}
	c, err := r.commit(ctx, id)
	if err != nil {
		return Commit{}, fmt.Errorf("fetch %s: %w; it is not in the history of %s either", id, refused, branch)
	}
	return c, nil
}

func headOf(branch string) string { return "refs/heads/" + branch }

func (r *Repo) fetch(ctx context.Context, args ...string) error {
	args = append([]string{"fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head",
		"--no-auto-maintenance", "--no-recurse-submodules", "--update-shallow"}, args...)
	last := len(args) - 1
	_, err := r.git(ctx, nil, append(args[:last:last], "--", r.c.Way.URL, args[last])...)
	return err
}

// commit reads a commit that is here.
func (r *Repo) commit(ctx context.Context, name string) (Commit, error) {
	out, err := r.git(ctx, nil, "log", "-1", "--no-show-signature", "--no-color", "--encoding=UTF-8", "--format=%H%x00%an <%ae>%x00%ct%x00%s", name, "--")
	if err != nil {
		return Commit{}, err
	}
	parts := strings.SplitN(strings.TrimSuffix(out, "\n"), "\x00", 4)
	if len(parts) != 4 {
		return Commit{}, fmt.Errorf("commit %s can't be read", name)
	}
	c := Commit{ID: parts[0]}
	c.Author, c.Subject = strings.ToValidUTF8(parts[1], "\uFFFD"), strings.ToValidUTF8(parts[3], "\uFFFD")
	if n, err := strconv.ParseInt(parts[2], 10, 64); err == nil {
		c.When = time.Unix(n, 0).UTC()
	}
	return c, nil
}

// local are the variables by which a git that runs us, such as for an alias or a
// hook, says what its repository is.
var local = []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_CONFIG",
	"GIT_INTERNAL_SUPER_PREFIX", "GIT_IMPLICIT_WORK_TREE", "GIT_QUARANTINE_PATH"}

// environ returns our own environment without what speaks of another repository.
func environ() []string {
	env := []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		known := name == "LC_ALL"
		for _, l := range local {
			known = known || name == l
		}
		if !known {
			env = append(env, v)
		}
	}
	return env
}

// always are the settings of every git that we run. There are no hooks: those of
// the user are made for work trees.
var always = []string{"-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
	"-c", "user.useConfigOnly=true", "-c", "push.followTags=false", "-c", "core.warnAmbiguousRefs=false"}

// command returns a git process. Those of the user may ask at the terminal, so
// they stay in our group of processes.
func (r *Repo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.program, append(append(append([]string{"--git-dir=" + r.dir}, always...), r.own...), args...)...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.dir, r.c.Way.Env, time.Second
	if cmd.Env == nil {
		cmd.Env = environ()
		if r.c.From != "" {
			cmd.Dir = r.c.From // to which the name of a key may be relative
		}
	}
	if r.c.Way.Env != nil || r.c.Quiet {
		alone(cmd)
	}
	for _, p := range []struct {
		role string
		*Person
	}{{"AUTHOR", r.c.Author}, {"COMMITTER", r.c.Committer}} {
		if p.Person != nil {
			cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "GIT_"+p.role+"_NAME="+p.Name, "GIT_"+p.role+"_EMAIL="+p.Email)
		}
	}
	return cmd
}

// alone has a process without a terminal, in a group of its own, which is killed as
// a whole.
func alone(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "GIT_TERMINAL_PROMPT=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// git runs git in the repository and returns what it prints.
func (r *Repo) git(ctx context.Context, in []byte, args ...string) (string, error) {
	cmd := r.command(ctx, args...)
	if in != nil {
		cmd.Stdin = bytes.NewReader(in)
	}
	return r.run(ctx, cmd)
}

func (r *Repo) run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return out.String(), context.Cause(ctx)
	}
	return out.String(), &failure{r.hidden(telling(said.String()))}
}

// A failure is what git said when it could not do something.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

func (r *Repo) hidden(text string) string {
	if r.c.Way.Hide == nil {
		return text
	}
	return r.c.Way.Hide(text)
}

// telling returns the part of git's output that says most: what the server says,
// and the first line that calls itself fatal, or an error.
func telling(text string) string {
	var remote, own []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "\n")) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "remote: "); ok {
			if rest = strings.TrimSpace(rest); rest != "" {
				remote = append(remote, rest)
			}
			continue
		}
		for _, prefix := range []string{"fatal: ", "error: ", "ERROR: "} {
			if rest, ok := strings.CutPrefix(line, prefix); ok && len(own) == 0 {
				own = append(own, rest)
			}
		}
	}
	if len(own) == 0 && len(remote) == 0 {
		first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		if first == "" {
			first = "git failed without a word"
		}
		return first
	}
	return strings.Join(append(own, remote...), ": ")
}
