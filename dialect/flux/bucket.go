package flux

import (
	"net/url"
	"regexp"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// bucket returns the feed that o asks for. Its error is r's.
func (f flux) bucket(o object.Object, r dialect.Reader) (source.Feed, error) {
	feed := feedOf(o)
	var b sourcev1.Bucket
	if feed.Err = decode(o, &b); feed.Err != nil {
		return feed, nil
	}
	followBucket(&feed, b.Spec)
	at, err := bucketURL(b.Spec)
	if err == nil {
		err = misconfigured(b.Spec)
	}
	if feed.Err = err; err != nil {
		return feed, nil
	}
	feed.Remote.URL = at
	way := keyring{ns: o.Namespace(), r: r}
	feed.Remote.Access = way.bucket(b.Spec)
	feed.Err = way.refused
	return feed, way.err
}

func followBucket(feed *source.Feed, spec sourcev1.BucketSpec) {
	feed.Remote = source.Remote{Type: "bucket", Region: spec.Region, Insecure: spec.Insecure}
	if spec.Timeout != nil {
		feed.Remote.Timeout = spec.Timeout.Duration
	}
	feed.Ref = source.Ref{Name: spec.BucketName, Prefix: spec.Prefix}
	feed.Ignore = spec.Ignore
	if spec.Ignore != nil {
		feed.Ref.Ignore = *spec.Ignore
	}
	feed.Every = spec.Interval.Duration
	feed.Paused = spec.Suspend
}

// bucketURL returns where the server is.
func bucketURL(spec sourcev1.BucketSpec) (string, error) {
	scheme := "https://"
	if spec.Insecure {
		scheme = "http://"
	}
	u, err := url.Parse(scheme + spec.Endpoint)
	if err != nil || u.Host == "" || strings.ContainsAny(spec.Endpoint, "/@?#") {
		return "", refuse(urlInvalid, source.ErrURL, "spec.endpoint must be a host, with a port if need be, and no more: %q is none", strings.TrimSpace(redactedHost(spec.Endpoint)))
	}
	return u.String(), nil
}

// redactedHost returns an endpoint without the user that it should not hold.
func redactedHost(s string) string { return s[strings.LastIndexByte(s, '@')+1:] }

// misconfigured returns why spec can't be followed.
func misconfigured(spec sourcev1.BucketSpec) error {
	generic := spec.Provider == "" || spec.Provider == sourcev1.BucketProviderGeneric
	if sts := spec.STS; sts != nil {
		switch {
		case sts.Provider == sourcev1.STSProviderAmazon && spec.Provider != sourcev1.BucketProviderAmazon,
			sts.Provider == sourcev1.STSProviderLDAP && !generic:
			return refuse(invalidSTS, nil, "STS provider '%s' is not supported for '%s' bucket provider", sts.Provider, spec.Provider)
		case sts.Provider == sourcev1.STSProviderAmazon && (sts.SecretRef != nil || sts.CertSecretRef != nil):
			return refuse(invalidSTS, nil, "spec.sts.secretRef and spec.sts.certSecretRef are not for STS provider 'aws'")
		case sts.Provider != sourcev1.STSProviderAmazon && sts.Provider != sourcev1.STSProviderLDAP:
			return refuse(invalidSTS, nil, "STS provider '%s' is not known", sts.Provider)
		case sts.Provider == sourcev1.STSProviderAmazon && sts.Endpoint != "" && !isAmazonSTS(sts.Endpoint):
			return refuse(invalidSTS, nil, "spec.sts.endpoint must be Amazon's STS, such as https://sts.eu-west-1.amazonaws.com, for STS provider 'aws': our own token is sent there")
		case !isURL(sts.Endpoint):
			return refuse(invalidSTS, nil, "spec.sts.endpoint must be an http or https URL")
		}
	}
	if !region.MatchString(spec.Region) { // it becomes a part of names of servers
		return refuse("", nil, "spec.region %q is not the name of a region", spec.Region)
	}
	return unsupported(
		field{"spec.provider '" + spec.Provider + "'", !generic && spec.Provider != sourcev1.BucketProviderAmazon},
		field{"spec.serviceAccountName", spec.ServiceAccountName != ""},
	)
}

var (
	region = regexp.MustCompile(`^[A-Za-z0-9_-]{0,64}$`)

	// Of names below amazonaws.com many are anybody's.
	amazonSTS = regexp.MustCompile(`^https://(vpce-[a-z0-9-]+\.)?sts(-fips)?(\.[a-z]+(-[a-z]+)+-[0-9]+)?(\.vpce)?\.(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|api\.aws)(:443)?/?$`)
)

// isAmazonSTS reports whether a URL is one that Amazon gives credentials at.
func isAmazonSTS(s string) bool { return amazonSTS.MatchString(s) }

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// bucket returns what lets us in at a bucket's server.
func (k *keyring) bucket(spec sourcev1.BucketSpec) source.Access {
	var a source.Access
	switch {
	case spec.SecretRef != nil:
		s := k.secret(spec.SecretRef.Name)
		a.Username, a.Password = s.data["accesskey"], s.data["secretkey"]
		if (a.Username == "" || a.Password == "") && k.refused == nil {
			k.refuse(denied("invalid '" + s.name + "' secret data: 'accesskey' and 'secretkey' are required"))
		}
	case spec.STS != nil:
		a.Issuer = k.issuer(*spec.STS)
	case spec.Provider == sourcev1.BucketProviderAmazon:
		a.Issuer = &source.Issuer{Type: spec.Provider}
	}
	k.tls(&a, spec.CertSecretRef)
	k.proxy(&a, spec.ProxySecretRef)
	return a
}

func (k *keyring) issuer(sts sourcev1.BucketSTSSpec) *source.Issuer {
	i := &source.Issuer{Type: sts.Provider, Endpoint: sts.Endpoint}
	if sts.SecretRef != nil {
		s := k.secret(sts.SecretRef.Name)
		i.Access.Username, i.Access.Password = s.data["username"], s.data["password"]
		if (i.Access.Username == "" || i.Access.Password == "") && k.refused == nil {
			k.refuse(denied("invalid '" + s.name + "' secret data: 'username' and 'password' are required"))
		}
	} else if sts.Provider == sourcev1.STSProviderLDAP {
		k.refuse(refuse(invalidSTS, nil, "STS provider 'ldap' needs a user and a password: set spec.sts.secretRef"))
	}
	k.tls(&i.Access, sts.CertSecretRef)
	return i
}

var bucketReasons = []kindReason{{nil, bucketFailed}}

// storedBucket tells that a bucket's objects are here.
func storedBucket(feed source.Feed, st source.Status) string {
	return "stored artifact with revision '" + st.Revision.Name + "' from '" + feed.Ref.Name + "' bucket"
}
