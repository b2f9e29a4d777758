package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// pageSize is how many objects are listed at a time.
const pageSize = 500

// List implements [cluster.Reader].
func (c *Cluster) List(ctx context.Context, sel cluster.Selection) iter.Seq2[object.Object, error] {
	return func(yield func(object.Object, error) bool) {
		next := ""
		for first := true; first || next != ""; first = false {
			var objects []object.Object // who asks for a list may take their time over each
			end, err := c.page(ctx, sel, next, func(o object.Object) bool { objects = append(objects, o); return true })
			if token := fresh(err); token != "" {
				next = token
				continue
			}
			if err != nil {
				yield(object.Object{}, c.refused("list", sel, err))
				return
			}
			for _, o := range objects {
				if !yield(o, nil) {
					return
				}
			}
			next = end.next
		}
	}
}

// fresh returns the token with which to go on listing after the snapshot
// that is listed has expired: what changed since may be missed.
func fresh(err error) string {
	if status, ok := err.(apierrors.APIStatus); ok && apierrors.IsResourceExpired(err) {
		return status.Status().Continue
	}
	return ""
}

// refused explains an error about many objects.
func (c *Cluster) refused(verb string, sel cluster.Selection, err error) *cluster.Error {
	refused := cluster.Refused(verb, object.ID{Kind: sel.Kind, Namespace: sel.Namespace, Name: sel.Name}, err)
	if refused.Err == cluster.ErrNoKind {
		c.kinds.drop(sel.Kind)
	}
	return refused
}

// An end is how a page of a list ends.
type end struct {
	version string // of the list
	next    string // token of the next page, or ""
}

// page tells each object of a page of a list as it comes, until each says that
// it is enough: then the error is errEnough.
func (c *Cluster) page(ctx context.Context, sel cluster.Selection, token string, each func(object.Object) bool) (e end, err error) {
	res, err := c.kinds.find(ctx, sel.Kind, "")
	if err != nil {
		return e, err
	}
	r := c.collection("list", res, sel)
	r.query.Set("limit", strconv.Itoa(pageSize))
	if token != "" {
		r.query.Set("continue", token)
	}
	answer, err := c.wire.pull(ctx, r)
	if err != nil {
		return e, err
	}
	defer answer.Close()
	if e, err = readPage(answer, shape{res.apiVersion(res.versions[0]), sel.Kind.Name, sel.Metadata}, each); err == errEnough {
		return e, err
	}
	return e, c.wire.explain(ctx, err)
}

// collection returns a request for the objects of a selection.
func (c *Cluster) collection(verb string, res resource, sel cluster.Selection) request {
	r := request{
		verb: verb, resource: res.String(), method: http.MethodGet, who: c.who,
		path: res.path(res.versions[0], sel.Namespace), query: url.Values{},
	}
	by := sel.Fields
	if sel.Name != "" {
		by = strings.TrimPrefix(by+","+fields.OneTermEqualSelector("metadata.name", sel.Name).String(), ",")
	}
	if by != "" {
		r.query.Set("fieldSelector", by)
	}
	if sel.Labels != "" {
		r.query.Set("labelSelector", sel.Labels)
	}
	if sel.Metadata {
		as := "PartialObjectMetadataList"
		if verb == "watch" {
			as = "PartialObjectMetadata"
		}
		r.accept = "application/json;as=" + as + ";g=meta.k8s.io;v=v1,application/json"
	}
	return r
}

// A shape is what objects of a list are to look like: their items do not say
// of what kind they are, or that they are metadata.
type shape struct {
	apiVersion, kind string
	metadata         bool
}

// object returns the object with the JSON form body, which it takes over.
func (s shape) object(body map[string]any) object.Object {
	if s.metadata {
		return object.Of(map[string]any{"apiVersion": s.apiVersion, "kind": s.kind, "metadata": body["metadata"]})
	}
	body["apiVersion"], body["kind"] = s.apiVersion, s.kind
	return object.Of(body)
}

// readPage reads a list item by item.
func readPage(r io.Reader, s shape, each func(object.Object) bool) (end, error) {
	var meta metav1.ListMeta
	v, done := valuesOf(r)
	defer done()
	item := func() error {
		data, err := v.value()
		if err != nil {
			return cut(err)
		}
		o, err := object.FromJSON(data)
		if err == nil && !each(s.object(o.Body())) {
			err = errEnough
		}
		return err
	}
	err := v.object(func(key string) error {
		if c, err := v.next(); key == `"items"` && err == nil && c == '[' {
			return v.array(item)
		}
		data, err := v.value()
		if err == nil && key == `"metadata"` {
			err = json.Unmarshal(data, &meta)
		}
		return cut(err)
	})
	if err != nil && err != errEnough {
		err = fmt.Errorf("%w: its list cannot be read: %w", cluster.ErrUnavailable, err)
	}
	return end{meta.ResourceVersion, meta.Continue}, err
}
