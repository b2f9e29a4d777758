// Package plan decides what to do to a cluster. It does none of it.
package plan

// A Policy says how far a plan may go.
type Policy struct {
	Prune   bool // delete what is ours and no longer wanted
	Replace bool // delete and create where an update is refused because a field can't change
}
