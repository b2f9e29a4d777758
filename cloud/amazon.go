package cloud

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sane-gitops/sane/lazy"
)

// Amazon is an access key. All but the id is secret.
type Amazon struct {
	ID      string `yaml:"aws_access_key_id"`
	Secret  string `yaml:"aws_secret_access_key"`
	Session string `yaml:"aws_session_token"` // of a key that ends by itself; "" means of none
}

// ReadAmazon reads an access key in the form of Flux's sops.aws-kms.
func ReadAmazon(data string) (Amazon, error) {
	var a Amazon
	if yaml.Unmarshal([]byte(data), &a) != nil || a.ID == "" || a.Secret == "" {
		return a, errors.New("no access key: there must be YAML with aws_access_key_id and aws_secret_access_key")
	}
	return a, nil
}

// stamp is how Amazon writes times.
const stamp = "20060102T150405Z"

// Sign signs a request with that body, by version 4 of Amazon's scheme: its
// host, its path, its parameters, all of its headers and the time.
func (a Amazon) Sign(r *http.Request, body []byte, region, service string, now time.Time) {
	at := now.UTC().Format(stamp)
	r.Header.Set("X-Amz-Date", at)
	if a.Session != "" {
		r.Header.Set("X-Amz-Security-Token", a.Session)
	}
	names, lines := headers(r)
	request := strings.Join([]string{r.Method, pathOf(r.URL), queryOf(r.URL), lines, names, hash(body)}, "\n")
	scope := scopeOf(at, region, service)
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%x", amazonScheme, a.ID, scope, names, a.proof(at, scope, request)))
}

// presigned returns a URL that lets whoever has it make the request r within a
// minute, with no headers but those that r has.
func (a Amazon) presigned(r *http.Request, region, service string, now time.Time) string {
	at := now.UTC().Format(stamp)
	scope := scopeOf(at, region, service)
	names, lines := headers(r)
	u := *r.URL
	q := u.Query()
	q.Set("X-Amz-Algorithm", amazonScheme)
	q.Set("X-Amz-Credential", a.ID+"/"+scope)
	q.Set("X-Amz-Date", at)
	q.Set("X-Amz-Expires", "60")
	q.Set("X-Amz-SignedHeaders", names)
	if a.Session != "" {
		q.Set("X-Amz-Security-Token", a.Session)
	}
	u.RawQuery = q.Encode()
	request := strings.Join([]string{r.Method, pathOf(&u), queryOf(&u), lines, names, hash(nil)}, "\n")
	u.RawQuery = queryOf(&u) + "&X-Amz-Signature=" + hex.EncodeToString(a.proof(at, scope, request))
	return u.String()
}

const amazonScheme = "AWS4-HMAC-SHA256"

// scopeOf returns what a signature is good for.
func scopeOf(at, region, service string) string {
	return strings.Join([]string{at[:8], region, service, "aws4_request"}, "/")
}

// proof returns the signature of a request in the form in which it is signed.
func (a Amazon) proof(at, scope, request string) []byte {
	key := []byte("AWS4" + a.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	return mac(key, strings.Join([]string{amazonScheme, at, scope, hash([]byte(request))}, "\n"))
}

// headers returns the names of a request's headers, and the headers as they are
// signed.
func headers(r *http.Request) (names, lines string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	values := map[string]string{"host": host}
	for name, v := range r.Header {
		values[strings.ToLower(name)] = strings.TrimSpace(strings.Join(v, ","))
	}
	var all []string
	for name := range values {
		all = append(all, name)
	}
	slices.Sort(all)
	for _, name := range all {
		lines += name + ":" + values[name] + "\n"
	}
	return strings.Join(all, ";"), lines
}

func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

func queryOf(u *url.URL) string { return strings.ReplaceAll(u.Query().Encode(), "+", "%20") }

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

var amazonRegion = lazy.Compile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)

// AmazonHost returns where Amazon has a service in a region, of one of its
// partitions: "aws", "aws-cn", "aws-us-gov" and "aws-eusc".
func AmazonHost(service, partition, region string) (string, error) {
	if !amazonRegion.MatchString(region) {
		return "", fmt.Errorf("%q is no region of Amazon's", region)
	}
	switch partition {
	case "aws", "aws-us-gov":
		return service + "." + region + ".amazonaws.com", nil
	case "aws-cn":
		return service + "." + region + ".amazonaws.com.cn", nil
	case "aws-eusc":
		return service + "." + region + ".amazonaws.eu", nil
	}
	return "", fmt.Errorf("%q is no partition of Amazon's that is known", partition)
}

// Assume returns an access key of a role, for an hour, from the STS at host.
func (a Amazon) Assume(ctx context.Context, c *http.Client, host, region, role string, now time.Time) (Amazon, error) {
	form := url.Values{"Action": {"AssumeRole"}, "RoleArn": {role}, "RoleSessionName": {"sane"}}
	k, err := askSTS(ctx, c, "https://"+host+"/", form, func(r *http.Request, body []byte) { a.Sign(r, body, region, "sts", now) })
	return k.Amazon, err
}

// An amazonKey is an access key and when it ends.
type amazonKey struct {
	Amazon
	until time.Time
}

// askSTS asks the STS at a URL for an access key of a role. sign adds what lets
// us in, if it is not nil.
func askSTS(ctx context.Context, c *http.Client, at string, form url.Values, sign func(r *http.Request, body []byte)) (amazonKey, error) {
	role := form.Get("RoleArn")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return amazonKey{}, denial("where Amazon's STS is is no URL")
	}
	form.Set("Version", "2011-06-15")
	body := form.Encode()
	r = withBody(r, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if sign != nil {
		sign(r, []byte(body))
	}
	data, err := Send(c, r)
	if err != nil {
		return amazonKey{}, fmt.Errorf("assume the role %s: %w", role, amazonWords(err))
	}
	type credentials struct {
		ID      string    `xml:"AccessKeyId"`
		Secret  string    `xml:"SecretAccessKey"`
		Session string    `xml:"SessionToken"`
		Until   time.Time `xml:"Expiration"`
	}
	var answer struct {
		Own credentials `xml:"AssumeRoleResult>Credentials"`
		Web credentials `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	err = xml.Unmarshal(data, &answer)
	got := cmp.Or(answer.Own, answer.Web)
	if err != nil || got.ID == "" || got.Secret == "" {
		return amazonKey{}, fmt.Errorf("assume the role %s: the answer holds no access key", role)
	}
	return amazonKey{Amazon{got.ID, got.Secret, got.Session}, got.Until}, nil
}

// amazonWords returns err with what Amazon says of it, in XML or in JSON.
func amazonWords(err error) error {
	r, ok := refusalIn(err)
	if !ok {
		return err
	}
	var said struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(r.Body, &said) == nil && said.Code != "" {
		return fmt.Errorf("%w: %s", err, Words(said.Code+": "+said.Message))
	}
	var told struct {
		Type    string `json:"__type"`
		Message string
	}
	if json.Unmarshal(r.Body, &told) == nil && told.Type+told.Message != "" {
		return fmt.Errorf("%w: %s", err, Words(strings.Trim(told.Type+": "+told.Message, ": ")))
	}
	return err
}
