package cluster

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sane-gitops/sane/object"
)

// An Error says what was being done, to what, and why not.
type Error struct {
	Op   string // "apply"
	What string // "Deployment/apps/web", or "Deployment.apps" for a kind
	Why  string // the server's words with all its causes, without a Secret's content
	Err  error  // one of the errors of this package, or of the context

	// Fields are what the server found invalid, if each of its causes names a
	// field. It is nil if admission refused the object: that names none.
	Fields []string
}

// Error returns "apply Deployment/apps/web: why not".
func (e *Error) Error() string { return e.Op + " " + e.What + ": " + e.Why }

// Unwrap returns what kind of error it is.
func (e *Error) Unwrap() error { return e.Err }

// Refused returns the [Error] that err is as the answer to op on id, for
// implementations: err is a Kubernetes API status or whatever kept the answer
// away. An id without a name means objects of its kind.
func Refused(op string, id object.ID, err error) *Error {
	e := &Error{Op: op, What: what(id), Why: err.Error(), Err: class(err)}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return e
	}
	e.Fields = fields(status.Status())
	if s := status.Status(); id.Kind == secret {
		e.Why = masked(s)
	} else {
		e.Why = words(s)
	}
	return e
}

var secret = object.Kind{Name: "Secret"}

func what(id object.ID) string {
	switch {
	case id.Name != "":
		return id.String()
	case id.Namespace != "":
		return id.Kind.String() + " in " + id.Namespace
	}
	return id.Kind.String()
}

// typeMismatch begins the server's words for fields that the schema does not
// have. It gives no reason with them, and the code 500.
const typeMismatch = "failed to create typed patch object"

// class returns the error of this package that err is one of.
func class(err error) error {
	for _, known := range []error{
		ErrNotFound, ErrNoKind, ErrConflict, ErrInvalid, ErrForbidden, ErrTerminating, ErrBusy, ErrUnavailable,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return known
		}
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ErrUnavailable
	}
	return classOf(err, status.Status())
}

func classOf(err error, s metav1.Status) error {
	switch {
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return ErrTerminating
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err):
		return ErrBusy
	case strings.HasPrefix(s.Message, typeMismatch):
		return ErrInvalid
	}
	switch code := int(s.Code); {
	case code == http.StatusNotFound && (s.Details == nil || s.Details.Name == ""):
		return ErrNoKind
	case code == http.StatusNotFound:
		return ErrNotFound
	case code == http.StatusConflict:
		return ErrConflict
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return ErrForbidden
	case code >= 400 && code < 500:
		return ErrInvalid
	}
	return ErrUnavailable
}

// words returns what the server said. Of an invalid object and of fields with
// other managers it names every cause, in an order that is always the same.
func words(s metav1.Status) string {
	list := causes(s)
	switch {
	case len(list) > 0 && list[0].Field != "" && s.Reason == metav1.StatusReasonInvalid:
		var out []string
		for _, c := range list {
			out = append(out, cause(c.Field, brief(c.Message)))
		}
		return strings.Join(out, "; ")
	case len(list) > 0 && list[0].Type == metav1.CauseTypeFieldManagerConflict:
		return conflicts(list)
	}
	return s.Message
}

// conflicts returns "conflict with "kubectl": .spec.a, .spec.b; conflict with …".
func conflicts(list []metav1.StatusCause) string {
	fields := map[string][]string{}
	for _, c := range list {
		fields[c.Message] = append(fields[c.Message], c.Field)
	}
	var out []string
	for _, with := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, with+": "+strings.Join(fields[with], ", "))
	}
	return strings.Join(out, "; ")
}

// brief returns a message without the middle of a long value that it quotes:
// of a Pod template that can't be changed the server quotes all of it.
func brief(message string) string {
	const head, tail = 80, 320
	if len(message) <= head+tail {
		return message
	}
	return strings.ToValidUTF8(message[:head], "") + " … " + strings.ToValidUTF8(message[len(message)-tail:], "")
}

// masked returns what the server said of a Secret as far as it cannot quote
// the Secret's content.
func masked(s metav1.Status) string {
	switch s.Reason {
	case metav1.StatusReasonInvalid:
	case metav1.StatusReasonForbidden, metav1.StatusReasonNotFound, metav1.StatusReasonConflict,
		metav1.StatusReasonAlreadyExists, metav1.StatusReasonUnauthorized, metav1.StatusReasonTooManyRequests,
		metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout, metav1.StatusReasonServiceUnavailable:
		return maskedDenial(words(s))
	}
	var out []string
	for _, c := range causes(s) {
		out = append(out, cause(c.Field, maskedCause(c)))
	}
	if len(out) == 0 {
		return "refused with code " + strconv.Itoa(int(s.Code)) + withheld
	}
	return strings.Join(out, "; ")
}

const withheld = " (the server's words are withheld, as they may quote the Secret)"

// maskedDenial returns words without what an admission policy or webhook says
// after naming itself.
func maskedDenial(words string) string {
	for _, mark := range []string{" denied the request", " denied request"} {
		if who, _, ok := strings.Cut(words, mark); ok {
			return who + mark + withheld
		}
	}
	return words
}

// maskedCause returns the words for a cause: those of these types hold no value.
func maskedCause(c metav1.StatusCause) string {
	switch c.Type {
	case metav1.CauseTypeFieldValueRequired, metav1.CauseTypeForbidden, metav1.CauseTypeTooLong:
		return c.Message
	}
	if strings.HasSuffix(c.Message, ": field is immutable") {
		return "field is immutable"
	}
	return "invalid value (withheld)"
}

// fields returns the fields that all causes name, or nil if one names none.
func fields(s metav1.Status) []string {
	var all []string
	for _, c := range causes(s) {
		if c.Field == "" {
			return nil
		}
		all = append(all, c.Field)
	}
	return slices.Compact(all)
}

// causes returns the causes in s in order.
func causes(s metav1.Status) []metav1.StatusCause {
	if s.Details == nil {
		return nil
	}
	list := slices.SortedFunc(slices.Values(s.Details.Causes), func(a, b metav1.StatusCause) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(list)
}

func cause(field, message string) string {
	if field == "" {
		return message
	}
	return field + ": " + message
}
