package cloud

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
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
	request := strings.Join([]string{
		r.Method, pathOf(r.URL), strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"), lines, names, hash(body),
	}, "\n")
	scope := strings.Join([]string{at[:8], region, service, "aws4_request"}, "/")
	key := []byte("AWS4" + a.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	proof := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", at, scope, hash([]byte(request))}, "\n"))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", a.ID, scope, names, proof))
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

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

var region = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)

// AmazonHost returns where Amazon has a service in a region, of one of its
// partitions: "aws", "aws-cn" and "aws-us-gov".
func AmazonHost(service, partition, in string) (string, error) {
	if !region.MatchString(in) {
		return "", fmt.Errorf("%q is no region of Amazon's", in)
	}
	switch partition {
	case "aws", "aws-us-gov":
		return service + "." + in + ".amazonaws.com", nil
	case "aws-cn":
		return service + "." + in + ".amazonaws.com.cn", nil
	}
	return "", fmt.Errorf("%q is no partition of Amazon's that is known", partition)
}

// Assume returns an access key of a role, for an hour, from the STS at host.
func (a Amazon) Assume(ctx context.Context, c *http.Client, host, region, role string, now time.Time) (Amazon, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/", nil)
	if err != nil {
		return Amazon{}, err
	}
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {"sane"}}.Encode()
	r = withBody(r, form)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	a.Sign(r, []byte(form), region, "sts", now)
	data, err := Send(c, r)
	if err != nil {
		return Amazon{}, fmt.Errorf("assume the role %s: %w", role, amazonWords(err))
	}
	var answer struct {
		ID      string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		Secret  string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		Session string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	}
	if xml.Unmarshal(data, &answer) != nil || answer.ID == "" || answer.Secret == "" {
		return Amazon{}, fmt.Errorf("assume the role %s: the answer holds no access key", role)
	}
	return Amazon(answer), nil
}

// amazonWords returns err with what STS says of it.
func amazonWords(err error) error {
	var r *Refusal
	var said struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if errors.As(err, &r) && xml.Unmarshal(r.Body, &said) == nil && said.Code != "" {
		return fmt.Errorf("%w: %s", err, Words(said.Code+": "+said.Message))
	}
	return err
}
