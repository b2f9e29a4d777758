package flux

import (
	"cmp"
	"time"

	"github.com/sane-gitops/sane/diff"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
)

// ApprovedBy is the annotation that says who approves, where that is written in
// somebody's name. It counts if it was written with [Approve], or later.
const ApprovedBy = "sane-gitops.io/approved-by"

// TellApproval: these events, too, are for who keeps account.
func (f flux) TellApproval(o object.Object, now time.Time) []report.Event {
	who, at := diff.Owner(o, "metadata", "annotations", Approve)
	if _, said := diff.Owner(o, "metadata", "annotations", ApprovedBy); !said.Before(at) {
		who = cmp.Or(o.Annotation(ApprovedBy), who)
	}
	t := newTeller(o, KustomizeController, now)
	message := "approved"
	if who != "" {
		message += " by " + who
	}
	t.tell(report.Approved, report.Trace, "Approved", message)
	e := &t.events[0]
	e.Minor, e.At, e.Facts.Who = true, cmp.Or(at, now), who
	return t.events
}
