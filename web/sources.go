package web

import (
	"net/http"

	"github.com/sane-gitops/sane/object"
)

var feeds = &list{
	Path: "/sources", Noun: "source",
	Groups: []choice{{"", "nothing"}, {"namespace", "namespace"}, {"kind", "kind"}, {"state", "state"}},
	Sorts:  []choice{{"", "problems first"}, {"name", "name"}, {"moved", "newest revision"}, {"users", "most users"}},
}

// sources shows all sources, of all kinds.
func (s *Server) sources(w http.ResponseWriter, r *http.Request, v *viewer) error {
	live := s.liveRows()
	rows, old, err := s.visible(r.Context(), v, true)
	if err != nil {
		return err
	}
	users, stale, err := s.visible(r.Context(), v, false)
	if err != nil {
		return err
	}
	p := s.fleetPage(feeds.wishOf(r.URL.Query()), rows, usersOf(append(users, rows...)))
	return s.show(w, r, v, "sources", frame{Title: "Sources", Section: "sources", Live: live, Stale: append(old, stale...), Main: p})
}

// usersOf returns how many of some units and sources use each source.
func usersOf(rows []*row) map[object.ID]int {
	used := make(map[object.ID]int)
	for _, x := range rows {
		if x.Source.Name != "" {
			used[x.Source]++
		}
		for _, id := range x.Includes {
			used[id]++
		}
	}
	return used
}
