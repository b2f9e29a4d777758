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
			page, err := c.page(ctx, sel, next)
			if token := fresh(err); token != "" {
				next = token
				continue
			}
			if err != nil {
				yield(object.Object{}, c.refused("list", sel, err))
				return
			}
			for _, o := range page.objects {
				if !yield(o, nil) {
					return
				}
			}
			next = page.next
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

// A page is a part of a list.
type page struct {
	objects []object.Object
	version string // of the list
	next    string // token of the next page, or ""
}

func (c *Cluster) page(ctx context.Context, sel cluster.Selection, token string) (page, error) {
	res, err := c.kinds.find(ctx, sel.Kind, "")
	if err != nil {
		return page{}, err
	}
	r := c.collection("list", res, sel)
	r.query.Set("limit", strconv.Itoa(pageSize))
	if token != "" {
		r.query.Set("continue", token)
	}
	data := buffers.Get()
	defer buffers.Put(data)
	if err := c.wire.do(ctx, r, data); err != nil {
		return page{}, err
	}
	return readPage(data, shape{res.apiVersion(res.versions[0]), sel.Kind.Name, sel.Metadata})
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
func readPage(r io.Reader, s shape) (page, error) {
	var p page
	var raw json.RawMessage
	var meta metav1.ListMeta
	err := readFields(json.NewDecoder(r), func(dec *json.Decoder, key string) error {
		switch key {
		case "metadata":
			return dec.Decode(&meta)
		case "items":
			return readItems(dec, &raw, func() error {
				o, err := object.FromJSON(raw)
				if err == nil {
					p.objects = append(p.objects, s.object(o.Body()))
				}
				return err
			})
		}
		return dec.Decode(&raw)
	})
	p.version, p.next = meta.ResourceVersion, meta.Continue
	if err != nil {
		err = fmt.Errorf("%w: its list cannot be read: %w", cluster.ErrUnavailable, err)
	}
	return p, err
}

// readFields calls read for each key of an object, to read its value.
func readFields(dec *json.Decoder, read func(dec *json.Decoder, key string) error) error {
	if err := delim(dec, '{'); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err == nil {
			err = read(dec, fmt.Sprint(key))
		}
		if err != nil {
			return err
		}
	}
	return delim(dec, '}')
}

// readItems reads each element of an array, or null, into raw and calls read.
func readItems(dec *json.Decoder, raw *json.RawMessage, read func() error) error {
	t, err := dec.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("items: unexpected %v", t)
	}
	for dec.More() {
		err := dec.Decode(raw)
		if err == nil {
			err = read()
		}
		if err != nil {
			return err
		}
	}
	return delim(dec, ']')
}

func delim(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err == nil && t != want {
		err = fmt.Errorf("unexpected %v instead of %v", t, want)
	}
	return err
}
