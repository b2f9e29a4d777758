package kustomize

import (
	"fmt"
	gopath "path"
	"strconv"
	"strings"

	"github.com/sane-gitops/sane/lazy"
)

// Kustomize tries each resource as a file and then as a directory, and if
// both fail, tells both stories, at every level of nesting, around the cause.
// condense finds the story that matters. It never makes up words: a text that
// it does not know stays as it is.

// condense returns the cause in an error of kustomize's, and where: dir is
// the directory whose kustomization the error is about.
func condense(dir, text string) string {
	text = strings.ReplaceAll(text, mount+"/", "")
	text = strings.ReplaceAll(text, mount, ".")
	text = withConfig.ReplaceAllString(text, "")
	text = longPatch.ReplaceAllStringFunc(text, shorten)
	where, cause := unwrap(dir, strings.TrimSpace(text))
	cause = resourceID.ReplaceAllStringFunc(cause, plainID)
	if first, _, ok := strings.Cut(cause, "\n\n"); ok {
		cause = first // content follows, which may be secret
	}
	return oneLine(where + ": " + cause)
}

var (
	withConfig = lazy.Compile("(?s)trouble configuring builtin (\\w+) with config: `.*?`: ")
	longPatch  = lazy.Compile(`\[patch: "(\\.|[^"\\])*"\]`)
	quoted     = lazy.Compile(`(?s)^(?:accumulating components: )?(?:accumulateDirectory: |loader\.New )(".*")$`)
	recursed   = lazy.Compile(`(?s)^recursed accumulation of path '([^']*)': (.*)$`)
	merging    = lazy.Compile(`(?s)^recursed merging from path '([^']*)': (.*)$`)
	target     = lazy.Compile(`(?s)^couldn't make target for path '([^']*)': (.*)$`)
	fromFile   = lazy.Compile(`(?s)^accumulating resources from '([^']*)': (.*)$`)
	mergeFile  = lazy.Compile(`(?s)^merging resources from '([^']*)': (.*)$`)
	duplicate  = lazy.Compile(`(?s)^may not add resource with an already registered id: (\S+)$`)
	malformed  = lazy.Compile(`(?s)^(?:MalformedYAMLError: )?(?:yaml: )?(.*?)(?: in File: \S+)?$`)
)

// resourceID is how kustomize names objects: Kind.version.group/name.namespace.
var resourceID = lazy.Compile(`\b[A-Z]\w*\.(?:v\w+|\[noVer\])\.(?:[a-z0-9.-]+|\[noGrp\])/\S+?\.(?:\[noNs\]|[a-z0-9-]+)(?:[\s",;:]|$)`)

// plainID returns such a name as everybody else writes it.
func plainID(id string) string {
	end := ""
	if last := id[len(id)-1:]; strings.Contains(" \n\t\",;:", last) {
		id, end = id[:len(id)-1], last
	}
	gvk, name, _ := strings.Cut(id, "/")
	kind, _, _ := strings.Cut(gvk, ".")
	dot := strings.LastIndex(name, ".")
	if ns := name[dot+1:]; ns != "[noNs]" {
		kind += "/" + ns
	}
	return kind + "/" + name[:dot] + end
}

const tried = "accumulation err='"

// directory are the beginnings of what kustomize says of a resource as a
// directory, after what it said of it as a file; and whether that tells more.
var directory = []struct {
	text string
	more bool
}{
	{"recursed accumulation of path '", true},
	{"recursed merging from path '", true},
	{"couldn't make target for path '", true},
	{"cycle detected", true},
	{"expected kind", true},
	{"path \"", true},
	{"must build at directory", false},
	{"new root", false},
}

// unwrap returns the innermost cause in text, and the file or directory that
// it is about.
func unwrap(where, text string) (string, string) {
	for _, noise := range []string{"accumulating resources: ", "accumulating components: "} {
		text = strings.TrimPrefix(text, noise)
	}
	if m := quoted.FindStringSubmatch(text); m != nil {
		if s, err := strconv.Unquote(m[1]); err == nil {
			return unwrap(where, strings.ReplaceAll(s, mount+"/", ""))
		}
	}
	if rest, ok := strings.CutPrefix(text, tried); ok {
		if s, ok := choose(rest); ok {
			return unwrap(where, s)
		}
		return where, text
	}
	if m := recursed.FindStringSubmatch(text); m != nil {
		return unwrap(m[1], m[2])
	}
	if m := target.FindStringSubmatch(text); m != nil {
		return unwrap(m[1], m[2])
	}
	if m := merging.FindStringSubmatch(text); m != nil {
		return where, fmt.Sprintf("%s: %s", m[1], explain(m[2]))
	}
	if m := fromFile.FindStringSubmatch(text); m != nil {
		return file(where, m[1], m[2])
	}
	if m := mergeFile.FindStringSubmatch(text); m != nil {
		return file(where, m[1], m[2])
	}
	return where, explain(text)
}

// choose returns what tells more, of what is said of a resource as a file and
// as a directory.
func choose(text string) (string, bool) {
	for _, d := range directory {
		asFile, asDir, ok := strings.Cut(text, "': "+d.text)
		if ok && d.more {
			return d.text + asDir, true
		}
		if ok {
			return asFile, true
		}
	}
	return "", false
}

// file returns the cause of an error with a file that is named in the
// kustomization of directory dir.
func file(dir, name, cause string) (string, string) {
	if rest, ok := strings.CutPrefix(cause, "merging resources from '"+name+"': "); ok {
		cause = rest
	}
	full := gopath.Join(dir, name)
	for _, op := range []string{"open ", "read "} { // a PathError names the file again
		cause = strings.TrimPrefix(cause, op+full+": ")
	}
	if cause == "file does not exist" {
		return dir, fmt.Sprintf("%s: no such file or directory", name)
	}
	if strings.HasSuffix(cause, errOutside.Error()) {
		return dir, fmt.Sprintf("%s %s", name, errOutside)
	}
	return full, explain(cause)
}

// explain says a cause in fewer words.
func explain(cause string) string {
	if m := duplicate.FindStringSubmatch(cause); m != nil {
		return fmt.Sprintf("%s is already there: an object may come from one place only", m[1])
	}
	if strings.Contains(cause, "yaml: ") || strings.HasPrefix(cause, "MalformedYAMLError") {
		if m := malformed.FindStringSubmatch(cause); m != nil {
			return "invalid YAML: " + m[1]
		}
	}
	return cause
}

// shorten leaves of a patch what tells which one it is.
func shorten(patch string) string {
	const most = 60
	if len(patch) <= most {
		return patch
	}
	return patch[:most] + `…"]`
}

// oneLine returns text without line breaks, and not too long.
func oneLine(text string) string {
	const most = 1000
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
