// Package substitute puts values for the names of variables in what other
// renderers have built.
package substitute

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// A Renderer renders with another one and then, if the recipe asks for it,
// puts values into the objects where they say ${name}. Values are the facts
// called [render.Var]. The syntax is that of bash, as far as Flux has it.
//
// It is the YAML form of an object that is written anew, and read again, so
// that "replicas: ${n}" becomes a number. What the overlay says of labels and
// annotations of all objects is not substituted, and outranks what is.
type Renderer struct {
	Next render.Renderer
}

// Render implements [render.Renderer].
func (r Renderer) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	step := in.Recipe.Substitute
	if step == nil {
		return r.Next.Render(ctx, in)
	}
	decrypted := in.Recipe.Decrypt != nil
	labels, annotations := in.Recipe.Overlay.Labels, in.Recipe.Overlay.Annotations
	in.Recipe.Overlay.Labels, in.Recipe.Overlay.Annotations = nil, nil
	in.Recipe.Substitute = nil
	objects, err := r.Next.Render(ctx, in)
	if err != nil {
		return nil, err
	}
	out := make([]object.Object, len(objects))
	var errs []error
	for i, o := range objects {
		known := render.Secrets(o)
		o, file := render.From(o)
		if !step.Unless.On(o) {
			o, err = substitute(ctx, o, values{facts: in.Facts, lax: step.Lax, hide: decrypted || isSecret(o)})
			if err != nil && !fault.IsInput(err) {
				return nil, err
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", file, err))
			}
		}
		o = o.WithLabels(labels).WithAnnotations(annotations)
		out[i] = render.WithSecrets(render.WithFrom(o, file), known)
	}
	if len(errs) == 0 {
		errs = twice(out)
	}
	return out, fault.Input(errors.Join(errs...))
}

func isSecret(o object.Object) bool { return o.ID().Kind == object.Kind{Name: "Secret"} }

// twice returns an error for each object that has become another one.
func twice(objects []object.Object) (errs []error) {
	seen := make(map[object.ID]string, len(objects))
	for _, o := range objects {
		_, file := render.From(o)
		id := o.ID()
		if where, ok := seen[id]; ok {
			errs = append(errs, fmt.Errorf("%s: with its variables, %s is already in %s", file, id, where))
		}
		seen[id] = file
	}
	return errs
}

// substitute returns o with the values of its variables. The error names o, and
// nothing that is secret.
func substitute(ctx context.Context, o object.Object, v values) (object.Object, error) {
	data := o.JSON()
	if !hasVariables(string(data)) {
		return o, nil
	}
	text, err := yaml.JSONToYAML(data)
	if err != nil {
		return o, fault.Input(fmt.Errorf("%s: %w", o, err))
	}
	out, err := expand(ctx, string(text), &v)
	switch {
	case v.err != nil:
		return o, v.err
	case err != nil && ctx.Err() != nil:
		return o, err
	case err != nil:
		return o, fault.Input(fmt.Errorf("%s: substitute variables: %w", o, err))
	}
	now, err := read([]byte(out))
	if err != nil && (v.secret || v.hide) {
		err = hush(err)
	}
	if err != nil {
		return o, fault.Input(fmt.Errorf("%s: with its variables it can't be read: %w", o, err))
	}
	if v.secret {
		now = render.WithSecrets(now, secrets(ctx, string(text), v, now))
	}
	return now, nil
}

func read(text []byte) (object.Object, error) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return object.Object{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	o, err := object.FromJSON(data)
	if err == nil {
		err = o.Check()
	}
	return o, err
}

var line = lazy.Compile(`\bline \d+`)

// hush returns an error that says where err is, and nothing of what is there.
func hush(err error) error {
	where := line.FindString(err.Error())
	if where == "" {
		return errors.New("why is not shown: it may tell the value of a Secret")
	}
	return fmt.Errorf("invalid YAML at %s: more is not shown, as it may tell the value of a Secret", where)
}
