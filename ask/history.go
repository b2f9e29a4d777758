package ask

import (
	"time"

	"github.com/sane-gitops/sane/object"
)

// An Attempt is what became of a revision, or of several that a unit made the
// same objects of, as its status remembers it.
type Attempt struct {
	Revision string        `json:"revision"` // the last
	Origin   string        `json:"origin,omitempty"`
	Digest   string        `json:"digest"` // of the objects
	Result   string        `json:"result"` // the reason of the condition that it ended with
	Well     bool          `json:"well"`
	First    time.Time     `json:"first,omitzero"`
	Last     time.Time     `json:"last,omitzero"`
	Took     time.Duration `json:"took,omitempty"` // the last time
	Times    int64         `json:"times"`
}

// History returns what the status of a unit remembers of attempts, the newest
// first.
func History(o object.Object) []Attempt {
	v, _ := o.Get("status", "history")
	list, _ := v.([]any)
	var out []Attempt
	for _, e := range list {
		h := object.Of(child(e))
		took, _ := time.ParseDuration(h.Text("lastReconciledDuration"))
		out = append(out, Attempt{
			Revision: h.Text("metadata", "revision"), Origin: h.Text("metadata", "originRevision"), Digest: h.Text("digest"),
			Result: h.Text("lastReconciledStatus"), Well: h.Text("lastReconciledStatus") == "ReconciliationSucceeded",
			First: h.Time("firstReconciled"), Last: h.Time("lastReconciled"), Took: took, Times: h.Number("totalReconciliations"),
		})
	}
	return out
}
