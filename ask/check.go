package ask

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/lazy"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/unit"
)

// A Grade says how much a finding matters.
type Grade string

const (
	Good Grade = "good"
	Odd  Grade = "odd" // worth a look
	Bad  Grade = "bad" // in the way
)

// A Finding is something that a check has found.
type Finding struct {
	Grade Grade  `json:"grade"`
	About string `json:"about,omitempty"` // an object
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"`
}

// Fitness is what a check needs to know beside the cluster.
type Fitness struct {
	Version     string          // of the API server: "v1.34.1"; "" means not to look
	Definitions []object.Object // that are to be there
	As          cluster.Cluster // as whoever is to run Sane sees it
}

// A checkup collects findings.
type checkup struct {
	*Desk
	Fitness
	found []Finding
}

// Check finds out whether the cluster is fit for Sane, and whether its sources and
// units fit together: first what the cluster lacks, then what is odd about them.
func (d *Desk) Check(ctx context.Context, f Fitness) ([]Finding, error) {
	c := &checkup{Desk: d, Fitness: f}
	for _, look := range []func(context.Context) error{c.server, c.definitions, c.rights, c.fairness, c.others, c.objects} {
		if err := look(ctx); err != nil {
			return c.found, err
		}
	}
	return c.found, nil
}

func (c *checkup) good(format string, args ...any) {
	c.found = append(c.found, Finding{Grade: Good, Says: fmt.Sprintf(format, args...)})
}

func (c *checkup) find(g Grade, about, says, do string) {
	if about != "" {
		says = about + ": " + says
	}
	c.found = append(c.found, Finding{g, about, says, do})
}

// unseen finds that something could not be looked at, unless err is another error.
func (c *checkup) unseen(what string, err error) error {
	if !errors.Is(err, cluster.ErrForbidden) {
		return err
	}
	c.find(Odd, "", "you may not see "+what+", so nothing is known of that", "ask somebody who may, or check as them")
	return nil
}

// oldest is the minor version of the first API server whose server-side apply is
// finished.
const oldest = 22

var minor = lazy.Compile(`^v?1\.(\d+)`)

func (c *checkup) server(context.Context) error {
	if c.Version == "" {
		return nil
	}
	m := minor.FindStringSubmatch(c.Version)
	if m == nil {
		c.find(Odd, "", "the API server calls its version "+c.Version, "see whether it is Kubernetes 1."+strconv.Itoa(oldest)+" or newer")
		return nil
	}
	if n, _ := strconv.Atoi(m[1]); n < oldest {
		c.find(Bad, "", "the API server is "+c.Version+", which can't apply on its side as it has to", "upgrade it to 1."+strconv.Itoa(oldest)+" or newer")
		return nil
	}
	c.good("the API server is %s", c.Version)
	return nil
}

var definitionKind = object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}

// definitions looks whether the definitions are there, in the versions that are
// spoken.
func (c *checkup) definitions(ctx context.Context) error {
	const install = "sane install --crds-only | kubectl apply --server-side -f -"
	for _, want := range c.Definitions {
		if want.ID().Kind != definitionKind || !c.spoken(want) {
			continue
		}
		have, there, err := c.Cluster.Get(ctx, want.ID())
		switch {
		case err != nil:
			if err := c.unseen("definitions of kinds", err); err != nil {
				return err
			}
			return nil
		case !there:
			c.find(Bad, want.ID().String(), "is not there", install)
			continue
		}
		if v := storedAs(want); !serves(have, v) {
			c.find(Bad, want.ID().String(), "does not serve "+v, install)
			continue
		}
		c.good("%s is there", want.ID())
	}
	return nil
}

// spoken reports whether a definition is of a kind of ours.
func (c *checkup) spoken(def object.Object) bool {
	k := object.Kind{Group: def.Text("spec", "group"), Name: def.Text("spec", "names", "kind")}
	_, ours := c.Language.Noun(k)
	return ours
}

// storedAs returns the version in which objects of a defined kind are stored, which is
// the newest.
func storedAs(def object.Object) string {
	for _, v := range versionsOf(def) {
		if stored, _ := v.Get("storage"); stored == true {
			return v.Text("name")
		}
	}
	return ""
}

func serves(def object.Object, version string) bool {
	return slices.ContainsFunc(versionsOf(def), func(v object.Object) bool {
		served, _ := v.Get("served")
		return served == true && v.Text("name") == version
	})
}

func versionsOf(def object.Object) (all []object.Object) {
	v, _ := def.Get("spec", "versions")
	list, _ := v.([]any)
	for _, e := range list {
		all = append(all, object.Of(child(e)))
	}
	return all
}

// A need is what has to be allowed.
type need struct {
	kind  object.Kind
	sub   string
	verbs []string
	grade Grade
	why   string
}

