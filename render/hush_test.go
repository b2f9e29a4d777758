package render_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/sane-gitops/sane/render"
)

func TestHush(t *testing.T) {
	for _, tt := range []struct{ secret, text, want string }{
		{"hunter2", `spec.replicas: Invalid value: "hunter2"`, `spec.replicas: Invalid value: "***"`},
		{`a"b\n`, `Invalid value: "a\"b\\n" and a"b\n`, `Invalid value: "***" and ***`},
		{"123", "port 12345", "port 12345"},
		{"line one\n  line two\n", "bad: line two", "bad: ***"},
		{"", "as it was", "as it was"},
		{"hunter2", "as it was", "as it was"},
	} {
		err := errors.Join(errors.New(tt.text), fs.ErrExist)
		got := render.Hush([]string{tt.secret, "hunter2-and-more"}, err)
		if got.Error() != tt.want+"\n"+fs.ErrExist.Error() || !errors.Is(got, fs.ErrExist) {
			t.Errorf("Hush(%q, %q) = %q", tt.secret, tt.text, got)
		}
	}
	if render.Hush([]string{"hunter2"}, nil) != nil {
		t.Error("nothing is an error now")
	}
}
