package cluster

import "time"

// LogOptions say which part of a container's log is wanted. The zero LogOptions
// are all that a pod's only container has said since it was started.
type LogOptions struct {
	Container  string    // "" is the only one
	Follow     bool      // and what it will say, until it ends
	Previous   bool      // that of the container before it was started again
	Timestamps bool      // an RFC 3339 time and a space before each line
	Since      time.Time // nothing older; zero means all
	Tail       int       // only so many lines, the last; 0 means all
	Limit      int64     // only so many bytes, the first; 0 means all
}
