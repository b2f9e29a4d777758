package cli

import (
	"time"

	"github.com/sane-gitops/sane/object"
)

// A standing is how an object says that it stands, in the words that all of
// Kubernetes shares.
type standing struct {
	ready   string // "True", "False", "Unknown"; "" if it does not say
	reason  string
	message string
	doing   string // what is being done, if anything is
	current bool   // it speaks of the object's present generation
	stalled bool   // nothing is tried again before an edit
}

func standingOf(o object.Object) standing {
	ready, doing := condition(o, "Ready"), condition(o, "Reconciling")
	s := standing{
		ready: text(ready["status"]), reason: text(ready["reason"]), message: text(ready["message"]),
		stalled: text(condition(o, "Stalled")["status"]) == "True",
	}
	if text(doing["status"]) == "True" {
		s.doing = text(doing["message"])
	}
	s.current = s.ready != "" && number(ready["observedGeneration"]) == o.Generation()
	return s
}

// condition returns o's condition of a type; nil if there is none.
func condition(o object.Object, kind string) map[string]any {
	v, _ := o.Get("status", "conditions")
	list, _ := v.([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && text(m["type"]) == kind {
			return m
		}
	}
	return nil
}

func text(v any) string { s, _ := v.(string); return s }

func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// created returns when o was made.
func created(o object.Object) time.Time {
	v, _ := o.Get("metadata", "creationTimestamp")
	t, _ := time.Parse(time.RFC3339, text(v))
	return t
}
