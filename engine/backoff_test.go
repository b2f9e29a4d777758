package engine

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	for _, tt := range []struct {
		min, max time.Duration
		n        int
		want     time.Duration
	}{
		{0, 0, 0, 750 * time.Millisecond},
		{0, 0, 1, 750 * time.Millisecond},
		{0, 0, 3, 3 * time.Second},
		{0, 0, 1000, 15 * time.Minute},
		{time.Second, 3 * time.Second, 2, 2 * time.Second},
		{time.Second, 3 * time.Second, 3, 3 * time.Second},
		{time.Hour, 0, 5, time.Hour},
	} {
		c := Config{RetryMin: tt.min, RetryMax: tt.max}
		c.defaults()
		if got := (&Engine{c: c}).backoff(tt.n); got != tt.want {
			t.Errorf("after failure %d between %s and %s: %s, want %s", tt.n, tt.min, tt.max, got, tt.want)
		}
	}
}
