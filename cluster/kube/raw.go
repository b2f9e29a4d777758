package kube

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
)

// Raw returns what the server answers at a path that is no resource's, such as
// "/metrics" or "/version".
func (c *Cluster) Raw(ctx context.Context, path string) ([]byte, error) {
	var data bytes.Buffer
	r := request{verb: "get", method: http.MethodGet, path: path, accept: "*/*", who: c.who}
	if err := c.wire.do(ctx, r, &data); err != nil {
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	return data.Bytes(), nil
}
