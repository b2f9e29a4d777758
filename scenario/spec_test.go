package scenario

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// A specRow is a Kustomization of a directory of its own name.
type specRow struct {
	name   string
	files  map[string]string
	fields []string
	want   map[string]string // values by "name path.to.it" of ConfigMaps, or "Kind/name path.to.it"; "-" if there is none
	reason string            // or else why it is refused
	words  []string
}

// play plays rows beside each other. Of the files of a row those without a
// directory are in that of its name.
func (s *scene) play(rows []specRow) {
	s.Helper()
	files := make(map[string]string)
	for _, r := range rows {
		for name, text := range r.files {
			if !strings.Contains(name, "/") {
				name = r.name + "/" + name
			}
			files[name] = text
		}
	}
	rev := s.commit(files)
	s.feed()
	for _, r := range rows {
		s.unit(r.name, append([]string{"path: ./" + r.name}, r.fields...)...)
	}
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			if r.reason != "" {
				s.refused(s.unitID(r.name), r.reason, r.words...)
				return
			}
			s.ready(r.name, rev)
			for at, want := range r.want {
				s.value(at, want)
			}
		})
	}
}

// value complains if the value that is named is another.
func (s *scene) value(at, want string) {
	s.Helper()
	name, path, _ := strings.Cut(at, " ")
	id := s.id(configMaps, name)
	if kind, of, ok := strings.Cut(name, "/"); ok {
		id = s.id(map[string]object.Kind{"Deployment": deployments, "Service": services, "Secret": secrets}[kind], of)
	}
	o := s.get(id)
	var steps []string
	for step := range strings.SplitSeq(path, ".") {
		steps = append(steps, strings.ReplaceAll(step, "|", "."))
	}
	v, ok := o.Get(steps...)
	if list, is := v.([]any); is && len(list) == 1 {
		v = list[0]
	}
	if got := fmt.Sprint(v); want == "-" && ok || want != "-" && got != want {
		s.Errorf("%s of %s is %q, want %q", path, id, got, want)
	}
}

// plainMap returns a ConfigMap without a namespace.
func plainMap(name string, data ...string) string {
	return strings.Replace(configMap(name, data...), ", namespace: $NS", "", 1)
}

