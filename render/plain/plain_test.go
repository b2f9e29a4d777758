package plain_test

import (
	"testing"

	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/rendertest"
)

func TestCases(t *testing.T) { rendertest.Run(t, plain.Renderer{}, "../rendertest/testdata") }
