package git

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/sane-gitops/sane/source"
)

// How many submodules a tree may have, in all and one in another.
const (
	maxModules = 256
	maxNested  = 10
)

// A module is what .gitmodules says of a submodule.
type module struct {
	path, url string
	skip      bool
}

// A nest is a tree into which submodules are put.
type nest struct {
	src  *Source
	left int // submodules that it may still have
}

// withModules returns the tree of a commit with its submodules in it, each
// from a mirror of its own.
func (s *Source) withModules(ctx context.Context, p place, t *snapshot) (fs.FS, error) {
	return (&nest{src: s, left: maxModules}).fill(ctx, p, t, 0)
}

func (n *nest) fill(ctx context.Context, p place, t *snapshot, depth int) (fs.FS, error) {
	list, err := t.modules(ctx)
	if err != nil {
		return nil, err
	}
	var mounts []source.Mount
	for _, m := range list {
		id, ok, err := t.moduleAt(m.path)
		if err != nil {
			return nil, err
		}
		if !ok || m.skip {
			continue
		}
		tree, err := n.fetch(ctx, p, m, id, depth+1)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, source.Mount{At: m.path, Tree: tree, From: "."})
	}
	if mounts == nil {
		return t, nil
	}
	return source.Compose(t, mounts...), nil
}

// fetch returns the tree of one submodule.
func (n *nest) fetch(ctx context.Context, above place, m module, id string, depth int) (fs.FS, error) {
	if n.left--; n.left < 0 {
		return nil, &failure{text: fmt.Sprintf("there are more than %d submodules", maxModules), kind: source.ErrNotFound}
	}
	if depth > maxNested {
		return nil, &failure{text: fmt.Sprintf("submodules are in each other more than %d deep", maxNested), kind: source.ErrNotFound}
	}
	at, err := m.remote(above)
	if err != nil {
		return nil, m.failed(m.url, err)
	}
	p, err := n.src.place(at)
	if err != nil {
		return nil, m.failed(at.URL, err)
	}
	r, err := n.src.remote(p)
	if err != nil {
		return nil, err
	}
	t, err := n.src.snapshot(ctx, visit{by: r, p: p, want: want{shown: id}, id: id})
	if err != nil {
		return nil, m.failed(at.URL, err)
	}
	tree, err := n.fill(ctx, p, t, depth)
	if err != nil {
		return nil, fmt.Errorf("in submodule %s: %w", m.path, err)
	}
	return tree, nil
}

// failed says of which submodule err is. That its URL is wrong can be cured by
// a push, other than with the URL of the repository itself.
func (m module) failed(url string, err error) error {
	if errors.Is(err, source.ErrURL) {
		err = &failure{text: err.Error(), kind: source.ErrNotFound}
	}
	return fmt.Errorf("submodule %s from %s: %w", m.path, redact(url), err)
}

// remote returns where m is to be had from, seen from the repository that it
// is in. Its credentials are sent to no other server; but whom to trust, and by
// which way to go, is the same everywhere.
func (m module) remote(above place) (source.Remote, error) {
	at := source.Remote{Type: "git", URL: scpURL(m.url), Timeout: above.timeout}
	if strings.HasPrefix(m.url, "./") || strings.HasPrefix(m.url, "../") {
		u, err := url.Parse(above.url)
		if err != nil {
			return source.Remote{}, badURL("that of the repository does not parse")
		}
		u.Path, u.RawPath = path.Join(u.Path, m.url), ""
		at.URL = u.String()
	}
	u, err := url.Parse(at.URL)
	if err != nil {
		return source.Remote{}, badURL("it does not parse")
	}
	if u.Scheme == above.scheme && hostPort(u.Scheme, u.Host) == hostPort(above.scheme, above.host) {
		at.Access = above.access
	} else {
		at.Access = source.Access{CA: above.access.CA}
		if u.Scheme != "ssh" {
			at.Access.Proxy = above.access.Proxy
		}
	}
	return at, nil
}

// scpURL returns the URL that "git@example.com:app.git" stands for. Anything
// else it returns as it is.
func scpURL(s string) string {
	host, file, ok := strings.Cut(s, ":")
	if !ok || strings.Contains(host, "/") || strings.HasPrefix(file, "//") || strings.HasPrefix(file, ":") {
		return s
	}
	return "ssh://" + host + "/" + strings.TrimPrefix(file, "/")
}

// hostPort returns a host with its port.
func hostPort(scheme, host string) string {
	u := url.URL{Host: strings.ToLower(host)}
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":" + map[string]string{"http": "80", "https": "443", "ssh": "22"}[scheme]
}

// moduleAt returns the commit of the submodule at a path, and whether there is
// one.
func (s *snapshot) moduleAt(name string) (id string, ok bool, err error) {
	if !fs.ValidPath(name) || name == "." {
		return "", false, nil
	}
	dir, err := s.find(path.Dir(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && dir.kind() != directory {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	t, err := s.tree(dir.id)
	if err != nil {
		return "", false, err
	}
	e, ok := t.find(path.Base(name))
	return hex.EncodeToString(e.id), ok && e.kind() == submodule, nil
}

// modules returns what .gitmodules says, in order of path.
func (s *snapshot) modules(ctx context.Context) ([]module, error) {
	e, err := s.find(".gitmodules")
	if errors.Is(err, fs.ErrNotExist) || err == nil && e.kind() == directory {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := s.mirror.src.local(ctx, "--git-dir="+s.mirror.dir, "config", "--blob="+hex.EncodeToString(e.id), "--null", "--list")
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &failure{text: ".gitmodules does not parse", kind: source.ErrNotFound}
	}
	return parseModules(out), nil
}

// parseModules reads a configuration as `git config --null --list` prints it.
func parseModules(out []byte) []module {
	byName := make(map[string]*module)
	for line := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(line, "\n")
		key, ok := strings.CutPrefix(key, "submodule.")
		dot := strings.LastIndexByte(key, '.')
		if !ok || dot < 0 {
			continue
		}
		m := byName[key[:dot]]
		if m == nil {
			m = new(module)
			byName[key[:dot]] = m
		}
		switch key[dot+1:] {
		case "path":
			m.path = value
		case "url":
			m.url = value
		case "update":
			m.skip = value == "none"
		}
	}
	byPath := make(map[string]module)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if m := *byName[name]; m.path != "" && m.url != "" {
			byPath[m.path] = m
		}
	}
	return slices.SortedFunc(maps.Values(byPath), func(a, b module) int { return strings.Compare(a.path, b.path) })
}
