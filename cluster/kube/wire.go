package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/delay"
)

// A wire carries requests to an API server.
type wire struct {
	base    string // URL without a slash at its end
	http    *http.Client
	timeout time.Duration
	observe func(verb, resource string, code int, d time.Duration)

	once  sync.Once                               // sets fairness
	limit atomic.Pointer[flowcontrol.RateLimiter] // nil if the server shares itself out fairly
	sleep func(context.Context, time.Duration) bool
}

// A request is one question to the server.
type request struct {
	verb, resource string // for the observer
	subresource    string
	method, path   string
	query          url.Values
	accept         string // "" means JSON
	contentType    string
	body           []byte
	who            cluster.Identity // to impersonate
	patient        bool             // the answer may begin whenever it does
}

func newWire(config *rest.Config, opts Options) (*wire, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // watches last; requests have a timeout of their own
	if config.UserAgent = opts.UserAgent; config.UserAgent == "" {
		config.UserAgent = "sane"
	}
	base, _, err := rest.DefaultServerURL(config.Host, "", schema.GroupVersion{}, rest.IsConfigTransportTLS(*config))
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	w := &wire{
		base: strings.TrimRight(base.String(), "/"), http: client,
		timeout: opts.Timeout, observe: opts.Observe, sleep: delay.For,
	}
	if w.timeout == 0 {
		w.timeout = 30 * time.Second
	}
	return w, nil
}

// retries is how often a request is repeated when the server asks to wait.
const retries = 4

// do makes a request and reads the answer into data.
func (w *wire) do(ctx context.Context, r request, data *bytes.Buffer) error {
	return w.repeat(ctx, func() error { return w.try(ctx, r, data) })
}

// repeat calls try again as long as the server asks to wait.
func (w *wire) repeat(ctx context.Context, try func() error) error {
	for n := 0; ; n++ {
		err := try()
		wait, ok := retryAfter(err)
		if !ok || n == retries || !w.sleep(ctx, wait) {
			return w.explain(ctx, err)
		}
	}
}

// try makes a request once.
func (w *wire) try(ctx context.Context, r request, data *bytes.Buffer) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	resp, err := w.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data.Reset()
	_, err = data.ReadFrom(resp.Body)
	return err
}

// stream makes a request whose answer goes on until ctx is done. Only the
// beginning of the answer has a timeout, unless the request is a patient one.
func (w *wire) stream(ctx context.Context, r request) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(w.timeout, cancel)
	if r.patient {
		late.Stop()
	}
	resp, err := w.send(ctx, r)
	if !late.Stop() && err == nil && !r.patient {
		resp.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return body{resp.Body, cancel}, nil
}

// pull makes a request whose answer is read as it comes. The timeout is one for
// its beginning, and for each next part of it.
func (w *wire) pull(ctx context.Context, r request) (answer io.ReadCloser, err error) {
	err = w.repeat(ctx, func() (err error) {
		answer, err = w.stream(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(w.timeout, func() { answer.Close() })
	late.Stop()
	return &parts{answer, late, w.timeout}, nil
}

// parts is an answer of which each part has a timeout.
type parts struct {
	io.ReadCloser
	late    *time.Timer
	timeout time.Duration
}

func (p *parts) Read(data []byte) (int, error) {
	p.late.Reset(p.timeout)
	n, err := p.ReadCloser.Read(data)
	if !p.late.Stop() && err != nil {
		err = context.DeadlineExceeded
	}
	return n, err
}

func (p *parts) Close() error {
	p.late.Stop()
	return p.ReadCloser.Close()
}

// A body is an answer that frees its context when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// send makes a request and returns an answer that is no error.
func (w *wire) send(ctx context.Context, r request) (*http.Response, error) {
	if limit := w.limit.Load(); limit != nil {
		if err := (*limit).Wait(ctx); err != nil {
			return nil, err
		}
	}
	req, err := w.request(ctx, r)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	resp, err := w.http.Do(req)
	if w.observe != nil {
		w.observe(r.verb, r.resource, code(resp), time.Since(start))
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusUnauthorized { // of whom the server has not come to think
		w.once.Do(func() { w.share(resp) })
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, failure(resp)
}

func code(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}

func (w *wire) request(ctx context.Context, r request) (*http.Request, error) {
	target := w.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	if req.Header.Set("Accept", "application/json"); r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	impersonate(req.Header, r.who)
	return req, nil
}

// share limits the requests from here if the server does not share itself out
// among its clients, which it tells in every answer (API priority and fairness).
func (w *wire) share(resp *http.Response) {
	if resp.Header.Get("X-Kubernetes-Pf-Flowschema-Uid") != "" {
		return
	}
	limit := flowcontrol.NewTokenBucketRateLimiter(50, 300)
	w.limit.Store(&limit)
}

// maxErrorBody is how much of an answer that is an error is read.
const maxErrorBody = 1 << 20

// failure returns the API status in an answer, or one made of what there is.
func failure(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var s metav1.Status
	if err := json.Unmarshal(data, &s); err != nil || s.Kind != "Status" {
		s = metav1.Status{Message: resp.Status}
		if text := strings.TrimSpace(string(data)); text != "" && len(text) < 200 && !strings.Contains(text, "<") {
			s.Message = text
		}
	}
	if s.Code == 0 {
		s.Code = int32(resp.StatusCode)
	}
	if s.Reason == metav1.StatusReasonUnknown && resp.StatusCode == http.StatusTooManyRequests {
		s.Reason = metav1.StatusReasonTooManyRequests
	}
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		if s.Details == nil {
			s.Details = &metav1.StatusDetails{}
		}
		s.Details.RetryAfterSeconds = int32(after)
	}
	return &apierrors.StatusError{ErrStatus: s}
}

// maxWait bounds what a server may ask to wait.
const maxWait = 30 * time.Second

// retryAfter returns how long to wait before a request is made again, if err
// is such that it should be.
func retryAfter(err error) (time.Duration, bool) {
	if !apierrors.IsTooManyRequests(err) {
		return 0, false
	}
	seconds, _ := apierrors.SuggestsClientDelay(err)
	return jitter(min(maxWait, max(time.Second, time.Duration(seconds)*time.Second))), true
}

// jitter returns d or up to a fifth more.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/5+1) }

// explain returns err without what says nothing: that the caller has gone is
// said as such, and the URL is left out.
func (w *wire) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: no answer within %s", cluster.ErrUnavailable, w.timeout)
	}
	return err
}

// buffers keeps buffers for answers, except big ones.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() *bytes.Buffer {
	if b, ok := p.pool.Get().(*bytes.Buffer); ok {
		return b
	}
	return new(bytes.Buffer)
}

func (p *bufferPool) Put(b *bytes.Buffer) {
	if b.Cap() <= 1<<18 {
		p.pool.Put(b)
	}
}
