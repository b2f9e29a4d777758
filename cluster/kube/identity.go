package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// impersonate says in h in whose name a request is made.
func impersonate(h http.Header, who cluster.Identity) {
	if who.User == "" {
		return
	}
	h.Set("Impersonate-User", who.User)
	for _, g := range who.Groups {
		h.Add("Impersonate-Group", g)
	}
	for key, values := range who.Extra {
		for _, v := range values {
			h.Add("Impersonate-Extra-"+escape(key), v)
		}
	}
}

// escape returns a key with all that can't be in the name of a header as the
// server decodes it.
func escape(key string) string {
	return strings.ReplaceAll(url.QueryEscape(key), "+", "%20")
}

// May implements [cluster.Cluster].
func (c *Cluster) May(ctx context.Context, d cluster.Deed) (bool, error) {
	res, err := c.kinds.find(ctx, d.Object.Kind, "")
	if err != nil {
		return false, c.unanswered(d, err)
	}
	ask := authorization.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorization.SchemeGroupVersion.String(), Kind: "SelfSubjectAccessReview"},
		Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
			Verb: d.Verb, Group: res.group, Resource: res.plural, Subresource: d.Subresource,
			Namespace: d.Object.Namespace, Name: d.Object.Name,
		}},
	}
	err = c.review(ctx, authorization.SchemeGroupVersion.String(), "selfsubjectaccessreviews", &ask)
	if err != nil {
		return false, c.unanswered(d, err)
	}
	return ask.Status.Allowed, nil
}

func (c *Cluster) unanswered(d cluster.Deed, err error) error {
	return cluster.Refused("ask for the right to "+d.Verb, d.Object, err)
}

// Review asks the server whose a bearer token is. That it is nobody's, or not
// any more, is [cluster.ErrForbidden].
func (c *Cluster) Review(ctx context.Context, token string) (cluster.Identity, error) {
	kind := object.ID{Kind: object.Kind{Group: authentication.GroupName, Name: "TokenReview"}}
	ask := authentication.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authentication.SchemeGroupVersion.String(), Kind: "TokenReview"},
		Spec:     authentication.TokenReviewSpec{Token: token},
	}
	if err := c.review(ctx, authentication.SchemeGroupVersion.String(), "tokenreviews", &ask); err != nil {
		return cluster.Identity{}, cluster.Refused("create", kind, err)
	}
	u := ask.Status.User
	if !ask.Status.Authenticated || u.Username == "" {
		return cluster.Identity{}, fmt.Errorf("%w: the server does not accept the token", cluster.ErrForbidden)
	}
	who := cluster.Identity{User: u.Username, Groups: u.Groups}
	for key, values := range u.Extra {
		if who.Extra == nil {
			who.Extra = make(map[string][]string)
		}
		who.Extra[key] = values
	}
	return who, nil
}

// review puts a question to the server that is asked by creating an object, and
// reads the answer into the same.
func (c *Cluster) review(ctx context.Context, version, plural string, ask any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	group, _, _ := strings.Cut(version, "/")
	r := request{
		verb: "create", resource: plural + "." + group, method: http.MethodPost, path: "/apis/" + version + "/" + plural,
		contentType: "application/json", body: body, who: c.who,
	}
	var data bytes.Buffer
	if err := c.wire.do(ctx, r, &data); err != nil {
		return err
	}
	return json.Unmarshal(data.Bytes(), ask)
}
