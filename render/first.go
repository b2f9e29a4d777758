package render

import (
	"context"
	"errors"
	"fmt"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
)

// ErrElsewhere is returned by a Renderer that leaves an input to others.
var ErrElsewhere = errors.New("not for this renderer")

// First returns a Renderer that asks each of the given ones in order, until
// one does not return [ErrElsewhere].
func First(renderers ...Renderer) Renderer { return first(renderers) }

type first []Renderer

func (f first) Render(ctx context.Context, in Input) ([]object.Object, error) {
	for _, r := range f {
		objects, err := r.Render(ctx, in)
		if !errors.Is(err, ErrElsewhere) {
			return objects, err
		}
	}
	return nil, fault.Input(fmt.Errorf("%s: nothing here knows how to render it", in.Recipe.Dir))
}