// TestSpec: what a Kustomization's fields make of what is in the repository.
func TestSpec(t *testing.T) {
	s := open(t)
	const component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
	const here = "targetNamespace: $NS"
	all := func(names ...string) map[string]string {
		files := make(map[string]string)
		for _, name := range names {
			files[name+".yaml"] = plainMap(name)
		}
		return files
	}
	web := func(name string) map[string]string {
		return map[string]string{"web.yaml": deployment(name, "web:1", 0, "")}
	}
	labelled := strings.Replace(configMap("labelled"), "metadata: {", "metadata: {labels: {tier: one, app: mine}, annotations: {note: mine}, ", 1)
	s.play([]specRow{
		{name: "components", files: map[string]string{
			"a.yaml": configMap("comp"), "parts/one/kustomization.yaml": component + "commonAnnotations: {one: 'yes'}\n", "parts/two/kustomization.yaml": component + "labels: [{pairs: {two: 'yes'}}]\n",
		}, fields: []string{"components: [../parts/one, ../parts/two]"}, want: map[string]string{"comp metadata.annotations.one": "yes", "comp metadata.labels.two": "yes"}},
		{name: "component-missing", files: all("nocomp"), fields: []string{here, "components: [../parts/none]"}, reason: "BuildFailed", words: []string{"../parts/none"}},
		{name: "component-overlooked", files: all("overlooked"), fields: []string{here, "components: [../parts/none]", "ignoreMissingComponents: true"}, want: map[string]string{"overlooked data.k": "v"}},
		{name: "component-remote", files: all("remote"), fields: []string{here, "components: ['https://example.com/c']"}, reason: "BuildFailed", words: []string{`component path "https://example.com/c" must be local and relative`}},
		{name: "metadata", files: map[string]string{"a.yaml": labelled}, fields: []string{"commonMetadata: {labels: {app: theirs, more: x}, annotations: {note: theirs}}"},
			want: map[string]string{"labelled metadata.labels.app": "theirs", "labelled metadata.labels.more": "x", "labelled metadata.labels.tier": "one", "labelled metadata.annotations.note": "theirs"}},
		{name: "names", files: all("named"), fields: []string{here, "namePrefix: pre-", "nameSuffix: -post"}, want: map[string]string{"pre-named-post data.k": "v"}},
		{name: "namespace", files: map[string]string{"a.yaml": strings.Replace(configMap("moved"), "$NS", "elsewhere", 1)}, fields: []string{here}, want: map[string]string{"moved data.k": "v"}},
		{name: "patches", files: map[string]string{"a.yaml": configMap("patched") + strings.Replace(configMap("marked"), "metadata: {", "metadata: {labels: {mark: 'yes'}, annotations: {note: 'yes'}, ", 1) + configMap("unpatched")},
			fields: []string{`patches:
  - patch: |
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: patched, namespace: $NS}
      data: {merged: "yes"}
  - target: {kind: ConfigMap, name: "patch.*"}
    patch: |
      - {op: add, path: /data/added, value: "yes"}
  - target: {kind: ConfigMap, labelSelector: mark=yes}
    patch: |
      - {op: add, path: /data/by-label, value: "yes"}
  - target: {version: v1, annotationSelector: note=yes}
    patch: |
      - {op: add, path: /data/by-note, value: "yes"}`},
			want: map[string]string{"patched data.merged": "yes", "patched data.added": "yes", "patched data.by-label": "-", "marked data.by-label": "yes", "marked data.by-note": "yes", "marked data.added": "-", "unpatched data": "map[k:v]"}},
		{name: "patch-bad", files: all("badpatch"), fields: []string{here, `patches: [{target: {kind: ConfigMap}, patch: "- {op: remove, path: /data/none}"}]`}, reason: "BuildFailed", words: []string{"/data/none"}},
		{name: "image-tag", files: web("tagged"), fields: []string{`images: [{name: web, newTag: "7"}]`}, want: map[string]string{"Deployment/tagged spec.template.spec.containers": container("web:7")}},
		{name: "image-name", files: web("renamed"), fields: []string{"images: [{name: web, newName: example.com/other}]"}, want: map[string]string{"Deployment/renamed spec.template.spec.containers": container("example.com/other:1")}},
		{name: "image-digest", files: web("pinned"), fields: []string{"images: [{name: web, digest: 'sha256:" + strings.Repeat("ab", 32) + "'}]"},
			want: map[string]string{"Deployment/pinned spec.template.spec.containers": container("web@sha256:" + strings.Repeat("ab", 32))}},
		{name: "image-merged", files: map[string]string{"web.yaml": deployment("merged", "web:1", 0, ""), "kustomization.yaml": "resources: [web.yaml]\nimages: [{name: web, newName: example.com/web, newTag: '2'}]\n"},
			fields: []string{`images: [{name: web, newTag: "3"}]`}, want: map[string]string{"Deployment/merged spec.template.spec.containers": container("example.com/web:3")}},
		{name: "image-digest-over-tag", files: map[string]string{"web.yaml": deployment("cleared", "web:1", 0, ""), "kustomization.yaml": "resources: [web.yaml]\nimages: [{name: web, newTag: '2'}]\n"},
			fields: []string{"images: [{name: web, digest: 'sha256:" + strings.Repeat("ab", 32) + "'}]"}, want: map[string]string{"Deployment/cleared spec.template.spec.containers": container("web@sha256:" + strings.Repeat("ab", 32))}},
		{name: "origins", files: map[string]string{"kustomization.yaml": "resources: [../origin-base]\n", "origin-base/kustomization.yaml": "resources: [a.yaml]\n", "origin-base/a.yaml": configMap("origin")},
			fields: []string{"buildMetadata: [originAnnotations]"}, want: map[string]string{"origin metadata.annotations.config|kubernetes|io/origin": "path: ../origin-base/a.yaml\n"}},
		{name: "transformers", files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: tr-\n", "a.yaml": configMap("transformed")},
			fields: []string{"buildMetadata: [transformerAnnotations]"}, want: map[string]string{"tr-transformed metadata.annotations.alpha|config|kubernetes|io/transformations": "- configuredIn: kustomization.yaml\n  configuredBy:\n    apiVersion: builtin\n    kind: PrefixTransformer\n"}},
		{name: "no-file", files: map[string]string{"a.yaml": configMap("generated"), "no-file/deep/b.yml": configMap("deep"), "no-file/own/kustomization.yaml": "resources: [c.yaml]\nnamePrefix: own-\n", "no-file/own/c.yaml": configMap("dir"), "README.md": "no object"},
			want: map[string]string{"generated data.k": "v", "deep data.k": "v", "own-dir data.k": "v", "dir data.k": "-"}},
		{name: "no-such-path", reason: "ArtifactFailed", words: []string{"kustomization path not found"}},
		{name: "remote-base", files: map[string]string{"kustomization.yaml": "resources: ['https://example.com/base?ref=v1']\n"}, reason: "BuildFailed", words: []string{"example.com"}},
		{name: "no-namespace", files: all("nowhere"), reason: "ReconciliationFailed", words: []string{"ConfigMap/nowhere", "namespace not specified"}},
	})
}

