package flux_test

import (
	"strings"
	"testing"

	"github.com/sane-gitops/sane/dialect/flux"
	"github.com/sane-gitops/sane/object"
)

// What is to be kept is said by the names of controllers, in short, or by
// kinds. Of the other sources those are read that a Kustomization may have.
func TestControllers(t *testing.T) {
	for _, tt := range []struct {
		controllers string
		gate        bool // ExternalArtifact
		kept, read  string
	}{
		{"", false, "GitRepository OCIRepository Bucket Kustomization", ""},
		{"source-controller,kustomize-controller", true, "GitRepository OCIRepository Bucket Kustomization", "ExternalArtifact"},
		{"source-controller", true, "GitRepository OCIRepository Bucket", ""},
		{"source", false, "GitRepository OCIRepository Bucket", ""},
		{"GitRepository", false, "GitRepository", ""},
		{"ocirepository,kustomize", false, "OCIRepository Kustomization", "GitRepository Bucket"},
		{"gitrepository,KUSTOMIZE", true, "GitRepository Kustomization", "OCIRepository Bucket ExternalArtifact"},
		{"kustomize-controller", false, "Kustomization", "GitRepository OCIRepository Bucket"},
		{"kustomize", false, "Kustomization", "GitRepository OCIRepository Bucket"},
		{"kustomization", true, "Kustomization", "GitRepository OCIRepository Bucket ExternalArtifact"},
	} {
		c := flux.Config{Gates: map[string]bool{"ExternalArtifact": tt.gate}}
		if tt.controllers != "" {
			c.Controllers = strings.Split(tt.controllers, ",")
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", tt.controllers, err)
			continue
		}
		d := flux.New(c)
		var kept, read []string
		for _, k := range d.Kinds() {
			if d.Foreign(k) {
				read = append(read, k.Name)
			} else {
				kept = append(kept, k.Name)
			}
		}
		if got := strings.Join(kept, " "); got != tt.kept {
			t.Errorf("%s: keeps %s, want %s", tt.controllers, got, tt.kept)
		}
		if got := strings.Join(read, " "); got != tt.read {
			t.Errorf("%s: reads %s, want %s", tt.controllers, got, tt.read)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		config flux.Config
		want   []string // in the error
	}{
		{flux.Config{Controllers: []string{"kustomize", "helm-controller"}}, []string{`"helm-controller"`, "source-controller", "Kustomization"}},
		{flux.Config{Controllers: []string{""}}, []string{`""`}},
		{flux.Config{Gates: map[string]bool{"GroupChangeLog": true, "Sorcery": true}}, []string{`"Sorcery"`, "ExternalArtifact", "StrictPostBuildSubstitutions"}},
	} {
		err := tt.config.Check()
		for _, w := range tt.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %v, want one with %s", tt.config, err, w)
			}
		}
	}
	if idle := (flux.Config{Gates: map[string]bool{"GroupChangeLog": true, "ExternalArtifact": true}}).Idle(); len(idle) != 1 || idle["GroupChangeLog"] == "" {
		t.Errorf("Idle = %v", idle)
	}
}

// What others keep is read only where a Kustomization may need it.
func TestReadForeign(t *testing.T) {
	repo := object.Object{}.With("source.toolkit.fluxcd.io/v1", "apiVersion").With("ExternalArtifact", "kind")
	if _, err := flux.New(flux.Config{}).Read(repo, objects{}); err == nil {
		t.Error("read an ExternalArtifact without the gate")
	}
	for _, s := range []string{"HelmChart", "HelmRepository"} {
		if _, err := flux.New(flux.Config{}).Read(repo.With(s, "kind"), objects{}); err == nil {
			t.Errorf("read a %s", s)
		}
	}
}
