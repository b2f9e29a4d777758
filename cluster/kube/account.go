package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// accountTokens last an hour, if the server has it so.
const accountTokens = 3600 // seconds

var serviceAccounts = object.Kind{Name: "ServiceAccount"}

// AccountToken returns a new token of a service account, for those who go by one
// of these names.
func (c *Cluster) AccountToken(ctx context.Context, namespace, name string, audiences []string) (token string, until time.Time, err error) {
	type spec struct {
		Audiences []string `json:"audiences"`
		Seconds   int      `json:"expirationSeconds"`
	}
	body, err := json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{"authentication.k8s.io/v1", "TokenRequest", spec{audiences, accountTokens}})
	if err != nil {
		return "", time.Time{}, err
	}
	id := object.ID{Kind: serviceAccounts, Namespace: namespace, Name: name}
	at := resource{plural: "serviceaccounts", namespaced: true}
	var data bytes.Buffer // which is not given back: it holds the token
	if err := c.wire.do(ctx, request{
		verb: "create", resource: at.String() + "/token", method: http.MethodPost, who: c.who,
		path: at.path("v1", namespace) + "/" + url.PathEscape(name) + "/token", contentType: "application/json", body: body,
	}, &data); err != nil {
		return "", time.Time{}, cluster.Refused("get a token of", id, err)
	}
	var answer struct {
		Status struct {
			Token string    `json:"token"`
			Until time.Time `json:"expirationTimestamp"`
		} `json:"status"`
	}
	if json.Unmarshal(data.Bytes(), &answer) != nil || answer.Status.Token == "" {
		return "", time.Time{}, cluster.Refused("get a token of", id, errors.New("there is none in the server's answer"))
	}
	return answer.Status.Token, answer.Status.Until, nil
}
