package flux

import (
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/lazy"
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
	if feed.Err = way.refused; feed.Err != nil || way.err != nil || isGeneric(b.Spec) || b.Spec.SecretRef != nil {
		if a := feed.Remote.Access; a.Cloud.Cloud != "" && feed.Err == nil { // one of the machine's, which a Secret names
			feed.Err = cloudBucket(b.Spec, at, a)
		}
		return feed, way.err
	}
	err = f.cloudOf(&feed, b.Spec.Provider, b.Spec.ServiceAccountName, r)
	a := &feed.Remote.Access
	switch {
	case feed.Err != nil:
	case b.Spec.Provider == sourcev1.BucketProviderAmazon && a.Cloud.Account == "":
		a.Cloud = cloud.Identity{} // whose keys the machine has, which its issuer asks
	case b.Spec.Provider != sourcev1.BucketProviderAmazon:
		feed.Err = cloudBucket(b.Spec, at, *a)
	}
	return feed, err
}

func isGeneric(spec sourcev1.BucketSpec) bool {
	return spec.Provider == "" || spec.Provider == sourcev1.BucketProviderGeneric
}

// cloudBucket returns why a cloud's token is not sent to where a bucket is.
func cloudBucket(spec sourcev1.BucketSpec, at string, a source.Access) error {
	u, err := url.Parse(at)
	switch {
	case err != nil || !cloud.HasStorage(spec.Provider, u):
		return refuse(badProvider, nil, "spec.endpoint '%s' is none of provider %s's, by TLS: its token is sent nowhere else", redactedHost(spec.Endpoint), spec.Provider)
	case a.CA != nil:
		return refuse(badProvider, nil, "spec.certSecretRef has a ca.crt, which provider %s does not trust: whoever chose it could read its token", spec.Provider)
	}
	return nil
}

func followBucket(feed *source.Feed, spec sourcev1.BucketSpec) {
	feed.Remote = source.Remote{Type: "bucket", Region: spec.Region, Insecure: spec.Insecure}
	if !isGeneric(spec) && spec.Provider != sourcev1.BucketProviderAmazon {
		feed.Remote.API = spec.Provider
	}
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
	if spec.Provider == sourcev1.BucketProviderAzure && strings.Contains(spec.Endpoint, "://") {
		return blobURL(spec)
	}
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

// blobURL returns where a server of Azure's is, which is named by its URL.
func blobURL(spec sourcev1.BucketSpec) (string, error) {
	u, err := url.Parse(spec.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		return "", refuse(urlInvalid, source.ErrURL, "spec.endpoint must be a URL such as https://ACCOUNT.blob.core.windows.net, and no more")
	case u.Scheme == "http" && !spec.Insecure:
		return "", refuse(urlInvalid, source.ErrURL, "spec.endpoint is a URL of http: set spec.insecure if everybody may read what is sent there")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// redactedHost returns an endpoint without the user that it should not hold.
func redactedHost(s string) string { return s[strings.LastIndexByte(s, '@')+1:] }

// misconfigured returns why spec can't be followed.
func misconfigured(spec sourcev1.BucketSpec) error {
	generic := isGeneric(spec)
	switch {
	case generic && spec.ServiceAccountName != "":
		return refuse("", nil, "ServiceAccountName is not supported for the 'generic' Bucket provider")
	case spec.SecretRef != nil && spec.ServiceAccountName != "":
		return refuse("", nil, "cannot set both .spec.secretRef and .spec.serviceAccountName")
	}
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
	return nil
}

var (
	region = lazy.Compile(`^[A-Za-z0-9_-]{0,64}$`)

	// Of names below amazonaws.com many are anybody's.
	amazonSTS = lazy.Compile(`^https://(vpce-[a-z0-9-]+\.)?sts(-fips)?(\.[a-z]+(-[a-z]+)+-[0-9]+)?(\.vpce)?\.(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|api\.aws)(:443)?/?$`)
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
	case spec.SecretRef != nil && spec.Provider == sourcev1.BucketProviderAzure:
		k.azure(&a, k.secret(spec.SecretRef.Name))
	case spec.SecretRef != nil && spec.Provider == sourcev1.BucketProviderGoogle:
		s := k.secret(spec.SecretRef.Name)
		a.Grant = &source.Grant{Account: s.data["serviceaccount"]}
		if a.Grant.Account == "" && k.refused == nil {
			k.refuse(denied("invalid '" + s.name + "' secret data: required fields 'serviceaccount'"))
		}
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

// azure sets what a Secret holds for Azure's storage, by Flux's order.
func (k *keyring) azure(a *source.Access, s secret) {
	d := s.data
	cert := d["clientCertificate"]
	switch {
	case k.refused != nil:
	case d["tenantId"] != "" && d["clientId"] != "" && d["clientSecret"]+cert != "":
		a.Grant = &source.Grant{Tenant: d["tenantId"], Client: d["clientId"], Secret: d["clientSecret"], Authority: d["authorityHost"]}
		if d["clientSecret"] == "" {
			send := strings.ToLower(d["clientCertificateSendChain"])
			a.Grant.Certificate, a.Grant.Password, a.Grant.Chain = []byte(cert), d["clientCertificatePassword"], send == "1" || send == "true"
		}
	case d["clientId"] != "":
		a.Cloud = cloud.Identity{Cloud: cloud.Microsoft, Role: d["clientId"]}
	case d["accountKey"] != "":
		a.Grant = &source.Grant{AccountKey: d["accountKey"]}
	case d["sasKey"] != "":
		a.Grant = &source.Grant{SAS: d["sasKey"]}
	default:
		k.refuse(denied("invalid '" + s.name + "' secret data: requires a 'clientId', 'accountKey' or 'sasKey' field, a combination of 'tenantId', 'clientId' and 'clientSecret', or 'tenantId', 'clientId' and 'clientCertificate'"))
	}
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
