// Package delay waits for a while, or until nobody wants to wait any more.
package delay

import (
	"context"
	"time"
)

// For waits for d, and reports whether it waited to the end: false is that ctx is
// done.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Grace returns a context that ends d after ctx does, for what is to be finished
// then.
func Grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		For(late, d)
		cancel()
	})
	return late, func() { stop(); cancel() }
}
