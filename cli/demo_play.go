package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/sane-gitops/sane/ask"
	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// What is done to the sample repository.
var (
	newVersion = edit{"apps/base/api/deployment.yaml", "shop/api:1.4.0", "shop/api:1.5.0", "api 1.5.0"}
	mistake    = edit{"apps/base/web/deployment.yaml", "replicas: 1", "replicas: one", "a mistake"}
	correction = edit{mistake.file, mistake.to, mistake.from, "as it was"}
)

// web is the Deployment that is deleted by hand.
var web = object.ID{Kind: deployments, Namespace: "production", Name: "web"}

// A figure is something that was measured.
type figure struct {
	what string
	took time.Duration
}

// play shows what there is to be shown.
func (d *demo) play(ctx context.Context) error {
	sync, err := d.firstSync(ctx)
	if err != nil {
		return err
	}
	push, err := d.push(ctx, newVersion)
	if err != nil {
		return err
	}
	figures := []figure{{"first sync to all healthy", sync}, {"git push to all healthy", push}}
	if !d.once {
		return d.stay(ctx)
	}
	for _, try := range []func(context.Context) (figure, error){d.delete, d.blunder, d.correct} {
		f, err := try(ctx)
		if err != nil {
			return err
		}
		figures = append(figures, f)
	}
	io.WriteString(d.out, "\n")
	for _, f := range figures {
		fmt.Fprintf(d.out, "%-36s %s\n", f.what, brief(f.took))
	}
	return nil
}

// firstSync asks for everything in the sample repository, and waits until it is
// healthy.
func (d *demo) firstSync(ctx context.Context) (time.Duration, error) {
	began := d.story.chapter("The first sync")
	for _, o := range d.shop.first {
		if _, err := d.at.Cluster.Apply(ctx, o, cluster.How{Manager: manager, Force: true}); err != nil {
			return 0, err
		}
	}
	d.story.say(green, "applied by hand", syncFile)
	return d.settle(ctx, began)
}

// settle waits until everything is healthy at the last commit.
func (d *demo) settle(ctx context.Context, began time.Time) (time.Duration, error) {
	if err := d.healthy(ctx, d.shop.head); err != nil {
		return 0, err
	}
	took := d.now().Sub(began)
	v, _ := d.board.see()
	units := v.of(d.Language.Units()[0].Kind)
	d.story.catchUp(units, d.shop.head)
	d.story.say(green, "the cluster", fmt.Sprintf("all %d units are healthy after %s", len(units), brief(took)))
	return took, nil
}

// push pushes an edit and waits until everything is healthy. It returns how
// long that took from when `git push` began.
func (d *demo) push(ctx context.Context, e edit) (time.Duration, error) {
	if err := d.shop.commit(ctx, e); err != nil {
		return 0, err
	}
	began := d.story.chapter("A push: " + e.why)
	if err := d.shop.push(ctx); err != nil {
		return 0, err
	}
	return d.settle(ctx, began)
}

// delete deletes a Deployment as somebody might by hand.
func (d *demo) delete(ctx context.Context) (figure, error) {
	f := figure{what: "a deleted Deployment is back"}
	began := d.story.chapter("Somebody deletes " + web.String())
	was, err := ask.Must(ctx, d.at.Cluster, web)
	if err != nil {
		return f, err
	}
	if err := d.at.Cluster.Delete(ctx, web, cluster.Where{UID: was.UID()}); err != nil {
		return f, err
	}
	if err := d.board.until(ctx, d.timeout, func(v view) string {
		if now, there := v[web]; !there || now.UID() == was.UID() {
			return web.String() + " is not back"
		}
		return ""
	}); err != nil {
		return f, err
	}
	f.took = d.now().Sub(began)
	return f, d.board.until(ctx, d.timeout, func(v view) string {
		if c := v[web].Condition("Available"); c.Text("status") != "True" {
			return web.String() + " is not available"
		}
		return d.lacks(v, d.shop.head)
	})
}

