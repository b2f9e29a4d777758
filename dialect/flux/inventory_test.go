package flux

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/object"
)

func rbac(name string) object.ID {
	return object.ID{Kind: object.Kind{Group: rbacGroup, Name: "ClusterRole"}, Name: name}
}

func TestID(t *testing.T) {
	for _, tt := range []struct {
		id   object.ID
		want string
	}{
		{object.ID{Kind: object.Kind{Name: "Namespace"}, Name: "apps"}, "_apps__Namespace"},
		{object.ID{Kind: object.Kind{Name: "Service"}, Namespace: "apps", Name: "web"}, "apps_web__Service"},
		{object.ID{Kind: object.Kind{Group: "apps", Name: "Deployment"}, Namespace: "apps", Name: "web.x"}, "apps_web.x_apps_Deployment"},
		{rbac("system:web"), "_system__web_rbac.authorization.k8s.io_ClusterRole"},
		{rbac("a::b"), "_a____b_rbac.authorization.k8s.io_ClusterRole"},
		{rbac("my_role"), "_my_role_rbac.authorization.k8s.io_ClusterRole"},
		{rbac("my__role"), "_my%5F%5Frole_rbac.authorization.k8s.io_ClusterRole"},
		{rbac("a_:b"), "_a%5F__b_rbac.authorization.k8s.io_ClusterRole"},
	} {
		if got := formatID(tt.id); got != tt.want {
			t.Errorf("formatID(%v) = %q, want %q", tt.id, got, tt.want)
		}
		if got, err := parseID(tt.want); got != tt.id || err != nil {
			t.Errorf("parseID(%q) = %v, %v, want %v", tt.want, got, err, tt.id)
		}
	}
	for _, bad := range []string{"", "_", "__", "___", "web", "a_b", "a_b_c", "a__g_K", "a_b_g_", "a_b/c_g_K"} {
		if id, err := parseID(bad); err == nil {
			t.Errorf("parseID(%q) = %v, want an error", bad, id)
		}
	}
}

// What can be an object's name comes back as it was, and no two objects have
// one id.
func FuzzFormatID(f *testing.F) {
	f.Add("apps", "web", "apps", "Deployment", false)
	f.Add("", "system:a_:_b__c", "", "ClusterRole", true)
	f.Fuzz(func(t *testing.T, ns, name, group, kind string, isRBAC bool) {
		if isRBAC {
			group = rbacGroup
		} else if strings.Contains(name, "_") || group == rbacGroup {
			t.Skip("no such name")
		}
		if name == "" || kind == "" || strings.ContainsAny(name, "/%") || strings.Contains(ns+group+kind, "_") {
			t.Skip("no such object")
		}
		id := object.ID{Kind: object.Kind{Group: group, Name: kind}, Namespace: ns, Name: name}
		if got, err := parseID(formatID(id)); got != id || err != nil {
			t.Errorf("%q became %v, %v; was %v", formatID(id), got, err, id)
		}
	})
}

// What is read from an inventory is written as it was, or as its equal.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"apps_web_apps_Deployment", "_a__b_rbac.authorization.k8s.io_Role", "_a%5Fb_rbac.authorization.k8s.io_Role", "____"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseID(s)
		if err != nil {
			return
		}
		if again, err := parseID(formatID(id)); again != id || err != nil {
			t.Errorf("%q is %v, written as %q, which is %v, %v", s, id, formatID(id), again, err)
		}
	})
}