// container returns how the only container of a Deployment is shown.
func container(image string) string {
	return "map[image:" + image + " imagePullPolicy:IfNotPresent name:main resources:map[] terminationMessagePath:/dev/termination-log terminationMessagePolicy:File]"
}

// TestSubstitution: what variables become, where they come from, and what is left
// as it is.
func TestSubstitution(t *testing.T) {
	s := open(t)
	s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first, namespace: $NS}\ndata: {a: first, b: first, lines: \"one\\ntwo\\n\"}\n")
	s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: misnamed, namespace: $NS}\ndata: {'a-b': x}\n")
	s.secret("second", map[string]string{"b": "second", "c": "second"})
	from := "substituteFrom: [{kind: ConfigMap, name: first}, {kind: Secret, name: second}]"
	cm := func(name, value string) map[string]string {
		return map[string]string{"cm.yaml": configMap(name, "x: '"+value+"'")}
	}
	marked := func(name, mark string) map[string]string {
		return map[string]string{"cm.yaml": strings.Replace(configMap(name, "x: '${a}${none}'"), "metadata: {", "metadata: {"+mark+": {kustomize.toolkit.fluxcd.io/substitute: disabled}, ", 1)}
	}
	replicas := map[string]string{"web.yaml": strings.Replace(deployment("retyped", "web:1", 9, ""), "replicas: 9", "replicas: ${count}\n  paused: ${p}", 1)}
	rows := []specRow{
		{name: "inline", files: cm("inline", "${a}-$a"), fields: []string{"postBuild: {substitute: {a: x}}"}, want: map[string]string{"inline data.x": "x-$a"}},
		{name: "default", files: cm("default", "${none:=d} ${none:-e} ${a:=f}"), fields: []string{"postBuild: {substitute: {a: x}}"}, want: map[string]string{"default data.x": "d e x"}},
		{name: "cut", files: cm("cut", "${a:1} ${a:1:2} ${#a}"), fields: []string{"postBuild: {substitute: {a: abcdef}}"}, want: map[string]string{"cut data.x": "bcdef bc 6"}},
		{name: "replaced", files: cm("replaced", "${a/b/x} ${a//b/x} ${a#ab} ${a%bc} ${a^^}"), fields: []string{"postBuild: {substitute: {a: abcbc}}"}, want: map[string]string{"replaced data.x": "axcbc axcxc cbc abc ABCBC"}},
		{name: "escaped", files: cm("escaped", "$${a} $$x"), fields: []string{"postBuild: {substitute: {a: x}}"}, want: map[string]string{"escaped data.x": "${a} $x"}},
		{name: "from", files: cm("from", "${a} ${b} ${c}"), fields: []string{"postBuild: {" + from + "}"}, want: map[string]string{"from data.x": "first second second"}},
		{name: "inline-over-from", files: cm("over", "${a} ${b}"), fields: []string{"postBuild: {substitute: {a: inline}, " + from + "}"}, want: map[string]string{"over data.x": "inline second"}},
		{name: "one-line", files: cm("lines", "${lines}"), fields: []string{"postBuild: {" + from + "}"}, want: map[string]string{"lines data.x": "onetwo"}},
		{name: "retyped", files: replicas, fields: []string{`postBuild: {substitute: {count: "0", p: "true"}}`}, want: map[string]string{"Deployment/retyped spec.replicas": "0", "Deployment/retyped spec.paused": "true"}},
		{name: "optional", files: cm("optional", "${a}"), fields: []string{"postBuild: {substitute: {a: x}, substituteFrom: [{kind: Secret, name: none, optional: true}]}"}, want: map[string]string{"optional data.x": "x"}},
		{name: "missing", files: cm("missing", "${a}"), fields: []string{"postBuild: {substitute: {a: x}, substituteFrom: [{kind: Secret, name: none}]}"}, reason: "BuildFailed", words: []string{"spec.postBuild.substituteFrom: Secret/$NS/none not found"}},
		{name: "strict", files: cm("strict", "${none}"), fields: []string{"postBuild: {substitute: {a: x}}"}, reason: "BuildFailed", words: []string{"strict/cm.yaml", `variable "none" is not set`}},
		{name: "misnamed", files: cm("misnamed-a", "${a}"), fields: []string{"postBuild: {substituteFrom: [{kind: ConfigMap, name: misnamed}]}"}, reason: "BuildFailed", words: []string{"'a-b' can't be a variable"}},
		{name: "bad-syntax", files: cm("syntax", "${a"), fields: []string{"postBuild: {substitute: {a: x}}"}, reason: "BuildFailed", words: []string{"missing closing brace"}},
		{name: "by-annotation", files: marked("annotated", "annotations"), fields: []string{"postBuild: {substitute: {a: x}}"}, want: map[string]string{"annotated data.x": "${a}${none}"}},
		{name: "by-label", files: marked("labelled", "labels"), fields: []string{"postBuild: {substitute: {a: x}}"}, want: map[string]string{"labelled data.x": "${a}${none}"}},
		{name: "no-variables", files: cm("untouched", "${none:=d}"), fields: []string{"postBuild: {substituteStrategy: WithVariables}"}, want: map[string]string{"untouched data.x": "${none:=d}"}},
		{name: "always", files: cm("always", "${none:=d}"), fields: []string{"postBuild: {substituteStrategy: Always}"}, want: map[string]string{"always data.x": "d"}},
		{name: "always-strict", files: cm("always-strict", "${none}"), fields: []string{"postBuild: {substituteStrategy: Always}"}, reason: "BuildFailed", words: []string{`variable "none" is not set`}},
		{name: "no-build", files: cm("as-it-is", "${none}"), want: map[string]string{"as-it-is data.x": "${none}"}},
	}
	s.play(rows)
}

