//go:build !linux

package worker

// Only GOMEMLIMIT and the timeout bound a worker here.

func bound(int, int64)   {}
func resident(int) int64 { return 0 }