// rights asks whether all is allowed that keeping units takes.
func (c *checkup) rights(ctx context.Context) error {
	look := []string{"get", "list", "watch"}
	var needs []need
	for _, n := range c.Language.Nouns {
		needs = append(needs, need{n.Kind, "", append(look, "patch"), Bad, "read them, and hold them by a finalizer"},
			need{n.Kind, "status", []string{"patch"}, Bad, "say in their status what became of them"})
	}
	for _, name := range []string{"Secret", "ConfigMap", "ServiceAccount", "Namespace"} {
		needs = append(needs, need{object.Kind{Name: name}, "", look, Bad, "read what sources and units refer to"})
	}
	needs = append(needs,
		need{object.Kind{Name: "Event"}, "", []string{"create", "patch"}, Odd, "tell what happens"},
		need{object.Kind{Group: "coordination.k8s.io", Name: "Lease"}, "", []string{"get", "create", "update"}, Odd, "run more than one replica"},
		need{object.Kind{Name: "ServiceAccount"}, "", []string{"impersonate"}, Odd, "act as the service accounts that units name"})
	for _, k := range []object.Kind{{Name: "Namespace"}, {Name: "Secret"}, {Group: "apps", Name: "Deployment"}, {Group: "rbac.authorization.k8s.io", Name: "ClusterRole"}, definitionKind} {
		needs = append(needs, need{k, "", []string{"create", "patch", "delete"}, Odd, "keep such objects of units that name no service account"})
	}
	lacking := 0
	for _, n := range needs {
		lacks, err := c.lacks(ctx, n)
		if err != nil {
			return err
		}
		if len(lacks) > 0 {
			what := several(n.kind)
			if n.sub != "" {
				what += "/" + n.sub
			}
			lacking++
			c.find(n.grade, "", fmt.Sprintf("not allowed: %s %s", strings.Join(lacks, ", "), what),
				"bind a role that allows it, to "+n.why+"; `sane install --export` has one")
		}
	}
	if lacking == 0 {
		c.good("all is allowed that it takes")
	}
	return nil
}

// several returns what the server calls objects of a kind.
func several(k object.Kind) string {
	name := strings.ToLower(k.Name)
	if stem, ok := strings.CutSuffix(name, "y"); ok {
		return stem + "ies"
	}
	return name + "s"
}

// lacks returns which verbs are not allowed. What the server does not know is told
// elsewhere.
func (c *checkup) lacks(ctx context.Context, n need) ([]string, error) {
	var out []string
	for _, verb := range n.verbs {
		ok, err := c.As.May(ctx, cluster.Deed{Verb: verb, Object: object.ID{Kind: n.kind}, Subresource: n.sub})
		switch {
		case errors.Is(err, cluster.ErrNoKind):
			return nil, nil
		case err != nil:
			return nil, err
		case !ok:
			out = append(out, verb)
		}
	}
	return out, nil
}

// fairness looks whether the server shares its time out.
func (c *checkup) fairness(ctx context.Context) error {
	_, err := c.Cluster.Namespaced(ctx, object.Kind{Group: "flowcontrol.apiserver.k8s.io", Name: "FlowSchema"})
	if errors.Is(err, cluster.ErrNoKind) {
		c.find(Odd, "", "the API server has no priority and fairness", "turn it on, or others may have to wait while many units are brought up")
		return nil
	}
	if err == nil {
		c.good("the API server has priority and fairness")
	}
	return err
}

// rivals are programs that may keep the same objects, by the names of the workloads
// that run them.
var rivals = map[string]string{
	"source-controller":             "scale it down, or leave sources to it: sane run --controllers=kustomization",
	"kustomize-controller":          "scale it down, or leave units to it: sane run --controllers=source --serve-artifacts",
	"argocd-application-controller": "see that no Application names what a unit has",
}

// others looks for other programs that keep objects.
func (c *checkup) others(ctx context.Context) error {
	none := true
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		found, err := List(ctx, c.Cluster, cluster.Selection{Kind: object.Kind{Group: "apps", Name: kind}})
		if err != nil {
			none = false
			if err := c.unseen("what runs in all namespaces", err); err != nil {
				return err
			}
			break
		}
		for _, o := range found {
			do, rival := rivals[o.Name()]
			if v, set := o.Get("spec", "replicas"); !rival || set && fmt.Sprint(v) == "0" {
				continue
			}
			none = false
			c.find(Odd, o.ID().String(), "it may keep the same objects", do)
		}
	}
	if none {
		c.good("nobody else is seen to keep objects")
	}
	return nil
}

