package bucket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/source"
)

// A store is where a bucket's objects are, as its server's API has it. It is safe
// for use by several goroutines at once.
type store interface {
	// list returns what is in a bucket.
	list(ctx context.Context, p place) (index, error)

	// open returns an object if it is still the one in the index.
	open(ctx context.Context, p place, e entry) (io.ReadCloser, error)

	// check asks whether open would return the object, without its content.
	check(ctx context.Context, p place, e entry) error
}

// A rest is a store that is asked by plain HTTP.
type rest struct {
	client *http.Client

	// sign adds to a request what lets us in. It is nil if everybody gets in.
	sign func(r *http.Request) error

	// refused is told that we were not let in. It may be nil.
	refused func()
}

// A refusal is an answer that is none of those that are hoped for.
type refusal struct {
	status int
	words  string // what the server says of it
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("the server answers %d %s", r.status, http.StatusText(r.status))
	if r.words != "" {
		text += ": " + r.words
	}
	return text
}

// tries is how often a server is asked that is too busy for a moment.
const tries = 3

// get asks for what is at a URL.
func (c *rest) get(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	return c.ask(ctx, http.MethodGet, u, header)
}

func (c *rest) ask(ctx context.Context, method string, u *url.URL, header http.Header) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := c.once(ctx, method, u, header)
		if no, ok := err.(*refusal); n == tries || !ok || no.status != http.StatusServiceUnavailable && no.status != http.StatusTooManyRequests && no.status != http.StatusUnauthorized {
			return resp, err
		}
		select {
		case <-time.After(time.Duration(n) * 100 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *rest) once(ctx context.Context, method string, u *url.URL, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, fail(source.ErrURL, "the endpoint, the bucket and the object's key make no URL")
	}
	for name, v := range header {
		r.Header[name] = v
	}
	r.Header.Set("User-Agent", "sane")
	if c.sign != nil {
		if err := c.sign(r); err != nil {
			return nil, err
		}
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized && c.refused != nil {
		c.refused()
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what can't be read says nothing
	return nil, &refusal{resp.StatusCode, cloud.Words(said(body))}
}

// said returns what a server says of a refusal, in XML or in JSON.
func said(body []byte) string {
	var x struct {
		Code    string
		Message string
	}
	if xml.Unmarshal(body, &x) == nil && x.Code != "" {
		message, _, _ := strings.Cut(x.Message, "\n") // what comes then is for those who ask for help
		return x.Code + ": " + message
	}
	var j struct{ Error struct{ Message string } }
	_ = json.Unmarshal(body, &j) // if it is anything else, it says nothing
	return j.Error.Message
}

// maxPage bounds one page of a listing, in bytes.
const maxPage = 64 << 20

// read reads all of a page, whatever the error of asking for it.
func read(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err == nil && len(data) > maxPage {
		err = fail(source.ErrContent, "a page of the listing has more than %d bytes", maxPage)
	}
	return data, err
}

// opened returns what was asked for of an object.
func opened(e entry, resp *http.Response, err error) (io.ReadCloser, error) {
	no, ok := err.(*refusal)
	switch {
	case ok && (no.status == http.StatusPreconditionFailed || no.status == http.StatusNotFound):
		return nil, changed(e)
	case err != nil:
		return nil, fmt.Errorf("object %q: %w", e.key, err)
	}
	return resp.Body, nil
}

// closed returns why there is nothing to be read, if that is so.
func closed(body io.ReadCloser, err error) error {
	if err == nil {
		body.Close()
	}
	return err
}

// A blobs is the API of Azure's Blob Storage.
type blobs struct {
	rest
	sas url.Values // what lets in whoever has it; nil means none
}

const blobVersion = "2021-12-02"

// at returns the URL of a container, or of a blob in it.
func (b *blobs) at(p place, key string) (*url.URL, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, fail(source.ErrURL, "the endpoint is no URL")
	}
	u = u.JoinPath(url.PathEscape(p.bucket))
	if key != "" { // whose slashes are a part of its name
		u.Path += "/" + key
		u.RawPath = ""
	}
	q := u.Query()
	for name, v := range b.sas {
		q[name] = v
	}
	u.RawQuery = q.Encode()
	return u, nil
}

func (b *blobs) header() http.Header { return http.Header{"X-Ms-Version": {blobVersion}} }

func (b *blobs) list(ctx context.Context, p place) (index, error) {
	var all index
	for marker := ""; ; {
		u, err := b.at(p, "")
		if err != nil {
			return nil, err
		}
		q := u.Query()
		q.Set("restype", "container")
		q.Set("comp", "list")
		if p.prefix != "" {
			q.Set("prefix", p.prefix)
		}
		if marker != "" {
			q.Set("marker", marker)
		}
		u.RawQuery = q.Encode()
		data, err := read(b.get(ctx, u, b.header()))
		if err != nil {
			return nil, err
		}
		var page struct {
			Blobs []struct {
				Name string
				ETag string `xml:"Properties>Etag"`
				Size int64  `xml:"Properties>Content-Length"`
			} `xml:"Blobs>Blob"`
			Next string `xml:"NextMarker"`
		}
		if xml.Unmarshal(data, &page) != nil {
			return nil, fail(source.ErrNetwork, "the server's listing can't be read")
		}
		for _, o := range page.Blobs {
			if len(all) == maxObjects {
				return nil, tooMany()
			}
			tag := strings.Trim(o.ETag, `"`)
			all = append(all, entry{key: o.Name, tag: fmt.Sprintf("%x", tag), size: o.Size, generation: tag}) // as Flux has it
		}
		if marker = page.Next; marker == "" {
			return all, nil
		}
	}
}

func (b *blobs) open(ctx context.Context, p place, e entry) (io.ReadCloser, error) {
	return b.object(ctx, http.MethodGet, p, e)
}

func (b *blobs) check(ctx context.Context, p place, e entry) error {
	return closed(b.object(ctx, http.MethodHead, p, e))
}

func (b *blobs) object(ctx context.Context, method string, p place, e entry) (io.ReadCloser, error) {
	u, err := b.at(p, e.key)
	if err != nil {
		return nil, err
	}
	h := b.header()
	h.Set("If-Match", `"`+e.generation+`"`)
	resp, err := b.ask(ctx, method, u, h)
	return opened(e, resp, err)
}

// A sharedKey is that of an account of Azure's storage.
type sharedKey struct {
	account string
	key     []byte
	now     func() time.Time
}

// newSharedKey reads a key of the account that an endpoint is of.
func newSharedKey(endpoint, key string, now func() time.Time) (*sharedKey, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fail(source.ErrURL, "the endpoint is no URL")
	}
	account, _, ok := strings.Cut(u.Hostname(), ".")
	if first := strings.Split(strings.Trim(u.Path, "/"), "/")[0]; first != "" { // as those have it that stand in for Azure
		account, ok = first, true
	}
	if !ok {
		return nil, fail(source.ErrURL, "the endpoint does not name the account that accountKey is of: it must be one such as https://ACCOUNT.blob.core.windows.net")
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	if err != nil {
		return nil, fail(source.ErrAuth, "accountKey is not base64")
	}
	return &sharedKey{account, data, now}, nil
}

// sign signs a request by Azure's scheme SharedKey.
func (k *sharedKey) sign(r *http.Request) error {
	r.Header.Set("X-Ms-Date", k.now().UTC().Format(http.TimeFormat))
	lines := []string{r.Method}
	for _, name := range []string{"Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
		"If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"} {
		lines = append(lines, r.Header.Get(name))
	}
	var own []string
	for name, v := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			own = append(own, name+":"+strings.Join(v, ","))
		}
	}
	slices.Sort(own)
	resource := "/" + k.account + r.URL.EscapedPath()
	q := r.URL.Query()
	names := make([]string, 0, len(q))
	for name := range q {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		slices.Sort(q[name])
		resource += "\n" + strings.ToLower(name) + ":" + strings.Join(q[name], ",")
	}
	h := hmac.New(sha256.New, k.key)
	fmt.Fprint(h, strings.Join(slices.Concat(lines, own, []string{resource}), "\n"))
	r.Header.Set("Authorization", "SharedKey "+k.account+":"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return nil
}

