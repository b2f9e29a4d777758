package web

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
)

// TestRegisterRecovers holds that rows are as things are once the cluster can be
// reached again, though nothing has changed since.
func TestRegisterRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := memory.New(memory.Kinds("kustomize.toolkit.fluxcd.io/v1", "Kustomization")...)
		nouns := []ask.Noun{{Kind: flux.Kustomization, Names: []string{"ks"}}}
		s, err := New(Config{Desk: ask.Desk{
			Cluster: world, Dialect: flux.New(flux.Config{}), Language: ask.Language{Nouns: nouns}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}, Door: Door{Pass: pass}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.register.run(ctx) })
		defer running.Wait()
		defer stop()
		synctest.Wait()
		check := func(when string, stale int) {
			t.Helper()
			synctest.Wait()
			if _, old, _ := s.register.take(nouns); len(old) != stale {
				t.Errorf("%s: %d kinds are not as they are now, want %d: %v", when, len(old), stale, old)
			}
		}
		s.register.look(ctx, nouns)
		check("at first", 0)
		world.Fail(func(op string, _ object.ID) error { return cluster.ErrUnavailable })
		world.Lose()
		check("without a connection", 1)
		<-time.After(time.Minute)
		check("a minute later", 1)
		world.Fail(nil)
		<-time.After(time.Minute)
		check("with a connection", 0)
	})
}
