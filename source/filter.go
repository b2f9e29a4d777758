package source

import (
	"bufio"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/trace"
)

// ignoreFile is the name of the files that say what a source leaves out.
const ignoreFile = ".sourceignore"

// usualRules leave out what Flux leaves out of every source.
var usualRules = rules(strings.NewReader(`.git/
.gitignore
.gitmodules
.gitattributes
*.jpg
*.jpeg
*.gif
*.png
*.wmv
*.flv
*.tar.gz
*.zip
.github/
.circleci/
.travis.yml
.gitlab-ci.yml
appveyor.yml
.drone.yml
cloudbuild.yaml
codeship-services.yml
codeship-steps.yml
**/.goreleaser.yml
**/.sops.yaml
**/.flux.yaml
`))

// Filter returns tree without what Flux would leave out: by its usual rules,
// then by those of every .sourceignore below the directory it is in, then by
// ignore unless that is nil. All are in gitignore's syntax, and of the rules
// that match a name the last one counts.
//
// Other than in Git, and as in Flux, a file can be taken in again although its
// directory is left out; the directory is then there with that file. What Flux
// would do and Filter doesn't: look for .sourceignore files in directories that
// are left out and hold nothing that a rule from elsewhere could take in again.
//
// The tree it returns implements the same interfaces as a Snapshot's.
func Filter(tree fs.FS, ignore *string) fs.FS {
	f := &filtered{tree: tree, dirs: make(map[string]*scope)}
	if ignore != nil {
		f.last = rules(strings.NewReader(*ignore))
	}
	return f
}

// A filtered is a tree without what its rules leave out.
type filtered struct {
	tree fs.FS
	last []rule // those of Filter's argument

	mu   sync.Mutex
	dirs map[string]*scope // guarded by mu
}

var (
	_ fs.StatFS      = (*filtered)(nil)
	_ fs.ReadFileFS  = (*filtered)(nil)
	_ fs.ReadDirFS   = (*filtered)(nil)
	_ trace.Answerer = (*filtered)(nil)
)

// A scope is what the rules say of a directory, and those that hold in it.
type scope struct {
	name  string
	rules []scoped // least first
	best  int      // the last of rules that matches the directory itself, and so all that is in it; -1 if none does
	out   bool     // best says that it is left out

	once  sync.Once
	sum   digest.Digest // of what is visible
	err   error
	known sync.Once
	seen  bool // whether anything in a directory that is left out is taken in again
	fail  error
}

// A scoped rule holds below a directory.
type scoped struct {
	rule
	below int // length of the directory's name and slash
}

// scope returns what holds in a directory, which must exist in the tree unless
// it is below one that does not.
func (f *filtered) scope(dir string) (*scope, error) {
	f.mu.Lock()
	s := f.dirs[dir]
	f.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s = &scope{name: dir, best: -1}
	if dir == "." {
		s.add(usualRules, 0)
		s.add(f.last, 0)
	} else {
		up, err := f.scope(path.Dir(dir))
		if err != nil {
			return nil, err
		}
		s.rules, s.best = up.rules, up.match(dir, true)
		s.out = s.best >= 0 && !s.rules[s.best].include
	}
	if err := f.read(s); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.dirs[dir]; known != nil {
		return known, nil
	}
	f.dirs[dir] = s
	return s, nil
}

func (s *scope) add(rules []rule, below int) {
	for _, r := range rules {
		s.rules = append(s.rules, scoped{r, below})
	}
}

// read adds the rules of a directory's own .sourceignore, which come before
// those of Filter's argument.
func (f *filtered) read(s *scope) error {
	if s.out && !s.mayInclude(s.name) {
		return nil
	}
	name := ignoreFile
	below := 0
	if s.name != "." {
		name, below = s.name+"/"+ignoreFile, len(s.name)+1
	}
	if is, err := trace.Ask(f.tree, trace.Stat, name); err != nil || is != "file" {
		return err
	}
	data, err := fs.ReadFile(f.tree, name)
	if err != nil {
		return err
	}
	own := rules(strings.NewReader(string(data)))
	at := len(s.rules) - len(f.last)
	if s.best >= at {
		s.best += len(own)
	}
	more := &scope{}
	more.add(own, below)
	s.rules = slices.Insert(slices.Clone(s.rules), at, more.rules...)
	return nil
}