// TestSwitches: what objects ask for by their annotations or labels, in the
// repository or where they are.
func TestSwitches(t *testing.T) {
	s := open(t)
	asking := func(text, where, key, value string) string {
		return strings.Replace(text, "metadata: {", "metadata: {"+where+": {kustomize.toolkit.fluxcd.io/"+key+": "+value+"}, ", 1)
	}
	type files = map[string]string
	pick := func(m files, more files) files { n := maps.Clone(m); maps.Copy(n, more); return n }
	kept := func(name string) files { return files{"keep.yaml": configMap(name + "-keep")} }
	rows := []struct {
		name          string
		before, after files // in the repository
		live          func(s *scene)
		want          map[string]string
		gone, left    []string // ConfigMaps
	}{
		{"left-alone", pick(kept("alone"), files{"a.yaml": configMap("alone")}), pick(kept("alone"), files{"a.yaml": asking(configMap("alone", "n: new"), "annotations", "reconcile", "disabled")}),
			nil, map[string]string{"alone data": "map[k:v]"}, nil, nil},
		{"left-alone-where-it-is", pick(kept("there"), files{"a.yaml": configMap("there")}), pick(kept("there"), files{"a.yaml": configMap("there", "n: new")}),
			func(s *scene) {
				s.patch(s.id(configMaps, "there"), "somebody", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}},"data":{"k":"theirs"}}`)
			}, map[string]string{"there data": "map[k:theirs]"}, nil, nil},
		{"left-alone-and-dropped", pick(kept("drop"), files{"a.yaml": configMap("drop")}), files{"a.yaml": gitserver.Delete},
			func(s *scene) {
				s.patch(s.id(configMaps, "drop"), "somebody", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}}}`)
			}, nil, nil, []string{"drop"}},
		{"ignored-from-the-beginning", pick(kept("ignored"), files{"a.yaml": asking(configMap("ignored"), "labels", "ssa", "Ignore")}), kept("ignored"), nil, nil, []string{"ignored"}, nil},
		{"kept-by-label", pick(kept("bylabel"), files{"a.yaml": asking(configMap("bylabel"), "labels", "prune", "disabled")}), files{"a.yaml": gitserver.Delete}, nil, nil, nil, []string{"bylabel"}},
		{"kept-by-annotation", pick(kept("bynote"), files{"a.yaml": asking(configMap("bynote"), "annotations", "prune", "Disabled")}), files{"a.yaml": gitserver.Delete}, nil, nil, nil, []string{"bynote"}},
		{"made-once", pick(kept("once"), files{"a.yaml": asking(configMap("once"), "annotations", "ssa", "IfNotPresent")}), pick(kept("once"), files{"a.yaml": asking(configMap("once", "n: new"), "annotations", "ssa", "IfNotPresent")}),
			nil, map[string]string{"once data": "map[k:v]"}, nil, nil},
		{"made-once-and-dropped", pick(kept("oncedrop"), files{"a.yaml": asking(configMap("oncedrop"), "annotations", "ssa", "IfNotPresent")}), files{"a.yaml": gitserver.Delete}, nil, nil, []string{"oncedrop"}, nil},
	}
	at := func(name string, fs files) files {
		all := make(files)
		for f, text := range fs {
			all[name+"/"+f] = text
		}
		return all
	}
	first, second := make(files), make(files)
	for _, r := range rows {
		maps.Copy(first, at(r.name, r.before))
		maps.Copy(second, at(r.name, r.after))
	}
	rev := s.commit(first)
	s.feed()
	for _, r := range rows {
		s.unit(r.name, "path: "+r.name)
	}
	for _, r := range rows {
		s.ready(r.name, rev)
		if r.live != nil {
			r.live(s)
		}
	}
	rev = s.push(second)
	for _, r := range rows {
		s.row(r.name, func(s *scene) {
			s.ready(r.name, rev)
			for at, want := range r.want {
				s.value(at, want)
			}
			for _, name := range r.gone {
				s.gone(s.id(configMaps, name))
			}
			for _, name := range r.left {
				if s.get(s.id(configMaps, name)).IsZero() {
					s.Errorf("%s has been deleted", name)
				}
			}
		})
	}
}

