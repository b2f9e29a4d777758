package scenario

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/internal/browser"
	"github.com/sane-gitops/sane/internal/gitserver"
	"github.com/sane-gitops/sane/object"
)

// TestPages: two people look at the same units, each as themselves: who may only
// read is shown no button and no object that they may not get; who may do more
// sees a push, undone drift, a difference and a held deletion through.
func TestPages(t *testing.T) {
	s := openAlone(t)
	chrome := browser.Start(t)
	p := s.controller(s.kubeconfig, t.TempDir(), "--web-addr", "127.0.0.1:0")

	s.people()
	first := s.commit(map[string]string{
		"shop/web.yaml":    deployment("web", "web:1", 2, ""),
		"shop/config.yaml": configMap("settings", "motd: hello") + configMap("other"),
		"shop/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: $NS}\nstringData: {password: first-of-all}\n",
		"idle/a.yaml":      configMap("idle"),
	})
	s.feed()
	s.unit("shop", "path: shop", "wait: true")
	s.unit("idle", "path: idle")
	s.ready("shop", first)
	s.ready("idle", first)
	site := "http://" + p.address("web")

	// Who may read units and ConfigMaps.
	guest := s.visit(chrome, site, "guest")
	guest.Open(site + "/?namespace=" + s.ns)
	guest.UntilText("shop")
	guest.Audit()
	guest.Fill("[data-search]", "idle")
	guest.Until(`!document.querySelector("table.units").innerText.includes("shop") && location.search.includes("q=idle")`)
	guest.Open(site + s.page("shop"))
	guest.UntilText("What it has made")
	text := guest.Text()
	for _, button := range []string{"Reconcile", "Suspend", "Resume"} {
		if strings.Contains(text, button) {
			t.Errorf("a guest is offered %s:\n%s", button, text)
		}
	}
	guest.Open(site + "/object/Secret/" + s.ns + "/key")
	if text := guest.Text(); strings.Contains(text, "password") {
		t.Errorf("a guest reads of a Secret:\n%s", text)
	}
	guest.Excuse("403")

	// Who may do all in the namespace.
	owner := s.visit(chrome, site, "owner")
	owner.Open(site + s.page("shop"))
	owner.UntilText("Reconcile")
	owner.Until(state("ready"))
	owner.Until(`document.querySelectorAll("svg.tree g.box").length >= 6`) // the unit, four objects, and what a Deployment makes
	owner.Audit()
	owner.Steady()

	// A push that can't be healthy, and one that mends it.
	s.push(map[string]string{"shop/web.yaml": deployment("web", "web:2", 2, "imagepull")})
	owner.Until(state("progressing"))
	owner.UntilText("ImagePullBackOff")
	owner.Until(`document.querySelector("svg.tree g.box.is-failed")`)
	owner.Shot("unit")
	good := s.push(map[string]string{
		"shop/web.yaml":    deployment("web", "web:3", 2, ""),
		"shop/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: $NS}\nstringData: {password: second-to-none}\n",
	})
	owner.Until(state("ready"))
	owner.UntilText(short(good))

	// Somebody's edit is undone, and told of.
	s.patch(s.id(configMaps, "settings"), "mallory", `{"data":{"motd":"changed by hand"}}`)
	s.has(s.id(configMaps, "settings"), "hello", "data", "motd")
	owner.Until(`document.getElementById("drift").innerText.includes("settings was changed by mallory")`)

	// Two revisions, compared.
	owner.Open(site + s.page("shop") + "/compare?from=" + first + "&to=" + good)
	owner.UntilText("web:3")
	text = owner.Text()
	for _, w := range []string{"web:1", "key", "***"} {
		if !strings.Contains(text, w) {
			t.Errorf("the comparison has no %q:\n%s", w, text)
		}
	}
	for _, w := range []string{"first-of-all", "second-to-none", "Zmlyc3Qtb2YtYWxs", "c2Vjb25kLXRvLW5vbmU"} {
		if strings.Contains(text, w) {
			t.Errorf("the comparison tells %q", w)
		}
	}

	// Back to the first revision, in a commit of its own that is pushed.
	owner.Open(site + s.page("shop") + "/rollback?to=" + first)
	owner.UntilText("Make the commit and push it")
	owner.Shot("rollback")
	owner.Audit()
	owner.Fill("form.approve input[name=reason]", "two was too many")
	owner.Click("form.approve button")
	owner.UntilText("The commit that goes back is pushed.")
	s.until(s.id(deployments, "web"), "is as it was", func(o object.Object) bool {
		return strings.Contains(string(o.JSON()), `"web:1"`)
	})
	s.until(s.unitID("shop"), "is at a commit of its own", func(o object.Object) bool {
		rev := o.Text("status", "lastAppliedRevision")
		return rev != first && rev != good
	})

	// A deletion that is held, and approved.
	owner.Open(site + s.page("shop"))
	empty := s.push(map[string]string{
		"shop/web.yaml": gitserver.Delete, "shop/config.yaml": gitserver.Delete, "shop/secret.yaml": gitserver.Delete, "shop/README": "nothing here",
	})
	owner.Until(state("held"))
	owner.Open(site + s.page("shop") + "/plan")
	owner.Click("form.approve button")
	s.ready("shop", empty)
	s.gone(s.id(deployments, "web"))
	owner.Open(site + s.page("shop"))
	owner.Until(state("ready"))

	// All of that is remembered, and told to each as far as it is theirs to see.
	owner.Open(site + "/timeline?what=drift&unit=Kustomization/" + s.ns + "/shop")
	owner.UntilText("changed by mallory")
	owner.Open(site + "/timeline?what=held&what=approved")
	owner.UntilText("approved by system:serviceaccount:" + s.ns + ":owner")
	owner.UntilText("would delete")
	owner.Open(site + "/timeline?q=shop")
	owner.UntilText("deleted Deployment " + s.ns + "/web")
	owner.Audit()
	guest.Open(site + "/timeline?what=applied&what=pruned")
	guest.UntilText("that you may not get")
	text = guest.Text()
	for _, w := range []string{"Deployment", "Secret"} {
		if strings.Contains(text, w) {
			t.Errorf("a guest is told of a %s:\n%s", w, text)
		}
	}
}