// match returns the index of the last rule that matches a name in s, or -1.
func (s *scope) match(name string, isDir bool) int {
	base := name[strings.LastIndexByte(name, '/')+1:]
	for i := len(s.rules) - 1; i > s.best; i-- {
		if s.rules[i].match(name[s.rules[i].below:], base, isDir) {
			return i
		}
	}
	return s.best
}

// leavesOut reports whether a name in s is left out.
func (s *scope) leavesOut(name string, isDir bool) bool {
	i := s.match(name, isDir)
	return i >= 0 && !s.rules[i].include
}

// mayInclude reports whether a rule after the one that leaves the directory
// out could take in something below it.
func (s *scope) mayInclude(dir string) bool {
	for _, r := range s.rules[s.best+1:] {
		if r.include && r.mayMatchBelow(dir[min(r.below, len(dir)):]) {
			return true
		}
	}
	return false
}

// visible reports whether there is a name after filtering. What is not in the
// tree at all may be visible.
func (f *filtered) visible(name string) (bool, error) {
	if name == "." || !fs.ValidPath(name) {
		return true, nil
	}
	up, err := f.scope(path.Dir(name))
	if err != nil {
		return false, err
	}
	if i := up.match(name, false); i < 0 || up.rules[i].include {
		if i = up.match(name, true); i < 0 || up.rules[i].include {
			return true, nil
		}
	}
	switch is, err := trace.Ask(f.tree, trace.Stat, name); {
	case err != nil:
		return false, err
	case is == "dir":
		return f.dirVisible(name)
	default:
		return !up.leavesOut(name, false), nil
	}
}

// dirVisible reports whether a directory, which is in the tree, is there after
// filtering: because no rule leaves it out or something in it is taken in again.
func (f *filtered) dirVisible(name string) (bool, error) {
	s, err := f.scope(name)
	if err != nil || !s.out {
		return err == nil, err
	}
	s.known.Do(func() {
		if !s.mayInclude(s.name) {
			return
		}
		list, err := f.listing(s)
		s.seen, s.fail = len(list) > 0, err
	})
	return s.seen, s.fail
}

// listing returns what is visible in a directory.
func (f *filtered) listing(s *scope) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(f.tree, s.name)
	if err != nil {
		return nil, err
	}
	list := all[:0:0] // it may be the tree's own
	for _, e := range all {
		name := path.Join(s.name, e.Name())
		see := !s.leavesOut(name, e.IsDir())
		if !see && e.IsDir() {
			if see, err = f.dirVisible(name); err != nil {
				return nil, err
			}
		}
		if see {
			list = append(list, e)
		}
	}
	return list, nil
}

// listed returns the digest of what is visible in a directory. It is asked for
// again and again, and the listing itself mostly once.
func (f *filtered) listed(s *scope) (digest.Digest, error) {
	s.once.Do(func() {
		list, err := f.listing(s)
		s.sum, s.err = trace.Listing(list), err
	})
	return s.sum, s.err
}

// check returns an error if a name is not visible.
func (f *filtered) check(op, name string) error {
	ok, err := f.visible(name)
	if err == nil && !ok {
		err = errIgnored
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// errIgnored is why a name is not there that the tree has.
var errIgnored error = ignored{}

type ignored struct{}

func (ignored) Error() string        { return "left out by the source's ignore rules" }
func (ignored) Is(target error) bool { return target == fs.ErrNotExist }

// Answer implements [trace.Answerer].
func (f *filtered) Answer(op trace.Op, name string) (digest.Digest, error) {
	if ok, err := f.visible(name); err != nil || !ok {
		return "", err
	}
	if op != trace.Dir {
		return trace.Ask(f.tree, op, name)
	}
	if is, err := trace.Ask(f.tree, trace.Stat, name); err != nil || is != "dir" {
		return "", err
	}
	s, err := f.scope(name)
	if err != nil {
		return "", err
	}
	return f.listed(s)
}

// Stat implements [fs.StatFS].
func (f *filtered) Stat(name string) (fs.FileInfo, error) {
	if err := f.check("stat", name); err != nil {
		return nil, err
	}
	return fs.Stat(f.tree, name)
}

// ReadFile implements [fs.ReadFileFS].
func (f *filtered) ReadFile(name string) ([]byte, error) {
	if err := f.check("read", name); err != nil {
		return nil, err
	}
	return fs.ReadFile(f.tree, name)
}

// ReadDir implements [fs.ReadDirFS].
func (f *filtered) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.check("readdir", name); err != nil {
		return nil, err
	}
	info, err := fs.Stat(f.tree, name)
	if err != nil || !info.IsDir() {
		if err == nil {
			_, err = fs.ReadDir(f.tree, name) // which says it best
		}
		return nil, err
	}
	s, err := f.scope(name)
	if err != nil {
		return nil, err
	}
	return f.listing(s)
}

// Open implements [fs.FS].
func (f *filtered) Open(name string) (fs.File, error) {
	if err := f.check("open", name); err != nil {
		return nil, err
	}
	file, err := f.tree.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || !info.IsDir() {
		return file, err
	}
	file.Close()
	list, err := f.ReadDir(name)
	if err != nil {
		return nil, err
	}
	return OpenDir(info, list), nil
}

// A rule is a line of a .sourceignore. It matches what go-git's gitignore
// package makes of that line, which differs from Git in corners: Flux uses it.
type rule struct {
	parts   []string // between slashes
	suffix  string   // if it is "*" and this, with nothing special in it
	include bool
	dirOnly bool
	plain   bool // nothing special in parts[0]
	rooted  bool // it has slashes, so it matches from its directory on
}

// rules reads the lines of a .sourceignore. As in Flux, a line of more than
// 64 KiB ends it.
func rules(r io.Reader) []rule {
	var rs []rule
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if r, ok := parseRule(line); ok {
			rs = append(rs, r)
		}
	}
	return rs
}

