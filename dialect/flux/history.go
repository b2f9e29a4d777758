package flux

import (
	"cmp"
	"slices"
	"time"

	"github.com/sane-gitops/sane/unit"
)

// history writes that an attempt has come to its end. Attempts that rendered
// the same and ended alike are one entry, the last one first.
func (d *draft) history(st unit.Status, v verdict) {
	if !recorded(st, v) {
		return
	}
	old, _ := d.Get("status", "history")
	list, _ := old.([]any)
	i := slices.IndexFunc(list, func(e any) bool {
		m, _ := e.(map[string]any)
		return m["digest"] == string(st.Rendered) && m["lastReconciledStatus"] == v.reason
	})
	var last map[string]any
	if i >= 0 {
		last = list[i].(map[string]any)
	}
	if i == 0 && d.answered(st) && saysAlready(last, st) {
		return
	}
	rest := slices.Clone(list)
	if i >= 0 {
		rest = slices.Delete(rest, i, i+1)
	}
	list = append([]any{snapshot(last, st, v, d.now)}, rest...)
	d.set("history", list[:min(len(list), maxHistory)])
}

// recorded reports whether the end of an attempt goes into the history.
func recorded(st unit.Status, v verdict) bool {
	switch st.Phase {
	case unit.Planning, unit.Applying, unit.Observing, unit.Pruning, unit.Done:
		return v.over && st.Rendered != "" && v.reason != healthCanceled
	}
	return false
}

// answered reports whether nobody asked for the attempt, or knows what came of it.
func (d *draft) answered(st unit.Status) bool {
	return st.Token == "" || text(d.Object, "lastHandledReconcileAt") == st.Token
}

// saysAlready reports whether nothing has happened since the entry was
// written: the same revision was looked at, and nothing had to be changed.
func saysAlready(last map[string]any, st unit.Status) bool {
	meta, _ := last["metadata"].(map[string]any)
	if meta["revision"] != attempted(st) {
		return false
	}
	return !changedAny(st.Changes) || !st.Ended.Truncate(time.Second).After(parseStamp(last["lastReconciled"]))
}

func attempted(st unit.Status) string { return cmp.Or(st.Attempted, st.Applied).Name }

// made says which revision was attempted, and what that was made from.
func made(st unit.Status) map[string]any {
	m := map[string]any{"revision": attempted(st)}
	if origin := originOf(st); origin != "" {
		m["originRevision"] = origin
	}
	return m
}

// originOf returns what the revision that was attempted was made from.
func originOf(st unit.Status) string {
	if st.Attempted.IsZero() {
		return st.AppliedOrigin
	}
	return st.AttemptedOrigin
}

func snapshot(last map[string]any, st unit.Status, v verdict, now time.Time) map[string]any {
	end := stamp(now)
	if !st.Ended.IsZero() {
		end = stamp(st.Ended)
	}
	first := end
	if s, ok := last["firstReconciled"].(string); ok {
		first = s
	}
	return map[string]any{
		"digest":                 string(st.Rendered),
		"firstReconciled":        first,
		"lastReconciled":         end,
		"lastReconciledDuration": max(st.Ended.Sub(st.Began), 0).Round(time.Millisecond).String(),
		"lastReconciledStatus":   v.reason,
		"totalReconciliations":   integer(last["totalReconciliations"]) + 1,
		"metadata":               made(st),
	}
}
