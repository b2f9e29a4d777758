package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/dialect"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/unit"
)

// manager is the field manager of what people change by the pages. As with the
// command line, it is none whose fields are taken back.
const manager = "sane"

// restartedAt is the annotation of pods by which kubectl has a workload make
// them anew.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

var (
	podKind   = object.Kind{Name: "Pod"}
	eventKind = object.Kind{Name: "Event"}
)

// restartable are the kinds of workloads that make their pods anew if these are
// to be others.
var restartable = map[object.Kind]bool{
	{Group: "apps", Name: "Deployment"}:  true,
	{Group: "apps", Name: "StatefulSet"}: true,
	{Group: "apps", Name: "DaemonSet"}:   true,
}

// What pages say of something that has been done, by the word for it in the URL.
var doneSays = map[string]string{
	"reconcile": "Asked to look now.",
	"suspend":   "Suspended: it is left alone.",
	"resume":    "Resumed: it is looked at again.",
	"approve":   "Approved: what was held is deleted at the next look, which has been asked for.",
	"rollback":  "The commit that goes back is pushed.",
	"restart":   "Asked to make its pods anew.",
	"delete":    "Asked to delete it.",
}

// maxReason is how long the reason for a suspension may be.
const maxReason = 500

func (s *Server) actions() {
	s.post("/unit/{kind}/{namespace}/{name}/reconcile", s.ofUnit(s.doing("reconcile", s.reconcile)))
	s.post("/unit/{kind}/{namespace}/{name}/suspend", s.ofUnit(s.doing("suspend", s.suspend)))
	s.post("/unit/{kind}/{namespace}/{name}/resume", s.ofUnit(s.doing("resume", s.resume)))
	s.post("/unit/{kind}/{namespace}/{name}/approve", s.ofUnit(s.doing("approve", s.approve)))
	for what, do := range map[string]deed{"reconcile": s.reconcile, "suspend": s.suspend, "resume": s.resume} {
		s.post("/source/{kind}/{namespace}/{name}/"+what, s.ofSource(s.doing(what, do)))
	}
	s.post("/object/{kind}/{namespace}/{name}/restart", s.onObject("restart", s.restart))
	s.post("/object/{kind}/{namespace}/{name}/delete", s.onObject("delete", s.deletePod))
}

// A deed does something to an object in the viewer's name. It returns what the
// audit log says of it beside that.
type deed func(r *http.Request, v *viewer, o object.Object) (facts []any, err error)

// doing serves what is done to a unit or a source.
func (s *Server) doing(what string, do deed) aboutPage {
	return func(w http.ResponseWriter, r *http.Request, v *viewer, o object.Object) error {
		return s.done(w, r, v, what, o, do)
	}
}

// onObject serves what is done to another object.
func (s *Server) onObject(what string, do deed) page {
	return func(w http.ResponseWriter, r *http.Request, v *viewer) error {
		v.about = objectNamed(r)
		o, err := s.seen(r.Context(), v, v.about)
		if err != nil {
			return err
		}
		return s.done(w, r, v, what, o, do)
	}
}

// done does it, writes down who did, and goes back to where it was asked for.
func (s *Server) done(w http.ResponseWriter, r *http.Request, v *viewer, what string, o object.Object, do deed) error {
	var err error
	if v.facts, err = do(r, v, o); err != nil {
		return err
	}
	s.log.Info("done", v.note(what, r)...)
	s.record(r.Context(), v, what, o)
	to, err := url.Parse(local(r.PostFormValue("to")))
	if err != nil || to.Path == "/" {
		to = &url.URL{Path: s.address(o.ID())}
	}
	q := to.Query()
	q.Set("done", what)
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
	return nil
}

// asked are the actions of which nothing in the cluster tells later whose they
// were, in the words of the timeline.
var asked = map[string]struct{ says, done string }{
	"reconcile": {"asked to look now", ""},
	"restart":   {"asked to make its pods anew", "restarted"},
	"delete":    {"asked to delete it", "deleted"},
	"rollback":  {"asked to roll it back", ""},
}

// record has the journal keep what a viewer has asked for, with the unit that it
// concerns. What that can't be found for is in the log alone.
func (s *Server) record(ctx context.Context, v *viewer, what string, o object.Object) {
	words, ok := asked[what]
	if !ok || s.c.Journal == nil {
		return
	}
	about := o.ID()
	e := report.Event{Severity: report.Info, Reason: "Asked", Message: words.says, At: s.now(), Facts: report.Facts{Kind: report.Asked, Who: v.Name}}
	if words.done != "" {
		if about, ok = s.keeperOf(ctx, v, o); !ok {
			return
		}
		e.Facts.Changes = []report.Change{{ID: o.ID(), Done: words.done}}
	}
	e.About = report.Object{APIVersion: about.Kind.Group + "/", Kind: about.Kind.Name, Namespace: about.Namespace, Name: about.Name}
	s.c.Journal.Report(e)
}

// keeperOf returns the unit that keeps an object, or what has made the object.
func (s *Server) keeperOf(ctx context.Context, v *viewer, o object.Object) (object.ID, bool) {
	const far = 4 // from a pod, by a job, to a cron job
	for range far {
		if name, ok := s.c.Dialect.Owner(o.Labels()); ok {
			return name.ID(), true
		}
		list, _ := o.Get("metadata", "ownerReferences")
		refs, _ := list.([]any)
		if len(refs) == 0 {
			break
		}
		ref, _ := refs[0].(map[string]any)
		by := object.Of(ref)
		id := object.ID{Kind: by.ID().Kind, Namespace: o.Namespace(), Name: by.Text("name")}
		var err error
		if o, err = s.seen(ctx, v, id); err != nil {
			break
		}
	}
	return object.ID{}, false
}

