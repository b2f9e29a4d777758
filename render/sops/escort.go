package sops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// An Escort renders with another Renderer, which gets passes of an office: for
// those who the facts say ask, and for nobody else.
type Escort struct {
	Next   render.Renderer
	Office *cloud.Office
}

// Render implements [render.Renderer].
func (e Escort) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	if in.Recipe.Decrypt != nil && in.Facts != nil {
		in.Passes = passes{in.Facts, e.Office}
	}
	return e.Next.Render(ctx, in)
}

type passes struct {
	facts  render.Facts
	office *cloud.Office
}

// Pass implements [render.Passes].
func (p passes) Pass(ctx context.Context, at, where string) (string, error) {
	f, ok, err := p.facts.Fact(render.As(at))
	if err != nil {
		return "", err
	}
	var who render.Claimant
	if !ok || json.Unmarshal([]byte(f.Value), &who) != nil {
		return "", errors.New("nobody is said to ask there")
	}
	if who.Why != "" {
		return "", errors.New(who.Why)
	}
	switch at {
	case cloud.AWS:
		key, _, err := p.office.Amazon(ctx, who.Identity, where, "")
		if err != nil {
			return "", err
		}
		data, err := json.Marshal(key)
		return string(data), err
	case cloud.Microsoft:
		return p.office.Token(ctx, who.Identity, where+"/.default")
	case cloud.GCP:
		return p.office.Token(ctx, who.Identity, "")
	}
	path := who.Logins[where]
	if path == "" {
		return "", fmt.Errorf("the ConfigMap of --sops-vault-configmap does not say where to log in at '%.200s'", where)
	}
	return p.office.Vault(ctx, who.Identity, where, path)
}