// blunder pushes a mistake and waits until it is named.
func (d *demo) blunder(ctx context.Context) (figure, error) {
	f := figure{what: "git push of a mistake to its name"}
	before, _ := d.board.see()
	if err := d.shop.commit(ctx, mistake); err != nil {
		return f, err
	}
	began := d.story.chapter("A push: " + mistake.why)
	if err := d.shop.push(ctx); err != nil {
		return f, err
	}
	unit := d.Language.Units()[0].ID(home, "staging-web")
	if err := d.board.until(ctx, d.timeout, func(v view) string {
		s := ask.StandingOf(v[unit])
		if s.Ready != "False" || !strings.Contains(s.Message, "replicas") {
			return fmt.Sprintf("%s does not name the mistake: Ready is %s: %s", unit, s.Ready, s.Message)
		}
		return ""
	}); err != nil {
		return f, err
	}
	f.took = d.now().Sub(began)
	after, _ := d.board.see()
	for _, o := range before.of(deployments) {
		if now := after[o.ID()]; now.UID() != o.UID() || now.Generation() != o.Generation() {
			return f, fmt.Errorf("%s did not stay as it was", o.ID())
		}
	}
	d.story.say(green, "the cluster", "all Deployments are as they were")
	return f, nil
}

// correct takes the mistake back.
func (d *demo) correct(ctx context.Context) (f figure, err error) {
	f.what = "git push of the cure to all healthy"
	f.took, err = d.push(ctx, correction)
	return f, err
}

// stay says what to try and shows what comes of it until ctx is done.
func (d *demo) stay(ctx context.Context) error {
	if err := d.suggest(); err != nil {
		return err
	}
	d.story.open()
	seen := d.shop.head
	for {
		v, changed := d.board.see()
		if at := d.fetched(v); at != seen && d.lacks(v, at) == "" {
			d.story.say(green, "the cluster", "all is healthy")
			seen = at
		}
		select {
		case <-changed:
		case <-ctx.Done():
			fmt.Fprintln(d.out, "\nstopping")
			return ctx.Err()
		}
	}
}

// fetched returns the commit that the source has got to.
func (d *demo) fetched(v view) string {
	says, err := d.spoken()
	if err != nil {
		return ""
	}
	rev := says.RecallFeed(v[d.feed()]).Revision.Name
	return rev[strings.LastIndexByte(rev, ':')+1:]
}

var suggestions = template.Must(template.New("").Parse(`
{{call .Bold "Now you."}} In a browser, to watch:

    {{.Pages}}

In another terminal:

    export KUBECONFIG={{.Kubeconfig}}{{with .Path}} PATH={{.}}:$PATH{{end}}
    git clone -c user.name=me -c user.email=me@example.com {{.URL}} && cd shop

{{call .Bold "1. Push a change."}}

    sed -i.bak 's/web:3.1.0/web:3.2.0/' apps/base/web/deployment.yaml
    git commit -qam 'web 3.2.0' && git push

   It is rolled out in staging, then in production, while you watch here. The Git
   server tells the controller of a push by an annotation, as a webhook would;
   besides, the controller looks every 10 seconds.

{{call .Bold "2. Delete something by hand."}}

    kubectl delete deployment -n production web; kubectl get deployment -n production

   It is there again at once: the controller watches what it applied.

{{call .Bold "3. Break a manifest."}}

    sed -i.bak 's/replicas: 1/replicas: one/' apps/base/web/deployment.yaml
    git commit -qam oops && git push
    sane get -A

   staging-web says what is wrong with which object; what runs goes on running, and
   what comes after it, production-web, waits. To mend it:

    git revert --no-edit HEAD && git push

{{call .Bold "Look around."}}

    sane get all -A                    units and sources: ready, revision, waits on what
    sane plan -A                       what would change now: nothing
    sane plan -A --path .              … and what if Git were as the files in this directory
    kubectl get deployments,pods -A    (the pods are kwok's: nothing runs in them)

Ctrl-C ends everything and leaves nothing behind.
`))

// suggest prints what to try.
func (d *demo) suggest() error {
	var path string
	if self, err := os.Executable(); err == nil && !onPath(filepath.Dir(self)) {
		path = filepath.Dir(self)
	}
	return suggestions.Execute(d.out, map[string]any{
		"Bold":       func(s string) string { return d.out.paint(bold, s) },
		"Kubeconfig": d.plane.kubeconfig, "URL": d.shop.url, "Path": path, "Pages": d.pages,
	})
}

func onPath(dir string) bool { return slices.Contains(filepath.SplitList(os.Getenv("PATH")), dir) }