// A storage is the JSON API of Google's Cloud Storage.
type storage struct{ rest }

func (g *storage) at(p place, steps string, q url.Values) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(p.URL, "/") + "/storage/v1/b/" + url.PathEscape(p.bucket) + "/o" + steps + "?" + q.Encode())
	if err != nil {
		return nil, fail(source.ErrURL, "the endpoint is no URL")
	}
	return u, nil
}

func (g *storage) list(ctx context.Context, p place) (index, error) {
	var all index
	for token := ""; ; {
		q := url.Values{"fields": {"nextPageToken,items(name,etag,generation,size)"}}
		if p.prefix != "" {
			q.Set("prefix", p.prefix)
		}
		if token != "" {
			q.Set("pageToken", token)
		}
		u, err := g.at(p, "", q)
		if err != nil {
			return nil, err
		}
		data, err := read(g.get(ctx, u, nil))
		if err != nil {
			return nil, err
		}
		var page struct {
			Next  string `json:"nextPageToken"`
			Items []struct{ Name, ETag, Generation, Size string }
		}
		if json.Unmarshal(data, &page) != nil {
			return nil, fail(source.ErrNetwork, "the server's listing can't be read")
		}
		for _, o := range page.Items {
			size, err := strconv.ParseInt(o.Size, 10, 64)
			if err != nil {
				return nil, fail(source.ErrNetwork, "the server's listing can't be read: object %q has no size", o.Name)
			}
			if len(all) == maxObjects {
				return nil, tooMany()
			}
			all = append(all, entry{key: o.Name, tag: o.ETag, size: size, generation: o.Generation})
		}
		if token = page.Next; token == "" {
			return all, nil
		}
	}
}

func (g *storage) open(ctx context.Context, p place, e entry) (io.ReadCloser, error) {
	return g.object(ctx, p, e, url.Values{"alt": {"media"}})
}

// check asks for what is known of the object: it takes the same right.
func (g *storage) check(ctx context.Context, p place, e entry) error {
	return closed(g.object(ctx, p, e, url.Values{"fields": {"generation"}}))
}

func (g *storage) object(ctx context.Context, p place, e entry, q url.Values) (io.ReadCloser, error) {
	q.Set("ifGenerationMatch", e.generation)
	u, err := g.at(p, "/"+url.PathEscape(e.key), q)
	if err != nil {
		return nil, err
	}
	resp, err := g.get(ctx, u, nil)
	return opened(e, resp, err)
}

func tooMany() error {
	return fail(source.ErrContent, "there are more than %d objects in it: set spec.prefix", maxObjects)
}
