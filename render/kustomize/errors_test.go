package kustomize

import "testing"

func TestCondense(t *testing.T) {
	for _, tt := range []struct{ dir, in, want string }{
		{"apps", "anything else", "apps: anything else"},
		{"apps", "accumulating resources: accumulation err='accumulating resources from '../base': read base: is a directory': recursed accumulation of path '/sane-source/base': " +
			"accumulating resources: accumulation err='accumulating resources from 'x.yaml': open base/x.yaml: file does not exist': must build at directory: not a valid directory: open base/x.yaml: file does not exist",
			"base: x.yaml: no such file or directory"},
		{"apps", "accumulating resources: accumulation err='accumulating resources from '../base': read base: is a directory': couldn't make target for path '/sane-source/base': invalid Kustomization: json: unknown field \"resource\"",
			`base: invalid Kustomization: json: unknown field "resource"`},
		{"apps", "accumulating resources: accumulating resources from 'a.yaml': MalformedYAMLError: yaml: line 3: mapping values are not allowed in this context in File: a.yaml",
			"apps/a.yaml: invalid YAML: line 3: mapping values are not allowed in this context"},
		{"apps", `accumulating components: accumulateDirectory: "recursed accumulation of path '/sane-source/c': accumulating resources: accumulation err='accumulating resources from 'x.yaml': open c/x.yaml: file does not exist': must build at directory: whatever"`,
			"c: x.yaml: no such file or directory"},
		{"apps", "accumulating resources: accumulation err='a story of a kind that nobody knows': and another", "apps: accumulation err='a story of a kind that nobody knows': and another"},
		{"apps", "trouble configuring builtin PatchTransformer with config: `\npatch: |\n  secret: hush\n`: unable to parse SM or JSON patch from [patch: \"secret: hush\"]",
			`apps: unable to parse SM or JSON patch from [patch: "secret: hush"]`},
		{"apps", "found multiple possible referrals: A.v1.g/a.n\n\n**** Too many possible referral targets to referrer:\ndata: hush", "apps: found multiple possible referrals: A/n/a"},
		{"apps", "may not add resource with an already registered id: Deployment.v1.apps/web.prod", "apps: Deployment/prod/web is already there: an object may come from one place only"},
		{"apps", "no matches for Id ConfigMap.v1.[noGrp]/a.b.[noNs]; failed", "apps: no matches for Id ConfigMap/a.b; failed"},
	} {
		if got := condense(tt.dir, tt.in); got != tt.want {
			t.Errorf("condense(%q) =\n%s, want\n%s", tt.in, got, tt.want)
		}
	}
}

func TestIsRemote(t *testing.T) {
	for _, tt := range []struct {
		path string
		want bool
	}{
		{"", false}, {"a.yaml", false}, {"../base", false}, {"./github.com/x", false}, {"icons@2x/a", false}, {"a@b", false}, {"c:/x", false},
		{"http://x/y", true}, {"HTTPS://x/y", true}, {"git::https://x/y", true}, {"GIT::ssh://x/y", true}, {"ssh://x/y", true}, {"file:///etc", true},
		{"github.com/a/b", true}, {"github.com:a/b", true}, {"GitHub.com/a/b", true}, {"git@x:a/b", true}, {"git@x/a/b.git", true}, {"user@host/a/b", true}, {"git::user@host:a", true},
		{"apiVersion: v1\npath: http://x", false},
	} {
		if got := isRemote(tt.path); got != tt.want {
			t.Errorf("isRemote(%q) = %v", tt.path, got)
		}
	}
}

func TestInTree(t *testing.T) {
	for _, tt := range []struct {
		path, name string
		ok         bool
	}{
		{mount, ".", true}, {mount + "/a/b", "a/b", true}, {mount + "/a/../b", "b", true}, {mount + "/..", "", false},
		{mount + "/../x", "", false}, {mount + "x/a", "", false}, {"/etc/passwd", "", false}, {"a", "", false}, {"", "", false},
	} {
		if name, err := inTree(tt.path); name != tt.name || (err == nil) != tt.ok {
			t.Errorf("inTree(%q) = %q, %v", tt.path, name, err)
		}
	}
}
