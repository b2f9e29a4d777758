package kustomize_test

import (
	"testing"

	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/rendertest"
)

func TestCases(t *testing.T) { rendertest.Run(t, kustomize.Renderer{}, "../rendertest/testdata") }
