package memory_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

func TestLogs(t *testing.T) {
	c := memory.New()
	pod := object.Of(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "namespace": "default"},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "a"}}},
	})
	if _, err := c.Create(t.Context(), pod, cluster.How{}); err != nil {
		t.Fatal(err)
	}
	c.Say(pod.ID(), "a", "one", "two")
	for _, tt := range []struct {
		opts cluster.LogOptions
		want string
	}{
		{cluster.LogOptions{}, "one\ntwo\n"},
		{cluster.LogOptions{Tail: 1}, "two\n"},
		{cluster.LogOptions{Tail: 5}, "one\ntwo\n"},
		{cluster.LogOptions{Limit: 5}, "one\nt"},
		{cluster.LogOptions{Since: time.Now().Add(time.Hour)}, ""},
	} {
		log, err := c.Logs(t.Context(), pod.ID(), tt.opts)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(log); string(got) != tt.want || err != nil {
			t.Errorf("%+v: %q, %v", tt.opts, got, err)
		}
	}
	follow := func(ctx context.Context) *bufio.Scanner {
		log, err := c.Logs(ctx, pod.ID(), cluster.LogOptions{Follow: true, Timestamps: true, Tail: 1})
		if err != nil {
			t.Fatal(err)
		}
		return bufio.NewScanner(log)
	}
	s := follow(t.Context())
	next := func(want string) {
		t.Helper()
		if !s.Scan() {
			t.Fatal("the log ends: ", s.Err())
		}
		if _, text, _ := strings.Cut(s.Text(), " "); text != want {
			t.Fatalf("%q, want %q", s.Text(), want)
		}
	}
	next("two")
	c.Say(pod.ID(), "a", "three")
	next("three")
	c.Restart(pod.ID(), "a")
	if s.Scan() || s.Err() != nil {
		t.Errorf("goes on with %q, %v after the container", s.Text(), s.Err())
	}
	c.Say(pod.ID(), "a", "four")
	log, err := c.Logs(t.Context(), pod.ID(), cluster.LogOptions{Previous: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(log); string(got) != "one\ntwo\nthree\n" || err != nil {
		t.Errorf("the previous one said %q, %v", got, err)
	}
	s = follow(t.Context())
	next("four")
	if err := c.Delete(t.Context(), pod.ID(), cluster.Where{}); err != nil {
		t.Fatal(err)
	}
	if s.Scan() || s.Err() != nil {
		t.Errorf("goes on with %q, %v after the pod", s.Text(), s.Err())
	}
	if _, err := c.Logs(t.Context(), pod.ID(), cluster.LogOptions{}); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("log of a pod that has gone: %v", err)
	}
}