// change merges a patch into an object in the viewer's name.
func change(ctx context.Context, v *viewer, id object.ID, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = v.cluster.Patch(ctx, id, cluster.Patch{Type: cluster.MergePatch, Data: data}, cluster.How{Manager: manager})
	return err
}

func annotations(m map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": m}}
}

// reconcile asks for a look at a unit or a source now, or first at the source of a
// unit and then at that.
func (s *Server) reconcile(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	if s.c.Language.Paused(o) {
		return nil, &refusal{http.StatusConflict, "It is suspended: resume it first."}
	}
	now := annotations(map[string]any{s.c.Language.Request: s.now().Format(time.RFC3339Nano)})
	source := r.PostFormValue("source") != ""
	if source {
		u, err := s.unitOf(o)
		if err != nil {
			return nil, err
		}
		if err := change(r.Context(), v, s.sourceID(u), now); err != nil {
			return nil, err
		}
	}
	return []any{"source", source}, change(r.Context(), v, o.ID(), now)
}

// suspend has a unit left alone, and says why and until when.
func (s *Server) suspend(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	p := dialect.Pause{On: true, By: v.Name, Why: strings.TrimSpace(r.PostFormValue("reason"))}
	if !utf8.ValidString(p.Why) || utf8.RuneCountInString(p.Why) > maxReason {
		return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("The reason is longer than %d letters.", maxReason)}
	}
	if text := r.PostFormValue("for"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("%q is no time for which it could be suspended.", text)}
		}
		p.Until = s.now().Add(d).Truncate(time.Second)
	}
	return []any{"reason", p.Why, "until", p.Until}, change(r.Context(), v, o.ID(), s.c.Dialect.SetPause(p))
}

func (s *Server) resume(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	return nil, change(r.Context(), v, o.ID(), s.c.Dialect.SetPause(dialect.Pause{}))
}

// approve approves of what is held, if it is still what the viewer was shown.
func (s *Server) approve(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	given, held := r.PostFormValue("digest"), s.heldOf(o)
	switch {
	case held == nil:
		return nil, &refusal{http.StatusConflict, "Nothing is held any more, so nothing was approved."}
	case given != string(held.Approval):
		return nil, &refusal{http.StatusConflict, "What is held is not what you were shown: it has changed since. Look again, and approve that if it is meant."}
	}
	say := map[string]any{s.c.Language.Approve: given, s.c.Language.Request: s.now().Format(time.RFC3339Nano)}
	if by := s.c.Language.Approver; by != "" && v.Name != "" {
		say[by] = v.Name
	} else if by != "" {
		say[by] = nil
	}
	return []any{"digest", given}, change(r.Context(), v, o.ID(), annotations(say))
}

// heldOf returns what a unit holds until somebody approves it, or nil.
func (s *Server) heldOf(o object.Object) *unit.HeldError {
	var held *unit.HeldError
	errors.As(s.c.Dialect.RecallUnit(o).Err, &held)
	return held
}

// restart has a workload make its pods anew.
func (s *Server) restart(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	if !restartable[o.ID().Kind] {
		return nil, &refusal{http.StatusBadRequest, o.ID().Kind.Name + "s can't be restarted."}
	}
	if paused, _ := o.Get("spec", "paused"); paused == true {
		return nil, &refusal{http.StatusConflict, "Its rollout is paused (spec.paused), so nothing would come of it."}
	}
	at := annotations(map[string]any{restartedAt: s.now().Format(time.RFC3339)})
	return nil, change(r.Context(), v, o.ID(), map[string]any{"spec": map[string]any{"template": at}})
}

// deletePod deletes the pod that the viewer was shown, and no other of its name.
func (s *Server) deletePod(r *http.Request, v *viewer, o object.Object) ([]any, error) {
	uid := r.PostFormValue("uid")
	switch {
	case o.ID().Kind != podKind:
		return nil, &refusal{http.StatusBadRequest, "Only pods are deleted from here: what else there is, its source says."}
	case uid != o.UID():
		return nil, &refusal{http.StatusConflict, "The pod that you were shown is gone. This is another of the same name, and was left alone."}
	}
	return []any{"uid", uid}, v.cluster.Delete(r.Context(), o.ID(), cluster.Where{UID: uid})
}

// May says which buttons are offered.
type may struct{ Patch, Source, Restart, Delete, Rollback bool }

// mays asks what a viewer may do to an object. If nobody can say, nothing is
// offered.
func (s *Server) mays(ctx context.Context, v *viewer, verb string, id object.ID) bool {
	ok, err := s.may(ctx, v, cluster.Deed{Verb: verb, Object: id})
	return ok && err == nil
}

// objectNamed returns the object that a URL names.
func objectNamed(r *http.Request) object.ID {
	name, group, _ := strings.Cut(r.PathValue("kind"), ".")
	id := object.ID{Kind: object.Kind{Group: group, Name: name}, Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if id.Namespace == nowhere {
		id.Namespace = ""
	}
	return id
}

// nowhere stands in URLs for the namespace of what has none. It can't be the
// name of one.
const nowhere = "-"
