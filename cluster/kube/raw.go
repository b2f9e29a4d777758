package kube

import (
	"bytes"
	"context"
	"encoding/json"
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

// Version returns the version of the server, such as "v1.34.1".
func (c *Cluster) Version(ctx context.Context) (string, error) {
	data, err := c.Raw(ctx, "/version")
	if err != nil {
		return "", err
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return "", fmt.Errorf("version of the server: %w", err)
	}
	return v.GitVersion, nil
}