// objects looks whether sources and units fit together.
func (c *checkup) objects(ctx context.Context) error {
	feeds, units, err := c.asked(ctx)
	if err != nil {
		return err
	}
	used := make(map[source.FeedName]bool)
	for _, o := range units {
		for _, u := range o.asked.Units {
			used[u.Source] = true
			c.unit(ctx, o.id, u, feeds, units)
		}
	}
	for _, o := range feeds {
		for _, f := range o.asked.Feeds {
			for _, part := range f.Include {
				used[part.Feed] = true
				if !has(feeds, c.Feed(part.Feed)) {
					c.find(Bad, o.id.String(), "it includes "+part.Feed.String()+", which is not there", "make that source, or leave it out of spec.include")
				}
			}
		}
	}
	for _, o := range feeds {
		for _, f := range o.asked.Feeds {
			if f.Err != nil {
				c.find(Bad, o.id.String(), f.Err.Error(), "mend what it refers to")
			}
			if !used[f.Name] {
				c.find(Odd, o.id.String(), "nobody uses it", "delete it if it is not needed: it is fetched all the same")
			}
		}
	}
	c.circles(units)
	if n := len(feeds) + len(units); !slices.ContainsFunc(c.found, func(f Finding) bool { return f.About != "" && f.Grade == Bad }) {
		c.good("%d sources and units fit together", n)
	}
	return nil
}

// An asker is an object with what it asks for.
type asker struct {
	id    object.ID
	asked struct {
		Feeds []source.Feed
		Units []unit.Unit
	}
}

// asked returns all sources and all units that can be seen, with what they ask for.
func (c *checkup) asked(ctx context.Context) (feeds, units []asker, err error) {
	for _, n := range c.Language.Nouns {
		found, err := List(ctx, c.Cluster, cluster.Selection{Kind: n.Kind})
		if errors.Is(err, cluster.ErrForbidden) {
			if err := c.unseen(n.Kind.Name+"s of all namespaces", err); err != nil {
				return nil, nil, err
			}
			found, err = List(ctx, c.Cluster, cluster.Selection{Kind: n.Kind, Namespace: c.Namespace})
			if errors.Is(err, cluster.ErrForbidden) {
				continue
			}
		}
		switch {
		case errors.Is(err, cluster.ErrNoKind): // told above
			continue
		case err != nil:
			return nil, nil, err
		}
		for _, o := range found {
			a := asker{id: o.ID()}
			asked, err := c.Dialect.Read(o, c.references(ctx))
			if err != nil {
				c.find(Odd, o.ID().String(), "it can't be read: "+err.Error(), "")
				continue
			}
			a.asked.Feeds, a.asked.Units = asked.Feeds, asked.Units
			if n.Feed {
				feeds = append(feeds, a)
			} else {
				units = append(units, a)
			}
		}
	}
	return feeds, units, nil
}

func has(all []asker, id object.ID) bool {
	return slices.ContainsFunc(all, func(a asker) bool { return a.id == id })
}

// unit looks whether all is there that a unit needs.
func (c *checkup) unit(ctx context.Context, id object.ID, u unit.Unit, feeds, units []asker) {
	about := id.String()
	if u.Err != nil {
		c.find(Bad, about, u.Err.Error(), "mend it, or what it refers to")
	}
	if from := c.Feed(u.Source); from.Name != "" && !has(feeds, from) {
		if _, there, err := c.Cluster.Get(ctx, from); err == nil && !there {
			c.find(Bad, about, "its source "+u.Source.String()+" is not there", "make it, or mend spec.sourceRef")
		}
	}
	for _, dep := range u.After {
		if !has(units, dep.ID()) {
			if _, there, err := c.Cluster.Get(ctx, dep.ID()); err == nil && !there {
				c.find(Bad, about, "it depends on "+dep.String()+", which is not there", "make it, or leave it out of spec.dependsOn")
			}
		}
	}
	if u.Target.Err != nil {
		c.find(Bad, about, u.Target.Err.Error(), "mend spec.kubeConfig, or what it refers to")
	}
	namespace, name, ok := strings.Cut(strings.TrimPrefix(u.Target.As, "system:serviceaccount:"), ":")
	if !ok || Afar(u) {
		return
	}
	account := object.ID{Kind: object.Kind{Name: "ServiceAccount"}, Namespace: namespace, Name: name}
	if _, there, err := c.Cluster.Get(ctx, account); err == nil && !there {
		c.find(Bad, about, "it acts as "+account.String()+", which is not there", "make it, or mend spec.serviceAccountName")
	}
}

// circles finds units that wait for each other.
func (c *checkup) circles(units []asker) {
	after := make(map[object.ID][]object.ID)
	for _, o := range units {
		for _, u := range o.asked.Units {
			for _, dep := range u.After {
				after[o.id] = append(after[o.id], dep.ID())
			}
		}
	}
	done := make(map[object.ID]bool)
	var way []object.ID
	var visit func(id object.ID)
	visit = func(id object.ID) {
		if i := slices.Index(way, id); i >= 0 {
			var names []string
			for _, at := range append(slices.Clone(way[i:]), id) {
				names = append(names, at.Namespace+"/"+at.Name)
			}
			c.find(Bad, id.String(), "it waits for itself: "+strings.Join(names, " → "), "leave one of them out of spec.dependsOn")
			return
		}
		if done[id] {
			return
		}
		way = append(way, id)
		for _, next := range after[id] {
			visit(next)
		}
		way, done[id] = way[:len(way)-1], true
	}
	for _, o := range units {
		visit(o.id)
	}
}
