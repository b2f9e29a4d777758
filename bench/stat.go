package bench

import (
	"slices"
	"time"
)

// A Sample is a series of durations.
type Sample []time.Duration

// At returns the pth percentile by the nearest rank: the smallest member that
// p per cent of all do not exceed. Of an empty sample it is 0.
func (s Sample) At(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(p/100*float64(len(s)) + 0.999999)
	return sorted[min(max(rank, 1), len(s))-1]
}

// Median returns the 50th percentile.
func (s Sample) Median() time.Duration { return s.At(50) }

// slope returns by how much y grows for each step of x.
func slope(x0, y0, x1, y1 float64) float64 {
	if x1 == x0 {
		return 0
	}
	return (y1 - y0) / (x1 - x0)
}
