package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sane-gitops/sane/lazy"
)

// A when is a time as people read it.
type when struct {
	At  string // in full, in UTC; "" if it is not known
	Ago string // "3m"
}

// when returns a time as people read it now.
func (s *Server) when(t time.Time) when {
	if t.IsZero() {
		return when{}
	}
	return when{t.UTC().Format(time.RFC3339), duration.HumanDuration(max(s.now().Sub(t), 0))}
}

// count returns "10,000".
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// shortRevision returns "main@1f0c3d2e" for "main@sha1:1f0c3d2e…".
func shortRevision(rev string) string {
	i := strings.LastIndexByte(rev, ':')
	if i < 0 || len(rev)-i <= 9 {
		return rev
	}
	return rev[:strings.LastIndexByte(rev[:i], '@')+1] + rev[i+1:i+9]
}

// firstLine returns the first line of a text, and not all of a very long one.
func firstLine(s string, most int) string {
	s, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	if rest != "" {
		return s + " …"
	}
	return s
}

// markClass returns the class of a line of a difference.
func markClass(mark byte) string {
	switch mark {
	case '+':
		return "add"
	case '-':
		return "del"
	}
	return "same"
}

// clockTime returns the time of day of an RFC 3339 time, to the millisecond.
func clockTime(at string) string {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return ""
	}
	return t.UTC().Format("15:04:05.000")
}

// plainText returns a text without what may let somebody in at a URL in it: as with
// [ask.PlainURL], the user of SSH is no secret.
func plainText(s string) string {
	s = anyURL.ReplaceAllStringFunc(s, withoutUser)
	return queryInURL.ReplaceAllString(s, "$1?…")
}

var (
	anyURL      = lazy.Compile(`(?i)\b(?:https?|ftps?|git|oci|s3|gs|ssh)://[^\s"]+`)
	digestInURL = lazy.Compile(`@sha\d+:[0-9a-f]{32,}[^@]*$`)
	queryInURL  = lazy.Compile(`(?i)(\bhttps?://[^\s?"'<>]+)\?[^\s"'<>]+`)
)

// withoutUser returns a URL without who gets in by it. A password may have anything
// in it, such as another @ or a slash: it ends with the last @ that is not that of an
// image's digest, and what may be a path is rather taken for a password.
func withoutUser(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	end := strings.LastIndexByte(strings.TrimSuffix(rest, digestInURL.FindString(rest)), '@')
	host, _, _ := strings.Cut(rest, "/")
	i := strings.IndexAny(host, ":@")
	switch {
	case end < 0 || i < 0:
		return url // an @ is in the path
	case !strings.EqualFold(scheme, "ssh"):
		return scheme + "://" + rest[end+1:]
	case host[i] == '@':
		return url // without a password
	}
	return scheme + "://" + host[:i] + rest[end:]
}

func plainTexts(all []string) []string {
	out := slices.Clone(all)
	for i := range out {
		out[i] = plainText(out[i])
	}
	return out
}

// plainly returns what an error says that comes from outside, as a plain text.
func plainly(err error) string { return plainText(err.Error()) }
