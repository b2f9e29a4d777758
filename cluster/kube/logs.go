package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// Logs implements [cluster.Cluster].
func (c *Cluster) Logs(ctx context.Context, pod object.ID, opts cluster.LogOptions) (io.ReadCloser, error) {
	stream, err := c.logs(ctx, pod, opts)
	if err == nil {
		return stream, nil
	}
	refused := cluster.Refused("read log of", pod, err)
	if refused.Err == cluster.ErrUnavailable && apierrors.IsInternalError(err) { // it is the node that can't be reached
		refused.Why = fmt.Sprintf("its node does not give it: %s", refused.Why)
	}
	return nil, refused
}

func (c *Cluster) logs(ctx context.Context, pod object.ID, opts cluster.LogOptions) (io.ReadCloser, error) {
	res, err := c.kinds.find(ctx, pod.Kind, "")
	if err != nil {
		return nil, err
	}
	r := request{
		verb: "get", resource: res.String(), method: http.MethodGet, who: c.who, accept: "*/*",
		path:  res.path(res.versions[0], pod.Namespace) + "/" + url.PathEscape(pod.Name) + "/log",
		query: asked(opts),
		// The node says nothing, not even that there is a log, before the
		// container says something.
		patient: opts.Follow,
	}
	stream, err := c.wire.stream(ctx, r)
	return stream, c.wire.explain(ctx, err)
}

func asked(opts cluster.LogOptions) url.Values {
	q := url.Values{}
	set := func(key, value string, is bool) {
		if is {
			q.Set(key, value)
		}
	}
	set("container", opts.Container, opts.Container != "")
	set("follow", "true", opts.Follow)
	set("previous", "true", opts.Previous)
	set("timestamps", "true", opts.Timestamps)
	set("sinceTime", opts.Since.UTC().Format(time.RFC3339), !opts.Since.IsZero())
	set("tailLines", strconv.Itoa(opts.Tail), opts.Tail > 0)
	set("limitBytes", strconv.FormatInt(opts.Limit, 10), opts.Limit > 0)
	return q
}
