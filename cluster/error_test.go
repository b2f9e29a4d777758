package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sane-gitops/sane/object"
)

var (
	deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}
	web         = object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "apps", Name: "web"}
	password    = object.ID{Kind: object.Kind{Name: "Secret"}, Namespace: "apps", Name: "password"}
	spec        = field.NewPath("spec")
)

func invalid(errs ...*field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "web", errs)
}

func status(code int32, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Message: message}}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		id   object.ID
		err  error
		want error
		text string
	}{
		{"missing object", web, apierrors.NewNotFound(deployments, "web"), ErrNotFound,
			`apply Deployment/apps/web: deployments.apps "web" not found`},
		{"missing path", web, status(404, "404 page not found"), ErrNoKind,
			`apply Deployment/apps/web: 404 page not found`},
		{"kind", object.ID{Kind: web.Kind, Namespace: "apps"}, status(401, "Unauthorized"), ErrForbidden,
			`apply Deployment.apps in apps: Unauthorized`},
		{"all causes in order", web, invalid(field.Required(spec.Child("b"), "b"), field.Invalid(spec.Child("a"), 1, "odd")), ErrInvalid,
			`apply Deployment/apps/web: spec.a: Invalid value: 1: odd; spec.b: Required value: b`},
		{"unknown field", web, status(500, "failed to create typed patch object (x): .spec.typo: field not declared in schema"), ErrInvalid,
			`apply Deployment/apps/web: failed to create typed patch object (x): .spec.typo: field not declared in schema`},
		{"time-out of the server", web, apierrors.NewTimeoutError("too slow", 1), ErrBusy,
			`apply Deployment/apps/web: Timeout: too slow`},
		{"too many requests", web, apierrors.NewTooManyRequests("slow down", 1), ErrBusy,
			`apply Deployment/apps/web: slow down`},
		{"webhook down", web, status(500, "failed calling webhook"), ErrUnavailable,
			`apply Deployment/apps/web: failed calling webhook`},
		{"no answer", web, errors.New("connection refused"), ErrUnavailable,
			`apply Deployment/apps/web: connection refused`},
		{"one of ours", web, fmt.Errorf("%w: really", ErrNoKind), ErrNoKind,
			`apply Deployment/apps/web: no such kind: really`},
		{"canceled", web, context.Canceled, context.Canceled,
			`apply Deployment/apps/web: context canceled`},
	} {
		err := Refused("apply", tt.id, tt.err)
		if !errors.Is(err, tt.want) || err.Error() != tt.text {
			t.Errorf("%s: %q, which is %q; want %q, which is %q", tt.name, err, err.Err, tt.text, tt.want)
		}
	}
}

func TestRefusedSecret(t *testing.T) {
	const hush = "hush-hush"
	for _, tt := range []struct {
		name string
		err  error
		text string
	}{
		{"value", invalid(field.Invalid(spec, hush, hush)), "spec: invalid value (withheld)"},
		{"several", invalid(field.Invalid(spec, hush, "bad"), field.Required(spec.Child("b"), "is needed")),
			"spec: invalid value (withheld); spec.b: Required value: is needed"},
		{"immutable", invalid(field.Invalid(spec, hush, "field is immutable")), "spec: field is immutable"},
		{"too long", invalid(field.TooLong(spec, hush, 7)), "spec: Too long: may not be more than 7 bytes"},
		{"bad request", apierrors.NewBadRequest("illegal base64 in " + hush), "refused with code 400" + withheld},
		{"type", status(500, typeMismatch+": expected map, got "+hush), "refused with code 500" + withheld},
		{"denied", apierrors.NewForbidden(deployments, "web", errors.New(`admission webhook "w" denied the request: not `+hush)),
			`deployments.apps "web" is forbidden: admission webhook "w" denied the request` + withheld},
		{"not allowed", apierrors.NewForbidden(deployments, "web", errors.New(`User "u" cannot patch`)),
			`deployments.apps "web" is forbidden: User "u" cannot patch`},
	} {
		err := Refused("apply", password, tt.err)
		if want := "apply Secret/apps/password: " + tt.text; err.Error() != want {
			t.Errorf("%s: %q, want %q", tt.name, err, want)
		}
	}
}

func TestRefusedFields(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"fields", invalid(field.Invalid(spec, 1, "field is immutable"), field.Forbidden(spec.Child("a"), "updates are forbidden")), []string{"spec", "spec.a"}},
		{"a policy", status(422, "denied request: not today"), nil},
		{"a webhook", apierrors.NewForbidden(deployments, "web", errors.New("denied")), nil},
	} {
		if got := Refused("apply", web, tt.err).Fields; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestRefusedBrief(t *testing.T) {
	err := Refused("apply", web, invalid(field.Invalid(spec, strings.Repeat("long", 1000), "field is immutable")))
	if s := err.Error(); len(s) > 500 || !strings.HasSuffix(s, "field is immutable") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