// TestForcePrecious: leave to recreate an object, by itself or for all of a unit,
// is none to delete what holds others.
func TestForcePrecious(t *testing.T) {
	s := open(t)
	inside, group := s.ns+"-in", s.ns+".example.com"
	namespace := func(more string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + inside + ", annotations: {kustomize.toolkit.fluxcd.io/force: enabled}}\n" + more
	}
	definition := func(scope string) string {
		return "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets." + group + ", annotations: {kustomize.toolkit.fluxcd.io/force: enabled}}\n" +
			"spec:\n  group: " + group + "\n  names: {kind: Widget, plural: widgets}\n  scope: " + scope + "\n" +
			"  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]\n"
	}
	s.commit(map[string]string{"ns/a.yaml": namespace(""), "crd/a.yaml": definition("Namespaced")})
	s.feed()
	s.unit("ns", "path: ns", "force: true")
	s.unit("crd", "path: crd", "force: true")
	s.ready("ns", "")
	s.ready("crd", "")
	ns := s.get(object.ID{Kind: namespaces, Name: inside})
	crd := s.get(object.ID{Kind: object.Kind{Group: "apiextensions.k8s.io", Name: "CustomResourceDefinition"}, Name: "widgets." + group})
	s.push(map[string]string{"ns/a.yaml": namespace("spec: {finalizers: [example.com/none]}\n"), "crd/a.yaml": definition("Cluster")})
	s.refused(s.unitID("crd"), "ReconciliationFailed", "CustomResourceDefinition/widgets."+group, "spec.scope", "immutable")
	s.is(s.get(crd.ID()), crd.UID(), "metadata", "uid")
	s.asks(s.unitID("ns"))
	s.is(s.get(ns.ID()), ns.UID(), "metadata", "uid")
}

