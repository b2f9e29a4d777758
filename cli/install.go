package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/sane-gitops/sane/cluster"
	"github.com/sane-gitops/sane/object"
)

// An installing is one `sane install`.
type installing struct {
	*desk
	Installation
	export bool
	force  bool
}

func installCommand(d *desk) *cobra.Command {
	i := &installing{desk: d}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install Sane in a cluster: kinds, namespace, permissions, controller",
		Long: `Install puts into a cluster what Sane needs there: Flux's custom resource definitions,
a namespace, permissions and the controller. Definitions that are there already, such
as Flux's own, stay as they are.`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.BoolVar(&i.export, "export", false, "print YAML and install nothing")
	f.StringVar(&i.Image, "image", "", "`IMAGE` of the controller (default that of this version)")
	f.BoolVar(&i.CRDsOnly, "crds-only", false, "only the custom resource definitions")
	f.StringSliceVar(&i.Controllers, "controllers", nil, "do the work of these of Flux's controllers only; see `sane run --help`")
	f.BoolVar(&i.ServeArtifacts, "serve-artifacts", false, "serve tarballs of what sources hold, as Flux's source-controller does")
	f.BoolVar(&i.Web, "web", false, "serve pages for people, behind the Service sane-web")
	f.StringVar(&i.WebURL, "web-external-url", "", "`URL` by which browsers come to the pages, such as https://sane.example.com, where an ingress speaks TLS")
	f.BoolVar(&i.force, "force-crds", false, "replace definitions that are there already")
	return cmd
}

func (i *installing) run(ctx context.Context) error {
	if u, err := url.Parse(i.WebURL); i.WebURL != "" && (!i.Web || err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "") {
		return fmt.Errorf("install: --web-external-url %q: want --web with it, and https://HOST", i.WebURL)
	}
	if i.Namespace = i.namespace; i.Namespace == "" {
		i.Namespace = "flux-system"
	}
	objects, err := i.Manifests(i.Installation)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if i.export {
		return i.print(objects)
	}
	at, err := i.place()
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range objects {
		if err := i.put(ctx, at.Cluster, o); err != nil {
			errs = append(errs, err)
		}
	}
	return failed(errs)
}

func (i *installing) print(objects []object.Object) error {
	var b bytes.Buffer
	for _, o := range objects {
		data, err := yaml.Marshal(o.Body())
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "---\n%s", data)
	}
	_, err := i.out.Write(b.Bytes())
	return err
}

var definitions = object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}

// put applies one object and says what came of it.
func (i *installing) put(ctx context.Context, c cluster.Cluster, o object.Object) error {
	live, there, err := c.Get(ctx, o.ID())
	if err != nil {
		return err
	}
	if there && o.ID().Kind == definitions && !i.force {
		return i.say(o, "kept")
	}
	now, err := c.Apply(ctx, o, cluster.How{Manager: manager, Force: true})
	if err != nil {
		return err
	}
	done := "configured"
	switch {
	case !there:
		done = "created"
	case now.ResourceVersion() == live.ResourceVersion():
		done = "unchanged"
	}
	if err := i.say(o, done); err != nil || o.ID().Kind != definitions {
		return err
	}
	return established(ctx, c, o.ID())
}

func (i *installing) say(o object.Object, done string) error {
	_, err := fmt.Fprintf(i.out, "%s %s\n", kubectlName(o.ID()), done)
	return err
}

// established waits until the server serves what a definition defines.
func established(ctx context.Context, c cluster.Cluster, id object.ID) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for ch, err := range c.Watch(ctx, cluster.Selection{Kind: id.Kind, Name: id.Name}) {
		if err != nil && (errors.Is(err, cluster.ErrForbidden) || errors.Is(err, cluster.ErrNoKind)) {
			return err
		}
		if ch.Type == cluster.Put && ch.Object.Condition("Established").Text("status") == "True" {
			return nil
		}
	}
	return fmt.Errorf("install %s: the server does not serve it after a minute: %w", id, ctx.Err())
}