// parseRule reads a line. It is not ok if it can match nothing.
func parseRule(line string) (r rule, ok bool) {
	line, r.include = strings.CutPrefix(line, "!")
	if !strings.HasSuffix(line, `\ `) {
		line = strings.TrimRight(line, " ")
	}
	line, r.dirOnly = strings.CutSuffix(line, "/")
	if rest, ok := strings.CutPrefix(line, "**/"); ok && rest != "" && !strings.Contains(rest, "/") && !strings.Contains(rest, "**") {
		line = rest // means the same, and is quicker
	}
	r.rooted = strings.Contains(line, "/")
	r.parts = strings.Split(line, "/")
	for _, p := range r.parts {
		_, err := path.Match(p, "")
		if err != nil || r.rooted && p != "**" && strings.Contains(p, "**") {
			return r, false
		}
	}
	r.plain = !strings.ContainsAny(line, special)
	if rest, ok := strings.CutPrefix(line, "*"); ok && !strings.ContainsAny(rest, special) {
		r.suffix = rest
	}
	return r, true
}

// special are the characters that a pattern does not match by themselves.
const special = `*?[\`

// match reports whether the rule matches a name, which is relative to the
// rule's directory and ends in base, assuming that it does not match the
// directory that the name is in.
func (r *rule) match(name, base string, isDir bool) bool {
	switch {
	case r.rooted:
		ok, rest := r.walk(name)
		return ok && (isDir || !r.dirOnly || rest)
	case r.dirOnly && !isDir:
		return false
	case r.plain:
		return base == r.parts[0]
	case r.suffix != "":
		return strings.HasSuffix(base, r.suffix)
	}
	ok, _ := path.Match(r.parts[0], base)
	return ok
}

// walk matches a rooted rule against a name's elements. More says that some
// were left over.
func (r *rule) walk(name string) (ok, more bool) {
	far := false // any number of elements may come before the next part's
	for i, part := range r.parts {
		if part == "" {
			far = false
			continue
		}
		if part == "**" {
			if i == len(r.parts)-1 {
				break
			}
			far = true
			continue
		}
		if name == "" {
			return false, false
		}
		for {
			var e string
			e, name, _ = strings.Cut(name, "/")
			ok, _ = path.Match(part, e)
			if ok || !far || name == "" {
				break
			}
		}
		if !ok && !far {
			return false, false
		}
		far = false
	}
	return ok, name != ""
}

// mayMatchBelow reports whether the rule could match something in a directory,
// given relative to the rule's own. It may say yes too often.
func (r *rule) mayMatchBelow(dir string) bool {
	if !r.rooted || dir == "" {
		return true
	}
	for _, part := range r.parts {
		if part == "" {
			continue
		}
		if part == "**" || dir == "" {
			return true
		}
		var e string
		e, dir, _ = strings.Cut(dir, "/")
		if ok, err := path.Match(part, e); err != nil || !ok {
			return false
		}
	}
	return true
}
