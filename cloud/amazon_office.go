package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// amazonAudience is whom tokens of service accounts are for that Amazon's STS is
// shown.
const amazonAudience = "sts.amazonaws.com"

// amazonSlack is for how long a key is used that does not say when it ends.
const amazonSlack = 15 * time.Minute

// Amazon returns an access key of who an identity is at Amazon, and until when it
// is good. The STS of a region is asked for it, at sts, a URL; "" means where it
// usually is, and in the region in which this program runs.
func (o *Office) Amazon(ctx context.Context, id Identity, region, sts string) (Amazon, time.Time, error) {
	k, err := o.keys.Get(ctx, id.key(region, sts), func(ctx context.Context) (amazonKey, time.Time, error) {
		k, err := o.newKey(ctx, id, region, sts)
		if err != nil {
			return k, time.Time{}, fmt.Errorf("get in as %s: %w", id.Who(), err)
		}
		if k.until.IsZero() {
			k.until = o.Now().Add(amazonSlack)
		}
		return k, k.until, nil
	})
	return k.Amazon, k.until, err
}

func (o *Office) newKey(ctx context.Context, id Identity, region, sts string) (amazonKey, error) {
	region = cmp.Or(region, o.Env("AWS_REGION"), o.Env("AWS_DEFAULT_REGION"))
	if id.Account == "" {
		return o.ownKey(ctx, region, sts)
	}
	token, err := o.AccountToken(ctx, id.Account, amazonAudience)
	if err != nil {
		return amazonKey{}, err
	}
	namespace, name, _ := strings.Cut(id.Account, "/")
	return o.assume(ctx, region, sts, token, id.Role, name+"."+namespace+"."+region+".sane")
}

// assume exchanges a service account's token for a key of a role.
func (o *Office) assume(ctx context.Context, region, sts, token, role, session string) (amazonKey, error) {
	if region == "" {
		return amazonKey{}, denial("it is not known which region's STS to ask: name the region, or set AWS_REGION")
	}
	if sts = cmp.Or(sts, o.Env("AWS_ENDPOINT_URL_STS")); sts == "" {
		partition, _, _ := strings.Cut(strings.TrimPrefix(role, "arn:"), ":")
		host, err := AmazonHost("sts", partition, region)
		if err != nil {
			return amazonKey{}, denied{err}
		}
		sts = "https://" + host
	}
	c, stop := o.client()
	defer stop()
	return askSTS(ctx, c, strings.TrimSuffix(sts, "/")+"/", url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "RoleArn": {role}, "WebIdentityToken": {token},
		"RoleSessionName": {session[:min(len(session), 64)]},
	}, nil)
}

// ownKey returns an access key of what this program runs as: the first that the
// environment tells of, or that of the machine.
func (o *Office) ownKey(ctx context.Context, region, sts string) (amazonKey, error) {
	file, role := o.Env("AWS_WEB_IDENTITY_TOKEN_FILE"), o.Env("AWS_ROLE_ARN")
	switch id, secret := o.Env("AWS_ACCESS_KEY_ID"), o.Env("AWS_SECRET_ACCESS_KEY"); {
	case id != "" && secret != "":
		return amazonKey{Amazon: Amazon{id, secret, o.Env("AWS_SESSION_TOKEN")}}, nil
	case file != "" && role != "":
		token, err := textIn(file)
		if err != nil {
			return amazonKey{}, err
		}
		return o.assume(ctx, region, sts, token, role, cmp.Or(o.Env("AWS_ROLE_SESSION_NAME"), "sane"))
	}
	c, stop := o.near()
	defer stop()
	if at := o.containerKeys(); at != "" {
		return o.containerKey(ctx, c, at)
	}
	if strings.EqualFold(o.Env("AWS_EC2_METADATA_DISABLED"), "true") {
		return amazonKey{}, denial(noAmazon)
	}
	k, err := o.machineKey(ctx, c)
	if err != nil {
		return k, denied{fmt.Errorf("%s; the machine's own can't be had: %w", noAmazon, err)}
	}
	return k, nil
}

const noAmazon = "AWS does not know it: give the controller's service account a role (IRSA, which sets AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or EKS Pod Identity) and start its pod again"

// containerKeys returns the URL at which EKS and ECS have keys for their pods, or
// "".
func (o *Office) containerKeys() string {
	if path := o.Env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); path != "" {
		return "http://169.254.170.2" + path
	}
	return o.Env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
}

func (o *Office) containerKey(ctx context.Context, c *http.Client, at string) (amazonKey, error) {
	token := o.Env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := o.Env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		var err error
		if token, err = textIn(file); err != nil {
			return amazonKey{}, err
		}
	}
	data, err := o.ask(ctx, c, http.MethodGet, at, "Authorization", token)
	if err != nil {
		return amazonKey{}, fmt.Errorf("ask for the keys of this pod: %w", err)
	}
	return readKey(data)
}

// machineKey returns the key of the role of the machine that we run on.
func (o *Office) machineKey(ctx context.Context, c *http.Client) (amazonKey, error) {
	base := strings.TrimSuffix(cmp.Or(o.Env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "http://169.254.169.254"), "/") + "/latest/"
	token, err := o.ask(ctx, c, http.MethodPut, base+"api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	if err != nil {
		return amazonKey{}, err
	}
	roles := base + "meta-data/iam/security-credentials/"
	names, err := o.ask(ctx, c, http.MethodGet, roles, "X-Aws-Ec2-Metadata-Token", string(token))
	if err != nil {
		return amazonKey{}, err
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(names)), "\n")
	data, err := o.ask(ctx, c, http.MethodGet, roles+url.PathEscape(role), "X-Aws-Ec2-Metadata-Token", string(token))
	if err != nil {
		return amazonKey{}, err
	}
	return readKey(data)
}

// readKey reads a key as this machine tells it.
func readKey(data []byte) (amazonKey, error) {
	var k struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if json.Unmarshal(data, &k) != nil || k.AccessKeyID == "" || k.SecretAccessKey == "" {
		return amazonKey{}, denial("the answer holds no access key")
	}
	return amazonKey{Amazon{k.AccessKeyID, k.SecretAccessKey, k.Token}, k.Expiration}, nil
}

// call makes a request of one of Amazon's services that speak JSON.
func (o *Office) callAmazon(ctx context.Context, who Amazon, r amazonCall, into any) error {
	var body []byte
	if r.target != "" {
		body = []byte("{}")
	}
	req, err := http.NewRequestWithContext(ctx, r.method, cmp.Or(o.Env(r.env), "https://"+r.host)+r.path, nil)
	if err != nil {
		return denial("where Amazon is asked is no URL")
	}
	if r.target != "" {
		req = withBody(req, string(body))
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", r.target)
	}
	who.Sign(req, body, r.region, r.service, o.Now())
	c, stop := o.client()
	defer stop()
	data, err := Send(c, req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", req.URL.Host, amazonWords(err))
	}
	if json.Unmarshal(data, into) != nil {
		return fmt.Errorf("ask %s: its answer can't be read", req.URL.Host)
	}
	return nil
}

// An amazonCall is what to ask, and where.
type amazonCall struct {
	service, region string // for the signature
	env             string // the variable that names another base of its URL
	host            string
	method, path    string
	target          string // of a service that is asked by POST; "" means that there is none
}
