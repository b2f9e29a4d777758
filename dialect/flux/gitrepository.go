package flux

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// gitRepository returns the feed that o asks for. Its error is r's.
func (f flux) gitRepository(o object.Object, r dialect.Reader) (source.Feed, error) {
	feed := source.Feed{
		Name:       source.FeedName{Kind: GitRepository.Name, Namespace: o.Namespace(), Name: o.Name()},
		Generation: o.Generation(),
		Token:      o.Annotation(requestedAt),
	}
	var repo sourcev1.GitRepository
	if feed.Err = decode(o, &repo); feed.Err != nil {
		return feed, nil
	}
	follow(&feed, repo.Spec)
	at, err := remoteURL(repo.Spec.URL)
	if err == nil {
		err = unfollowable(repo.Spec)
	}
	if err != nil {
		feed.Remote.URL, feed.Err = "", err
		return feed, nil
	}
	err = f.letIn(&feed, repo, at, r)
	return feed, err
}

// letIn sets what it takes to get in at a server, and what its content must
// prove. Its error is r's.
func (f flux) letIn(feed *source.Feed, repo sourcev1.GitRepository, at *url.URL, r dialect.Reader) error {
	login, err := secretOf(repo.Namespace, repo.Spec.SecretRef, r)
	if err != nil {
		return err
	}
	way, err := secretOf(repo.Namespace, repo.Spec.ProxySecretRef, r)
	if err != nil {
		return err
	}
	var keys secret
	if v := repo.Spec.Verification; v != nil {
		if keys, err = secretOf(repo.Namespace, &v.SecretRef, r); err != nil {
			return err
		}
		feed.Remote.Proof = &source.Proof{Method: string(v.GetMode())} // there is one, whatever else can't be read
	}
	feed.Remote.URL = bare(at)
	if feed.Err = login.fits(repo.Spec.Provider, at); feed.Err != nil {
		return nil
	}
	if feed.Remote.Access, feed.Err = login.access(at); feed.Err != nil {
		return nil
	}
	if inCloud(repo.Spec.Provider) {
		if err := f.cloudOf(feed, repo.Spec.Provider, repo.Spec.ServiceAccountName, r); err != nil || feed.Err != nil {
			return err
		}
	}
	if feed.Remote.Access.Proxy, feed.Err = way.proxy(); feed.Err != nil {
		return nil
	}
	proof, err := proofOf(repo.Spec, keys)
	if feed.Err = err; err == nil {
		feed.Remote.Proof = proof
	}
	return nil
}

// bare returns u without the password in it, and without the user where
// [secret.access] has it: what is in a URL gets printed.
func bare(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	out := *u
	out.User = nil
	if u.Scheme == "ssh" {
		out.User = url.User(u.User.Username())
	}
	return out.String()
}

func follow(feed *source.Feed, spec sourcev1.GitRepositorySpec) {
	feed.Remote = source.Remote{Type: "git", URL: spec.URL}
	if spec.Timeout != nil {
		feed.Remote.Timeout = spec.Timeout.Duration
	}
	if ref := spec.Reference; ref != nil {
		feed.Ref = source.Ref{Branch: ref.Branch, Tag: ref.Tag, Semver: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
	}
	feed.Remote.Submodules = spec.RecurseSubmodules
	feed.Sparse = spec.SparseCheckout
	for _, in := range spec.Include {
		feed.Include = append(feed.Include, source.Include{
			Feed: source.FeedName{Kind: GitRepository.Name, Namespace: feed.Name.Namespace, Name: in.GitRepositoryRef.Name},
			From: in.FromPath, To: in.ToPath,
		})
	}
	feed.Ignore = spec.Ignore
	feed.Every = spec.Interval.Duration
	feed.Paused = spec.Suspend
}

// remoteURL parses a URL that git can fetch from. Its errors give no password
// away.
func remoteURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, refuse(urlInvalid, source.ErrURL, "failed to parse url%s", whyNot(s, err))
	}
	if !slices.Contains([]string{"http", "https", "ssh"}, u.Scheme) {
		return nil, refuse(urlInvalid, source.ErrURL, "failed to parse url '%s': scheme %q is none of http, https and ssh", u.Redacted(), u.Scheme)
	}
	if u.Host == "" {
		return nil, refuse(urlInvalid, source.ErrURL, "failed to parse url '%s': there is no host", u.Redacted())
	}
	return u, nil
}

func whyNot(s string, err error) string {
	var e *url.Error
	if strings.Contains(s, "@") || !errors.As(err, &e) {
		return ""
	}
	return " '" + s + "': " + e.Err.Error()
}

// inCloud reports whether it is a cloud that lets in at a provider.
func inCloud(provider string) bool {
	return provider == sourcev1.GitProviderAzure || provider == sourcev1.GitProviderAWS
}

// unfollowable returns why spec can't be followed.
func unfollowable(spec sourcev1.GitRepositorySpec) error {
	if spec.ServiceAccountName != "" && !inCloud(spec.Provider) {
		return refuse(badProvider, nil, "serviceAccountName can only be set when provider is 'azure' or 'aws'")
	}
	return nil
}