// TestJobGone: a Job that takes itself away when it is done counts as done.
func TestJobGone(t *testing.T) {
	s := open(t)
	job := func(name, more string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + ", namespace: $NS}\nspec:\n  ttlSecondsAfterFinished: 0\n" +
			"  template: {spec: {restartPolicy: Never, containers: [{name: main, image: job}]}}\n" + more
	}
	rev := s.commit(map[string]string{"waited/job.yaml": job("waited", ""), "checked/job.yaml": job("checked", "")})
	s.feed()
	s.unit("waited", "path: waited", "wait: true")
	s.unit("checked", "path: checked", "healthChecks: [{apiVersion: batch/v1, kind: Job, name: checked, namespace: $NS}]")
	for _, name := range []string{"waited", "checked"} {
		s.ready(name, rev)
		s.gone(s.id(jobs, name))
		s.asks(s.unitID(name))
		s.ready(name, rev)
	}
}

// TestOverrun: a new revision is not held up by the health of the one before, and
// neither is a suspension.
func TestOverrun(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"web.yaml": deployment("web", "web:1", 1, "unready")})
	s.feed()
	id := s.unitID("apps")
	s.unit("apps", "wait: true", "timeout: 1h")
	observing := func() {
		s.Helper()
		s.until(id, "runs its health checks", func(o object.Object) bool {
			status, reason, message := condition(o, "Healthy")
			return status == "Unknown" && reason == "Progressing" && strings.Contains(message, "Deployment/"+s.ns+"/web")
		})
	}
	observing()
	rev := s.push(map[string]string{"web.yaml": deployment("web", "web:1", 1, "")})
	o := s.ready("apps", rev)
	s.same("conditions", conditions(o), "Healthy=True Succeeded", "Ready=True ReconciliationSucceeded")
	s.push(map[string]string{"web.yaml": deployment("web", "web:2", 1, "unready")})
	observing()
	s.patch(id, "kubectl", `{"spec":{"timeout":"30s","wait":false}}`)
	o = s.until(id, "does not wait any more", func(o object.Object) bool {
		status, _, _ := condition(o, "Ready")
		return status == "True" && observed(o)
	})
	s.same("conditions", conditions(o), "Ready=True ReconciliationSucceeded")
}

// TestNoPrune: what leaves the repository stays where it is, and is forgotten.
func TestNoPrune(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a.yaml": configMap("a"), "b.yaml": configMap("b")})
	s.feed()
	s.unit("apps", "prune: false")
	s.ready("apps", "")
	rev := s.push(map[string]string{"b.yaml": gitserver.Delete})
	s.same("inventory", inventory(s.ready("apps", rev)), "$NS_a__ConfigMap v1")
	s.here(s.id(configMaps, "b"))
}

// decoded returns what a Secret holds under a key.
func (s *scene) decoded(secret, key string) string {
	s.Helper()
	data, err := base64.StdEncoding.DecodeString(text(s.get(s.id(secrets, secret)), "data", key))
	s.must(err)
	return string(data)
}

