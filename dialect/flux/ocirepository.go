package flux

import (
	"regexp"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// ociRepository returns the feed that o asks for. Its error is r's.
func (f flux) ociRepository(o object.Object, r dialect.Reader) (source.Feed, error) {
	feed := feedOf(o)
	var repo sourcev1.OCIRepository
	if feed.Err = decode(o, &repo); feed.Err != nil {
		return feed, nil
	}
	followImage(&feed, repo.Spec)
	if feed.Err = unpullable(repo.Spec); feed.Err != nil {
		feed.Remote.URL = ""
		return feed, nil
	}
	way := keyring{ns: o.Namespace(), r: r}
	var known bool
	feed.Remote.Access, known = way.registry(repo.Spec)
	if provider := repo.Spec.Provider; way.refused == nil && !known && provider != "" && provider != sourcev1.GenericOCIProvider {
		if feed.Err = cloudPull(repo.Spec, feed.Remote.Access); feed.Err != nil {
			return feed, way.err
		}
		if err := f.cloudOf(&feed, provider, repo.Spec.ServiceAccountName, r); err != nil || feed.Err != nil {
			return feed, err
		}
	}
	if repo.Spec.Verify != nil {
		feed.Remote.Proof = way.proof(*repo.Spec.Verify)
	}
	feed.Err = way.refused
	return feed, way.err
}

// feedOf returns what every feed has that o asks for.
func feedOf(o object.Object) source.Feed {
	return source.Feed{
		Name:       source.FeedName{Kind: o.ID().Kind.Name, Namespace: o.Namespace(), Name: o.Name()},
		Generation: o.Generation(),
		Token:      o.Annotation(requestedAt),
	}
}

func followImage(feed *source.Feed, spec sourcev1.OCIRepositorySpec) {
	feed.Remote = source.Remote{Type: "oci", URL: strings.TrimSuffix(spec.URL, "/"), Insecure: spec.Insecure}
	if spec.Timeout != nil {
		feed.Remote.Timeout = spec.Timeout.Duration
	}
	if ref := spec.Reference; ref != nil {
		feed.Ref = source.Ref{Digest: digest.Digest(ref.Digest), Semver: ref.SemVer, Filter: ref.SemverFilter, Tag: ref.Tag}
	}
	if s := spec.LayerSelector; s != nil {
		feed.Ref.Layer, feed.Ref.Copy = s.MediaType, s.Operation == sourcev1.OCILayerCopy
	}
	feed.Ignore = spec.Ignore
	feed.Every = spec.Interval.Duration
	feed.Paused = spec.Suspend
}

// unpullable returns why spec can't be followed.
func unpullable(spec sourcev1.OCIRepositorySpec) error {
	name, ok := strings.CutPrefix(spec.URL, sourcev1.OCIRepositoryPrefix)
	switch {
	case !ok:
		return refuse(urlInvalid, source.ErrURL, "failed to parse url: it must begin with '%s'", sourcev1.OCIRepositoryPrefix)
	case strings.Contains(name, "@"):
		return refuse(urlInvalid, source.ErrURL, "failed to parse url: it must hold neither a digest nor a user: set spec.ref.digest or spec.secretRef")
	case !strings.Contains(strings.Trim(name, "/"), "/"):
		return refuse(urlInvalid, source.ErrURL, "failed to parse url '%s': it must name a registry and a repository", spec.URL)
	case tagged(name):
		return refuse(urlInvalid, source.ErrURL, "failed to parse url '%s': it must not hold a tag: set spec.ref.tag", spec.URL)
	}
	return nil
}

// cloudPull returns why a cloud's token is not sent to a registry.
func cloudPull(spec sourcev1.OCIRepositorySpec, a source.Access) error {
	host, _, _ := strings.Cut(strings.TrimPrefix(spec.URL, sourcev1.OCIRepositoryPrefix), "/")
	switch {
	case !cloud.HasRegistry(spec.Provider, host):
		return refuse(badProvider, nil, "provider %s is for its own registries, which '%s' is none of: its token is sent nowhere else", spec.Provider, host)
	case spec.Insecure:
		return refuse(badProvider, nil, "spec.insecure is not for provider %s: its token is sent by TLS only", spec.Provider)
	case a.CA != nil:
		return refuse(badProvider, nil, "spec.certSecretRef has a ca.crt, which provider %s does not trust: whoever chose it could read its token", spec.Provider)
	}
	return nil
}

var tagged = lazy.Compile(`/[^/]*:[^/]*$`).MatchString

// registry returns what lets us in at a registry, and whether there are any
// Secrets for that.
func (k *keyring) registry(spec sourcev1.OCIRepositorySpec) (a source.Access, known bool) {
	name := strings.TrimPrefix(spec.URL, sourcev1.OCIRepositoryPrefix)
	var configs []secret
	if spec.SecretRef != nil {
		configs = append(configs, k.secret(spec.SecretRef.Name))
	}
	if spec.ServiceAccountName != "" {
		configs = append(configs, k.pullSecrets(spec.ServiceAccountName)...)
	}
	for _, s := range configs {
		found, err := dockerAccess(s, name)
		if err != nil {
			k.refuse(err)
		}
		if a.Username+a.Password+a.Bearer == "" {
			a = found
		}
	}
	k.tls(&a, spec.CertSecretRef)
	k.proxy(&a, spec.ProxySecretRef)
	return a, len(configs) > 0
}

// proof returns what an image must prove.
func (k *keyring) proof(v sourcev1.OCIRepositoryVerification) *source.Proof {
	p := &source.Proof{Method: v.Provider}
	for _, id := range v.MatchOIDCIdentity {
		for _, x := range []string{id.Issuer, id.Subject} {
			if _, err := regexp.Compile(x); err != nil {
				k.refuse(refuse(verificationError, nil, "spec.verify.matchOIDCIdentity: %q is no regular expression: %s", x, err))
			}
		}
		p.Identities = append(p.Identities, source.Identity{Issuer: id.Issuer, Subject: id.Subject})
	}
	if v.SecretRef != nil {
		p.Keys = k.trusted(v.SecretRef.Name, v.Provider)
	} else if v.Provider != "cosign" {
		k.refuse(refuse(verificationError, nil, "verification by %s needs a secret with a trust policy and certificates: set spec.verify.secretRef", v.Provider))
	}
	if ref := v.TrustedRootSecretRef; ref != nil {
		s := k.proving(ref.Name)
		if p.TrustedRoot = bytesOf(s.data[trustedRoot]); p.TrustedRoot == nil && k.refused == nil {
			k.refuse(unproven("'%s' not found in secret '%s'", trustedRoot, s.name))
		}
	}
	return p
}

const trustedRoot = "trusted_root.json"

// trusted returns the public keys, or the certificates and their policy, in a
// Secret.
func (k *keyring) trusted(name, provider string) map[string][]byte {
	s := k.proving(name)
	keys := make(map[string][]byte)
	for key, text := range s.data {
		if provider != "cosign" || strings.HasSuffix(key, ".pub") {
			keys[key] = []byte(text)
		}
	}
	if len(keys) == 0 && k.refused == nil {
		k.refuse(unproven("no matching public keys were found in secret '%s': their names must end in .pub", s.name))
	}
	return keys
}

// proving returns a Secret that is needed to verify.
func (k *keyring) proving(name string) secret {
	s := k.load(name)
	switch {
	case s.missing:
		k.refuse(unproven("failed to get secret '%s': secrets %q not found", s.name, name))
	case s.bad != "":
		k.refuse(unproven("secret '%s': the value of '%s' is not base64", s.name, s.bad))
	}
	return s
}

// selected writes which layer was chosen.
func (d *draft) selected(gen int64) {
	if d.ID().Kind != OCIRepository || gen != d.Generation() {
		return
	}
	s, ok := d.Get("spec", "layerSelector")
	if !ok {
		d.drop("observedLayerSelector")
		return
	}
	d.set("observedLayerSelector", s)
}

// verified writes what is known of a source's signature.
func (d *draft) verified(feed source.Feed, v verdict, st source.Status) {
	switch {
	case d.ID().Kind == GitRepository:
	case feed.Remote.Proof == nil && feed.Err == nil, v.status == isTrue && st.Proven == "":
		d.unmark(sourceVerified)
	case v.reason == verificationError:
		d.mark(condition{sourceVerified, isFalse, v.reason, v.message})
		d.unmark(fetchFailed)
	case v.status == isTrue:
		d.mark(condition{sourceVerified, isTrue, succeeded, "verified signature of revision " + st.Revision.Name})
	}
}

var imageReasons = []kindReason{
	{source.ErrContent, layerFailed},
	{nil, pullFailed},
}

// storedImage tells that an image is here.
func storedImage(feed source.Feed, st source.Status) string {
	text := "stored artifact with revision '" + st.Revision.Name + "' from '" + feed.Remote.URL + "'"
	for _, from := range []struct{ what, key string }{{"source", "org.opencontainers.image.source"}, {"revision", firstMade}} {
		if v := st.Metadata[from.key]; v != "" {
			text += ", origin " + from.what + " '" + v + "'"
		}
	}
	return text
}

// metadata writes what an artifact's publisher said of it.
func (d *draft) metadata(st source.Status) {
	if len(st.Metadata) > 0 && text(d.Object, "artifact", "revision") == st.Revision.Name {
		d.Object = d.With(stringsOf(st.Metadata), "status", "artifact", "metadata")
	}
}

// stringsOf returns m for a status.
func stringsOf(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
