package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sane-gitops/sane/source"
)

// verify checks that the commit, or the tag by which it was found, or both are
// signed as proof asks, and returns what was signed with which keys.
func (m *mirror) verify(ctx context.Context, v visit, proof *source.Proof) (signed string, err error) {
	var tag, head bool
	switch proof.Method {
	case "HEAD":
		head = true
	case "Tag":
		tag = true
	case "TagAndHEAD":
		tag, head = true, true
	default:
		return "", &source.ProofError{Why: fmt.Sprintf("there is no way to verify called %q", proof.Method)}
	}
	keys, err := readKeys(proof.Keys, m.src.Now)
	if err != nil {
		return "", err
	}
	var all []string
	if tag {
		by, err := m.verifyTag(ctx, v, keys)
		if err != nil {
			return "", err
		}
		all = append(all, by)
	}
	if head {
		by, err := m.verifyCommit(v.id, keys)
		if err != nil {
			return "", err
		}
		all = append(all, by)
	}
	return strings.Join(all, ", "), nil
}

func (m *mirror) verifyCommit(id string, keys keyring) (string, error) {
	data, err := m.objects.read(id, "commit", maxTree)
	if err != nil {
		m.note(err)
		return "", err
	}
	s, err := splitCommit(data, m.idLen)
	if err != nil {
		return "", err
	}
	return keys.vouch("commit", id, s)
}

// vouch says that something is signed and by which key.
func (k keyring) vouch(of, name string, s signed) (string, error) {
	if s.signature == nil {
		return "", &source.ProofError{Of: of, Unsigned: true, Why: fmt.Sprintf("%s '%s' is not signed", of, name)}
	}
	key, err := k.check(s)
	if err != nil {
		return "", &source.ProofError{Of: of, Why: fmt.Sprintf("the signature of %s '%s' does not count: %v", of, name, err)}
	}
	return fmt.Sprintf("%s '%s' with key '%s'", of, name, key), nil
}

// verifyTag checks that the tag that a visit names is signed, and is what it
// seems: of that name, and of that commit.
func (m *mirror) verifyTag(ctx context.Context, v visit, keys keyring) (string, error) {
	name, ok := strings.CutPrefix(v.want.ref, "refs/tags/")
	if !ok {
		return "", &source.ProofError{Of: "tag", Unsigned: true, Why: fmt.Sprintf("'%s' is no tag, so there is no tag whose signature could be verified", v.want.shown)}
	}
	id, err := m.tagID(ctx, v)
	if err != nil {
		return "", err
	}
	data, err := m.tag(ctx, v, id)
	if err != nil {
		return "", err
	}
	t := parseTag(data)
	switch {
	case t.object != v.id || t.kind != "commit":
		return "", &source.ProofError{Of: "tag", Why: fmt.Sprintf("tag '%s' is of %s %s, not of commit %s", name, t.kind, t.object, v.id)}
	case t.name != name:
		return "", &source.ProofError{Of: "tag", Why: fmt.Sprintf("tag '%s' was signed by the name '%s'", name, t.name)}
	}
	return keys.vouch("tag", name, splitTag(data))
}

// tagID returns the object of a visit's tag, as the server says or, if it can't
// be asked or has moved it, as it was when it was that commit.
func (m *mirror) tagID(ctx context.Context, v visit) (string, error) {
	w, commit := v.want, v.id
	refs, err := m.src.list(ctx, v.by, v.p, max(w.scope, tags))
	if err == nil {
		var id, peeledID string
		for line := range bytes.Lines(refs) {
			at, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
			switch name {
			case w.ref:
				id = at
			case w.ref + peeled:
				peeledID = at
			}
		}
		switch {
		case isID(id) && peeledID == commit:
			return id, nil
		case id == commit:
			return "", &source.ProofError{Of: "tag", Unsigned: true, Why: fmt.Sprintf("tag '%s' is a lightweight one, which can't be signed", strings.TrimPrefix(w.ref, "refs/tags/"))}
		}
		err = &failure{text: w.ref + " is not of commit " + commit + " any more", kind: source.ErrNotFound}
	}
	if known, fail := os.ReadFile(filepath.Join(m.dir, v.ownTag())); fail == nil && isID(strings.TrimSpace(string(known))) {
		return strings.TrimSpace(string(known)), nil
	}
	return "", err
}

// ownTag returns the name of the ref that keeps the tag object by which a
// commit was found.
func (v visit) ownTag() string { return v.refFor(v.want.ref, v.want.shown, v.id) }

// tag returns a tag object, which it fetches if it is not here.
func (m *mirror) tag(ctx context.Context, v visit, id string) ([]byte, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, stopped(ctx)
	}
	own := v.ownTag()
	file := filepath.Join(m.dir, own)
	if have, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(have)) != id {
		if err := m.gitFetch(ctx, v, "--depth=1", "+"+v.want.ref+":"+own); err != nil {
			m.unlock()
			return nil, v.gone(err)
		}
		m.count()
	}
	now := m.src.Now()
	os.Chtimes(file, now, now)
	data, err := m.objects.read(id, "tag", maxTree)
	var missing *objectError
	if errors.As(err, &missing) { // what was fetched is another one
		os.Remove(file)
		return nil, &failure{text: v.want.ref + " moves while it is looked at", kind: source.ErrNotFound}
	}
	return data, err
}