// TestKubeconfigKeys: under which key a kubeconfig is looked for.
func TestKubeconfigKeys(t *testing.T) {
	s := open(t)
	s.access("there", func(*api.Config) {})
	kubeconfig := s.decoded("there", "value")
	s.secret("yaml", map[string]string{"value.yaml": kubeconfig})
	s.secret("other", map[string]string{"mine": kubeconfig})
	s.secret("both", map[string]string{"value": kubeconfig, "mine": "no kubeconfig"})
	rows := []specRow{
		{name: "value", fields: []string{"kubeConfig: {secretRef: {name: there}}"}, want: map[string]string{"far-value data.k": "v"}},
		{name: "value-yaml", fields: []string{"kubeConfig: {secretRef: {name: yaml}}"}, want: map[string]string{"far-value-yaml data.k": "v"}},
		{name: "by-name", fields: []string{"kubeConfig: {secretRef: {name: other, key: mine}}"}, want: map[string]string{"far-by-name data.k": "v"}},
		{name: "missing", fields: []string{"kubeConfig: {secretRef: {name: other}}"}, reason: "ReconciliationFailed", words: []string{"secret '$NS/other' has no kubeconfig: the key 'value' is missing or empty"}},
		{name: "missing-by-name", fields: []string{"kubeConfig: {secretRef: {name: there, key: mine}}"}, reason: "ReconciliationFailed", words: []string{"secret '$NS/there' has no kubeconfig: the key 'mine' is missing or empty"}},
		{name: "none", fields: []string{"kubeConfig: {secretRef: {name: both, key: mine}}"}, reason: "ReconciliationFailed", words: []string{"kubeconfig"}},
	}
	for i, r := range rows {
		rows[i].files = map[string]string{"a.yaml": configMap("far-" + r.name)}
	}
	s.play(rows)
	s.run("delete", "kustomization", "--all", "--timeout=60s") // those that never got there, too
	s.gone(s.id(configMaps, "far-value"))
}

// TestHangingCluster: a cluster that takes connections and never answers holds up
// its own units, and no others.
func TestHangingCluster(t *testing.T) {
	s := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	s.access("hung", func(c *api.Config) {
		for _, at := range c.Clusters {
			at.Server = "https://" + l.Addr().String()
		}
	})
	s.commit(map[string]string{"far/a.yaml": configMap("far"), "near/a.yaml": configMap("near")})
	s.feed()
	var hung []string
	for i := range 12 { // more than the workers that there are
		hung = append(hung, fmt.Sprint("hung-", i))
		s.unit(hung[i], "path: far", "kubeConfig: {secretRef: {name: hung}}", "namePrefix: "+hung[i]+"-", "timeout: 30s")
	}
	for _, name := range hung {
		s.until(s.unitID(name), "has been begun", func(o object.Object) bool {
			status, _, _ := condition(o, "Ready")
			return status != ""
		})
	}
	s.unit("near", "path: near")
	s.ready("near", "")
	rev := s.push(map[string]string{"near/a.yaml": configMap("near", "n: new")})
	s.ready("near", rev)
	s.refused(s.unitID(hung[0]), "ReconciliationFailed", "server is not available", l.Addr().String())
	s.access("hung", func(*api.Config) {})
	s.ready(hung[0], rev)
	for _, name := range hung {
		s.ready(name, rev)
	}
	s.run("delete", "kustomization", "--all", "--timeout=60s")
}

// TestRetry: what fails is tried again after retryInterval, though nobody asks.
func TestRetry(t *testing.T) {
	s := open(t)
	s.commit(map[string]string{"a.yaml": strings.Replace(configMap("late"), "$NS", "$NS-late", 1)})
	s.feed()
	s.unit("apps", "retryInterval: 1s")
	s.refused(s.unitID("apps"), "ReconciliationFailed", "$NS-late")
	late := object.ID{Kind: namespaces, Name: s.ns + "-late"}
	s.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: $NS-late, labels: {scenario.sane.dev/test: "yes"}}}`)
	t.Cleanup(func() { s.delete(late) })
	s.ready("apps", "")
}
