package kustomize_test

import (
	"fmt"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/rendertest"
	"testing"
)

func TestZZ(t *testing.T) {
	for _, c := range rendertest.Cases(t, "../rendertest/testdata") {
		_, err := (kustomize.Renderer{}).Render(t.Context(), render.Input{Tree: c.Tree, Recipe: c.Recipe})
		if err != nil {
			fmt.Println(c.Name+"\n    ", err)
		}
	}
}
