package cloud

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sane-gitops/sane/lazy"
)

// A Login is a user and a password by which an identity gets in somewhere for a
// while. If it has no user the password is a bearer token.
type Login struct {
	User, Password string // the second is secret
	Until          time.Time
}

var (
	ecrHost   = lazy.Compile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws)$`)
	acrHost   = lazy.Compile(`^[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*\.azurecr\.(io|cn|de|us)$`)
	gcpHost   = lazy.Compile(`^(([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.s3nsregistry\.fr)$`)
	gitHost   = lazy.Compile(`^git-codecommit(-fips)?\.([a-z0-9-]+)\.(amazonaws\.com|amazonaws\.com\.cn)$`)
	azureHost = lazy.Compile(`^(dev\.azure\.com|[a-z0-9-]+\.visualstudio\.com)$`)
)

const publicECR = "public.ecr.aws"

// HasRegistry reports whether a registry is one of a cloud's: what gets in there
// is sent nowhere else.
func HasRegistry(cloud, host string) bool {
	switch cloud {
	case AWS:
		return host == publicECR || ecrHost.MatchString(host)
	case Microsoft:
		return acrHost.MatchString(host)
	case GCP:
		return gcpHost.MatchString(host)
	}
	return false
}

// HasGit reports whether a cloud has Git repositories at an https URL.
func HasGit(cloud string, at *url.URL) bool {
	host := strings.ToLower(at.Hostname())
	switch {
	case at.Scheme != "https" || at.Port() != "" && at.Port() != "443":
		return false
	case cloud == AWS:
		return gitHost.MatchString(host)
	}
	return cloud == Microsoft && azureHost.MatchString(host)
}

var blobHost = lazy.Compile(`^[a-z0-9-]+(\.z[0-9]+)?\.blob\.(core\.windows\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn|storage\.azure\.net)$`)

// HasStorage reports whether a cloud has buckets at an https URL.
func HasStorage(cloud string, at *url.URL) bool {
	host := strings.ToLower(at.Hostname())
	switch {
	case at.Scheme != "https" || at.Port() != "" && at.Port() != "443":
		return false
	case cloud == Microsoft:
		return blobHost.MatchString(host)
	}
	return cloud == GCP && strings.HasSuffix("."+host, ".googleapis.com")
}

// Registry returns by what an identity gets in at a registry of its cloud's.
func (o *Office) Registry(ctx context.Context, id Identity, host string) (Login, error) {
	return o.logins.Get(ctx, id.key("registry", host), func(ctx context.Context) (Login, time.Time, error) {
		l, err := o.registry(ctx, id, host)
		return l, l.Until, err
	})
}

func (o *Office) registry(ctx context.Context, id Identity, host string) (Login, error) {
	if !HasRegistry(id.Cloud, host) {
		return Login{}, denial("the registry " + host + " is none of " + id.Cloud + "'s")
	}
	switch id.Cloud {
	case AWS:
		return o.ecr(ctx, id, host)
	case Microsoft:
		return o.acr(ctx, id, host)
	}
	token, until, err := o.token(ctx, id, "")
	return Login{"oauth2accesstoken", token, until}, err
}

// token is [Office.Token] with when the token ends at the latest.
func (o *Office) token(ctx context.Context, id Identity, scope string) (string, time.Time, error) {
	token, err := o.Token(ctx, id, scope)
	return token, o.Now().Add(short), err
}

// short is for how long what is made of another token is remembered: that ends
// by itself, and is asked for often.
const short = time.Minute

// ecr returns by what an identity gets in at one of Amazon's registries.
func (o *Office) ecr(ctx context.Context, id Identity, host string) (Login, error) {
	var answer struct {
		Data json.RawMessage `json:"authorizationData"`
	}
	call := amazonCall{service: "ecr-public", region: "us-east-1", env: "AWS_ENDPOINT_URL_ECR_PUBLIC", host: "api.ecr-public.us-east-1.amazonaws.com",
		method: http.MethodPost, path: "/", target: "SpencerFrontendService.GetAuthorizationToken"}
	if m := ecrHost.FindStringSubmatch(host); m != nil {
		domain := strings.Replace(m[3], "on.aws", "amazonaws.com", 1)
		call = amazonCall{service: "ecr", region: m[2], env: "AWS_ENDPOINT_URL_ECR", host: "api.ecr." + m[2] + "." + domain,
			method: http.MethodPost, path: "/", target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"}
		if m[1] != "" {
			call.host = "ecr-fips." + m[2] + "." + domain
		}
	}
	key, _, err := o.Amazon(ctx, id, call.region, "")
	if err != nil {
		return Login{}, err
	}
	if err := o.callAmazon(ctx, key, call, &answer); err != nil {
		return Login{}, err
	}
	type data struct {
		Token string  `json:"authorizationToken"`
		Until float64 `json:"expiresAt"` // seconds since 1970
	}
	var all []data
	if json.Unmarshal(answer.Data, &all) != nil || len(all) == 0 {
		all = make([]data, 1) // the public registry has one, and no list
		_ = json.Unmarshal(answer.Data, &all[0])
	}
	text, err := base64.StdEncoding.DecodeString(all[0].Token)
	user, password, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return Login{}, fmt.Errorf("ask %s: its answer holds no user and password", call.host)
	}
	return Login{user, password, time.Unix(int64(all[0].Until), 0)}, nil
}

// acr returns by what an identity gets in at one of Azure's registries.
func (o *Office) acr(ctx context.Context, id Identity, host string) (Login, error) {
	token, err := o.Token(ctx, id, "https://containerregistry.azure.net/.default")
	if err != nil {
		return Login{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/oauth2/exchange", nil)
	if err != nil {
		return Login{}, denial("the registry's name makes no URL")
	}
	r = withBody(r, url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {token}}.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c, stop := o.client()
	defer stop()
	data, err := Send(c, r)
	if err != nil {
		return Login{}, fmt.Errorf("ask %s for a token: %w", host, err)
	}
	var answer struct {
		Token string `json:"refresh_token"`
	}
	if json.Unmarshal(data, &answer) != nil || answer.Token == "" {
		return Login{}, fmt.Errorf("ask %s for a token: there is none in the answer", host)
	}
	until := o.Now().Add(time.Hour)
	if at := claims(answer.Token).Until; at != 0 {
		until = time.Unix(at, 0)
	}
	return Login{"00000000-0000-0000-0000-000000000000", answer.Token, until}, nil
}

// azureDevOps is what a token is to be good for there.
const azureDevOps = "499b84ac-1321-427f-aa17-267ca6975798/.default"

// Git returns by what an identity gets in at a Git repository of its cloud's.
func (o *Office) Git(ctx context.Context, id Identity, at string) (Login, error) {
	u, err := url.Parse(at)
	if err != nil || !HasGit(id.Cloud, u) {
		return Login{}, denial("the repository is none of " + id.Cloud + "'s")
	}
	if id.Cloud == Microsoft {
		token, until, err := o.token(ctx, id, azureDevOps)
		return Login{"", token, until}, err
	}
	region := gitHost.FindStringSubmatch(strings.ToLower(u.Hostname()))[2]
	key, until, err := o.Amazon(ctx, id, region, "")
	if err != nil {
		return Login{}, err
	}
	l := key.codeCommit(u, region, o.Now())
	if until.Before(l.Until) {
		l.Until = until
	}
	return l, nil
}

// ForgetGit has the next caller of [Office.Git] get in by something else: the
// last let nobody in.
func (o *Office) ForgetGit(id Identity) {
	if id.Cloud == Microsoft {
		o.ForgetToken(id, azureDevOps)
	}
}

// codeCommit returns by what the key gets in at a repository: a signature of its
// URL, which Amazon takes for a quarter of an hour.
func (a Amazon) codeCommit(u *url.URL, region string, now time.Time) Login {
	at := now.UTC().Format("20060102T150405")
	request := strings.Join([]string{"GIT", pathOf(u), "", "host:" + u.Host + "\n", "host", ""}, "\n")
	sum := hex.EncodeToString(a.proof(at, scopeOf(at, region, "codecommit"), request))
	user := a.ID
	if a.Session != "" {
		user += "%" + a.Session
	}
	return Login{user, at + "Z" + sum, now.Add(15 * time.Minute)}
}

// A Spot is where the API server of a cluster is.
type Spot struct {
	Address string // an https URL
	CA      string // PEM certificates of those who may vouch for it; "" means everybody's
}

// A Cluster is what there is to know of a cluster, to get in there.
type Cluster struct {
	Identity
	Name string // at the cloud
	Spot        // as far as it is known
}

var (
	eksName = lazy.Compile(`^arn:(aws[\w-]*):eks:([^:]{1,100}):[0-9]{1,30}:cluster/([0-9A-Za-z_-]{1,200})$`)
	aksName = lazy.Compile(`(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%]{1,200}/providers/Microsoft\.ContainerService/managedClusters/[^/?#%]{1,200}$`)
	gkeName = lazy.Compile(`^projects/[^/?#%]{1,200}/locations/[^/?#%]{1,200}/clusters/[^/?#%]{1,200}$`)
)

// IsCluster returns an error if name is no cluster's at a cloud.
func IsCluster(cloud, name string) error {
	switch {
	case cloud == AWS && !eksName.MatchString(name):
		return fmt.Errorf("%.100q is not the ARN of a cluster of EKS's, such as arn:aws:eks:eu-west-1:111122223333:cluster/prod", name)
	case cloud == Microsoft && !aksName.MatchString(name):
		return fmt.Errorf("%.100q is not the id of a cluster of AKS's, such as /subscriptions/1a2b…/resourceGroups/prod/providers/Microsoft.ContainerService/managedClusters/prod", name)
	case cloud == GCP && !gkeName.MatchString(name):
		return fmt.Errorf("%.100q is not a cluster of GKE's, such as projects/acme/locations/europe-west1/clusters/prod", name)
	}
	return nil
}

// Find returns where a cluster is. What is known of that is as the cluster's
// owner says; where c's identity is our own it must be what the cloud says, too:
// our token goes nowhere else.
func (o *Office) Find(ctx context.Context, c Cluster) (Spot, error) {
	if c.Account != "" && c.Address != "" && c.CA != "" {
		return c.Spot, nil
	}
	found, err := o.spots.Get(ctx, c.key("cluster", c.Name, c.Address), func(ctx context.Context) (Spot, time.Time, error) {
		if err := IsCluster(c.Cloud, c.Name); err != nil {
			return Spot{}, time.Time{}, denied{err}
		}
		all, err := o.describe(ctx, c)
		if err != nil {
			return Spot{}, time.Time{}, err
		}
		spot, err := choose(all, c)
		return spot, o.Now().Add(10 * time.Minute), err
	})
	if c.Account == "" {
		return found, err
	}
	return Spot{cmp.Or(c.Address, found.Address), cmp.Or(c.CA, found.CA)}, err
}

// choose returns the spot that is meant, of those that a cloud tells.
func choose(all []Spot, c Cluster) (Spot, error) {
	var told []string
	for _, s := range all {
		if c.Address == "" || sameServer(c.Address, s.Address) {
			return s, nil
		}
		told = append(told, s.Address)
	}
	if len(all) > 0 && c.Account != "" && c.Cloud != Microsoft {
		return all[0], nil // its CA
	}
	return Spot{}, denial(fmt.Sprintf("%s is not at %q: its addresses are %s", c.Name, c.Address, strings.Join(told, ", ")))
}

// sameServer reports whether two URLs are of one server.
func sameServer(a, b string) bool {
	name := func(s string) string {
		u, err := url.Parse(s)
		if err != nil {
			return s
		}
		return strings.ToLower(u.Hostname()) + ":" + cmp.Or(u.Port(), "443") + strings.TrimSuffix(u.Path, "/")
	}
	return name(a) == name(b)
}

func (o *Office) describe(ctx context.Context, c Cluster) ([]Spot, error) {
	switch c.Cloud {
	case AWS:
		return o.describeEKS(ctx, c)
	case Microsoft:
		return o.describeAKS(ctx, c)
	case GCP:
		return o.describeGKE(ctx, c)
	}
	return nil, denial("the cloud '" + c.Cloud + "' has no clusters")
}

// spotAt returns the spot of a server whose certificate of authority is in base64.
func spotAt(address, ca string) (Spot, error) {
	if address == "" {
		return Spot{}, denial("the cloud does not say where it is")
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	pem, err := base64.StdEncoding.DecodeString(ca)
	if err != nil {
		return Spot{}, denial("the cloud's answer holds no certificate")
	}
	return Spot{address, string(pem)}, nil
}

func (o *Office) describeEKS(ctx context.Context, c Cluster) ([]Spot, error) {
	m := eksName.FindStringSubmatch(c.Name)
	host, err := AmazonHost("eks", m[1], m[2])
	if err != nil {
		return nil, denied{err}
	}
	key, _, err := o.Amazon(ctx, c.Identity, m[2], "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Cluster struct {
			Endpoint string
			CA       struct{ Data string } `json:"certificateAuthority"`
		}
	}
	call := amazonCall{service: "eks", region: m[2], env: "AWS_ENDPOINT_URL_EKS", host: host, method: http.MethodGet, path: "/clusters/" + m[3]}
	if err := o.callAmazon(ctx, key, call, &answer); err != nil {
		return nil, err
	}
	s, err := spotAt(answer.Cluster.Endpoint, answer.Cluster.CA.Data)
	return []Spot{s}, err
}

// askCloud makes a request of a service of Google's or Microsoft's that speaks
// JSON.
func (o *Office) askCloud(ctx context.Context, token, method, at string, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return denial("the cluster's name makes no URL")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	c, stop := o.client()
	defer stop()
	data, err := Send(c, r)
	if err != nil {
		return fmt.Errorf("ask %s: %w", r.URL.Host, cloudWords(err))
	}
	if json.Unmarshal(data, into) != nil {
		return fmt.Errorf("ask %s: its answer can't be read", r.URL.Host)
	}
	return nil
}

func (o *Office) describeGKE(ctx context.Context, c Cluster) ([]Spot, error) {
	token, err := o.Token(ctx, c.Identity, "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Endpoint string
		Auth     struct {
			CA string `json:"clusterCaCertificate"`
		} `json:"masterAuth"`
		Private struct {
			Private string `json:"privateEndpoint"`
			Public  string `json:"publicEndpoint"`
		} `json:"privateClusterConfig"`
		Plane struct {
			DNS struct{ Endpoint string } `json:"dnsEndpointConfig"`
			IP  struct {
				Private string `json:"privateEndpoint"`
				Public  string `json:"publicEndpoint"`
			} `json:"ipEndpointsConfig"`
		} `json:"controlPlaneEndpointsConfig"`
	}
	if err := o.askCloud(ctx, token, http.MethodGet, "https://container.googleapis.com/v1/"+c.Name, &answer); err != nil {
		return nil, err
	}
	first, err := spotAt(answer.Endpoint, answer.Auth.CA)
	if err != nil {
		return nil, err
	}
	all := []Spot{first}
	for _, at := range []string{answer.Private.Private, answer.Private.Public, answer.Plane.IP.Private, answer.Plane.IP.Public} {
		if at != "" {
			all = append(all, Spot{"https://" + at, first.CA})
		}
	}
	if at := answer.Plane.DNS.Endpoint; at != "" { // which has a certificate of everybody's
		all = append(all, Spot{"https://" + at, ""})
	}
	return all, nil
}

// A manager is where Azure's resources are managed.
type manager struct{ host, scope string }

// manager returns the one of the cloud that we run in.
func (o *Office) manager() manager {
	host := "management.azure.com"
	switch authority := o.authority(); {
	case strings.Contains(authority, "chinacloudapi.cn"):
		host = "management.chinacloudapi.cn"
	case strings.Contains(authority, "microsoftonline.us"):
		host = "management.usgovcloudapi.net"
	}
	return manager{host, "https://" + host + "/.default"}
}

func (o *Office) describeAKS(ctx context.Context, c Cluster) ([]Spot, error) {
	m := o.manager()
	token, err := o.Token(ctx, c.Identity, m.scope)
	if err != nil {
		return nil, err
	}
	base := (&url.URL{Scheme: "https", Host: m.host, Path: c.Name}).String()
	var about struct {
		Properties struct {
			Entra *struct{} `json:"aadProfile"`
		}
	}
	if err := o.askCloud(ctx, token, http.MethodGet, base+"?api-version="+aksVersion, &about); err != nil {
		return nil, err
	}
	if about.Properties.Entra == nil {
		return nil, denial(c.Name + " does not let in identities of Entra's: see https://learn.microsoft.com/azure/aks/enable-authentication-microsoft-entra-id")
	}
	var answer struct{ Kubeconfigs []struct{ Value []byte } }
	if err := o.askCloud(ctx, token, http.MethodPost, base+"/listClusterUserCredential?api-version="+aksVersion, &answer); err != nil {
		return nil, err
	}
	var all []Spot
	for _, k := range answer.Kubeconfigs {
		s, err := readKubeconfig(k.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

const aksVersion = "2025-04-01"

// aksScope is for API servers of AKS's.
const aksScope = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"

// ClusterToken returns a token by which an identity gets in at a cluster of its
// cloud's.
func (o *Office) ClusterToken(ctx context.Context, c Cluster) (string, error) {
	switch c.Cloud {
	case Microsoft:
		return o.Token(ctx, c.Identity, aksScope)
	case GCP:
		return o.Token(ctx, c.Identity, "")
	}
	m := eksName.FindStringSubmatch(c.Name)
	if m == nil {
		return "", denied{IsCluster(AWS, c.Name)}
	}
	l, err := o.logins.Get(ctx, c.key("cluster", c.Name), func(ctx context.Context) (Login, time.Time, error) {
		l, err := o.eks(ctx, c.Identity, m[1], m[2], m[3])
		return l, l.Until, err
	})
	return l.Password, err
}

// ForgetCluster has the next caller of [Office.ClusterToken] get a new token: the
// last let nobody in.
func (o *Office) ForgetCluster(c Cluster) {
	switch c.Cloud {
	case Microsoft:
		o.ForgetToken(c.Identity, aksScope)
	case GCP:
		o.ForgetToken(c.Identity, "")
	}
	o.logins.Forget(c.key("cluster", c.Name))
}

// eks returns a token by which an identity gets in at a cluster of EKS's: a
// request of Amazon's STS to say who asks, signed for that cluster.
func (o *Office) eks(ctx context.Context, id Identity, partition, region, name string) (Login, error) {
	host, err := AmazonHost("sts", partition, region)
	if err != nil {
		return Login{}, denied{err}
	}
	key, until, err := o.Amazon(ctx, id, region, "")
	if err != nil {
		return Login{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/?Action=GetCallerIdentity&Version=2011-06-15", nil)
	if err != nil {
		return Login{}, err
	}
	r.Header.Set("X-K8s-Aws-Id", name)
	now := o.Now()
	if last := now.Add(14 * time.Minute); last.Before(until) {
		until = last
	}
	at := key.presigned(r, region, "sts", now)
	return Login{"", "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(at)), until}, nil
}

// Vault returns a token of Vault's or OpenBao's for an identity: for the token of
// its service account, at a path to log in at, as the role NAMESPACE_NAME.
func (o *Office) Vault(ctx context.Context, id Identity, address, path string) (string, error) {
	l, err := o.logins.Get(ctx, id.key("vault", address, path), func(ctx context.Context) (Login, time.Time, error) {
		l, err := o.vault(ctx, id, address, path)
		if err != nil {
			err = fmt.Errorf("get in as %s: %w", id.Who(), err)
		}
		return l, l.Until, err
	})
	return l.Password, err
}

func (o *Office) vault(ctx context.Context, id Identity, address, path string) (Login, error) {
	account := id.Account
	var err error
	if account == "" {
		if account, err = o.Self(); err != nil {
			return Login{}, err
		}
	}
	proof, err := o.AccountToken(ctx, account, address)
	if err != nil {
		return Login{}, err
	}
	body, err := json.Marshal(map[string]string{"role": strings.Replace(account, "/", "_", 1), "jwt": proof})
	if err != nil {
		return Login{}, err
	}
	at := strings.TrimSuffix(address, "/") + "/v1/" + strings.Trim(path, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil || r.URL.Host == "" || r.URL.User != nil {
		return Login{}, denial("where Vault is is no URL")
	}
	r = withBody(r, string(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Request", "true")
	c, stop := o.client()
	defer stop()
	data, err := Send(c, r)
	if no, ok := refusalIn(err); ok {
		var said struct{ Errors []string }
		_ = json.Unmarshal(no.Body, &said) // if it is anything else, it says nothing
		err = fmt.Errorf("%w: %s", err, Words(strings.Join(said.Errors, "; ")))
	}
	if err != nil {
		return Login{}, fmt.Errorf("log in at %s: %w", r.URL.Host, err)
	}
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
			For   int64  `json:"lease_duration"` // seconds
		}
	}
	if json.Unmarshal(data, &answer) != nil || answer.Auth.Token == "" {
		return Login{}, fmt.Errorf("log in at %s: there is no token in the answer", r.URL.Host)
	}
	return Login{"", answer.Auth.Token, o.Now().Add(time.Duration(answer.Auth.For) * time.Second)}, nil
}
