package kube_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/cluster/kube"
	"github.com/sane-gitops/sane/cluster/memory"
	"github.com/sane-gitops/sane/object"
)

var leaseID = object.ID{Kind: object.Kind{Group: "coordination.k8s.io", Name: "Lease"}, Namespace: "default", Name: "leader"}

func newLeases() *memory.Cluster {
	return memory.New(memory.Kinds("coordination.k8s.io/v1", "Lease")...)
}

func lease(identity string) kube.Lease {
	return kube.Lease{Namespace: "default", Name: "leader", Identity: identity}
}

// While one leads another waits; it leads soon after the first has gone.
func TestLeadInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLeases()
		first, stop := context.WithCancel(t.Context())
		leading := make(chan string, 2)
		lead := func(ctx context.Context, who string) {
			if err := kube.Lead(ctx, c, lease(who), func(ctx context.Context) { leading <- who; <-ctx.Done() }); err != nil {
				t.Errorf("%s: %v", who, err)
			}
		}
		go lead(first, "a")
		synctest.Wait()
		second, end := context.WithCancel(t.Context())
		go lead(second, "b")
		<-time.After(10 * time.Minute) // of the bubble's clock
		if got := <-leading; got != "a" || len(leading) > 0 {
			t.Fatalf("%s leads, and %d others", got, len(leading))
		}
		stop()
		began := time.Now()
		if got := <-leading; got != "b" || time.Since(began) > 6*time.Second {
			t.Errorf("%s leads after %v", got, time.Since(began))
		}
		end()
		synctest.Wait()
		o, _, _ := c.Get(context.Background(), leaseID)
		if by, _ := o.Get("spec", "holderIdentity"); by != "" {
			t.Errorf("%v holds the lease after all have gone", by)
		}
		if n, _ := o.Get("spec", "leaseTransitions"); n != int64(1) {
			t.Errorf("leaseTransitions = %v, want 1", n)
		}
	})
}

// A leader that has died is followed when its lease is stale, not before.
func TestLeadAfterDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLeases()
		dead := lease("dead")
		dead.Retry = time.Hour // it never renews
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = kube.Lead(ctx, c, dead, func(ctx context.Context) { <-ctx.Done() }) }()
		synctest.Wait()
		began := time.Now()
		err := kube.Lead(t.Context(), c, lease("b"), func(context.Context) {})
		if took := time.Since(began); err != nil || took < 35*time.Second || took > 45*time.Second {
			t.Errorf("led after %v: %v", took, err)
		}
		stop()
	})
}

// Who can't renew the lease stops leading, and says why.
func TestLeadLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLeases()
		down := errors.New("down")
		go func() {
			<-time.After(time.Minute)
			c.Fail(func(op string, id object.ID) error {
				if id == leaseID {
					return errors.Join(down, cluster.ErrUnavailable)
				}
				return nil
			})
		}()
		began := time.Now()
		err := kube.Lead(t.Context(), c, lease("a"), func(ctx context.Context) { <-ctx.Done() })
		took := time.Since(began)
		if !errors.Is(err, kube.ErrLeaseLost) || took < 85*time.Second || took > 95*time.Second {
			t.Errorf("led for %v, then %v", took, err)
		}
	})
}

// Who finds that another has the lease stops at once.
func TestLeadTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLeases()
		go func() {
			<-time.After(time.Minute)
			c.Edit(leaseID, "thief", func(o object.Object) object.Object { return o.With("thief", "spec", "holderIdentity") })
		}()
		err := kube.Lead(t.Context(), c, lease("a"), func(ctx context.Context) { <-ctx.Done() })
		if !errors.Is(err, kube.ErrLeaseLost) {
			t.Errorf("Lead = %v, want that the lease is lost", err)
		}
		o, _, _ := c.Get(context.Background(), leaseID)
		if by, _ := o.Get("spec", "holderIdentity"); by != "thief" {
			t.Errorf("%v holds the lease", by)
		}
	})
}