// people makes two service accounts: guest may read units, sources and
// ConfigMaps, owner may do all.
func (s *scene) people() {
	s.Helper()
	s.apply(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: guest, namespace: $NS}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: owner, namespace: $NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: guest, namespace: $NS}
rules:
- {apiGroups: [kustomize.toolkit.fluxcd.io, source.toolkit.fluxcd.io], resources: ["*"], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: guest, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: guest}
subjects: [{kind: ServiceAccount, name: guest, namespace: $NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: owner, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: owner, namespace: $NS}]
`)
}

// visit returns a tab in which a service account has logged in by its token.
func (s *scene) visit(chrome *browser.Browser, site, account string) *browser.Tab {
	s.Helper()
	token := strings.TrimSpace(s.run("create", "token", account))
	tab := chrome.Tab(s.T, 1440, 1000, "light")
	tab.Open(site + "/")
	tab.UntilText("Bearer token")
	tab.Audit()
	tab.Fill("#token", token)
	tab.Click("form[action='/login'] button")
	tab.UntilText(account)
	return tab
}

// page returns the path of a unit's page.
func (s *scene) page(unit string) string { return "/unit/kustomization/" + s.ns + "/" + unit }

// state is an expression that a unit's page is in a state.
func state(name string) string { return `document.querySelector(".title .state.is-` + name + `")` }

// short returns a revision as pages show it.
func short(rev string) string {
	branch, hash, _ := strings.Cut(rev, "@sha1:")
	return branch + "@" + hash[:8]
}
