package git

import (
	"context"
	"fmt"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/source/web"
)

// cloudLogin returns p with that by which a cloud lets its identity in.
func (s *Source) cloudLogin(ctx context.Context, p place) (place, error) {
	at := p.url
	if s.alias != "" {
		at = s.alias
	}
	l, err := s.Office.By(p.access.Proxy).Git(ctx, p.access.Cloud, at)
	if err != nil && ctx.Err() != nil {
		return place{}, stopped(ctx)
	}
	if err != nil {
		return place{}, fmt.Errorf("log in: %w", web.CloudFailed(err))
	}
	a := &p.access
	a.Cloud, a.Username, a.Password, a.Bearer = cloud.Identity{}, l.User, l.Password, ""
	if l.User == "" {
		a.Password, a.Bearer = "", l.Password
	}
	return p, nil
}
