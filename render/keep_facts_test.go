package render_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/substitute"
)

var substituting = substitute.Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{})}

// known returns facts of "name=value"; a name that begins with "s" is secret.
func known(vars ...string) render.Known {
	k := render.Known{}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		k[render.Var(name)] = render.Fact{Value: value, Secret: name[0] == 's'}
	}
	return k
}

// A variable matters to those who asked for it.
func TestKeptUntilAFactDiffers(t *testing.T) {
	for _, tt := range []struct {
		name, text    string
		before, after render.Known
		fresh         bool
	}{
		{"as it was", "${a}", known("a=1"), known("a=1"), false},
		{"another value", "${a}", known("a=1"), known("a=2"), true},
		{"of another variable", "${a}", known("a=1", "b=1"), known("a=1", "b=2"), false},
		{"one that appears unasked", "${a}", known("a=1"), known("a=1", "b=2"), false},
		{"one that was asked for appears", "${a:=x}", known("b=1"), known("a=1"), true},
		{"one that was asked for goes", "${a:=x}", known("a=1"), known("b=1"), true},
		{"an empty one is not none", "${a:=x}", known("b=1"), known("a="), true},
		{"after an error, as it was", "${a} ${b}", known("a=1"), known("a=1"), false},
		{"after an error, cured", "${a} ${b}", known("a=1"), known("a=1", "b=1"), true},
		{"a secret, as it was", "${s}", known("s=1"), known("s=1"), false},
		{"another secret", "${s}", known("s=1"), known("s=2"), true},
		{"what was public is secret now", "${a}", known("a=1"), render.Known{render.Var("a"): {Value: "1", Secret: true}}, true},
		{"no facts any more", "${a:=x}", known("a=1"), nil, true},
	} {
		for _, dir := range []string{"", t.TempDir()} {
			k := keeper(t, substituting, dir)
			in := render.Input{Tree: fstest.MapFS{"a.yaml": {Data: []byte(cm("a", tt.text))}}, Recipe: render.Recipe{Dir: ".", Substitute: &render.Step{}}}
			in.Facts = tt.before
			k.Render(t.Context(), "u", in)
			in.Facts = tt.after
			if _, fresh, err := k.Render(t.Context(), "u", in); fresh != tt.fresh || err != nil && !fault.IsInput(err) {
				t.Errorf("%s: fresh = %v, %v", tt.name, fresh, err)
			}
		}
	}
}

// A fact is no file of that name.
func TestTouchedByFilesOnly(t *testing.T) {
	k := keeper(t, substituting, "")
	in := render.Input{Tree: fstest.MapFS{"a.yaml": {Data: []byte(cm("a", "${a}"))}}, Recipe: render.Recipe{Dir: ".", Substitute: &render.Step{}}, Facts: known("a=1")}
	k.Render(t.Context(), "u", in)
	if k.Touched(map[string]bool{render.Var("a"): true})["u"] || !k.Touched(map[string]bool{"a.yaml": true})["u"] {
		t.Error("the file a.yaml matters, and a file called as the fact does not")
	}
}

// What is made with a secret does not lie on disk, not even a digest of it by
// which it could be guessed, and is made anew after a restart.
func TestSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	in := render.Input{Tree: fstest.MapFS{"a.yaml": {Data: []byte(cm("a", "${s}"))}}, Recipe: render.Recipe{Dir: ".", Substitute: &render.Step{}}}
	k := keeper(t, substituting, dir)
	in.Facts = known("s=public") // before it became one
	in.Facts.(render.Known)[render.Var("s")] = render.Fact{Value: "public"}
	k.Render(t.Context(), "u", in)
	in.Facts = known("s=hunter2")
	res, _, err := k.Render(t.Context(), "u", in)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // as made, and from disk
		objects, err := k.Objects(t.Context(), res)
		if err != nil || len(objects) != 1 || !strings.Contains(string(objects[0].JSON()), "hunter2") {
			t.Fatalf("objects are %v, %v", objects, err)
		}
		made := append(objects[0].JSON(), '\n')
		told := sha256.Sum256(made)
		for _, secret := range []string{"hunter2", hex.EncodeToString(told[:]), string(told[:]), strings.TrimPrefix(string(res.Digest), "sha256:"), "public"} {
			contains(t, dir, secret)
		}
		var fresh bool
		if res, fresh, err = k.Render(t.Context(), "u", in); fresh || err != nil {
			t.Errorf("fresh = %v, %v", fresh, err)
		}
	}
	k.Close()
	k = keeper(t, substituting, dir)
	if n := files(t, dir); n != 0 {
		t.Errorf("%d left that nobody can open", n)
	}
	again, fresh, err := k.Render(t.Context(), "u", in)
	if !fresh || err != nil || again.Digest != res.Digest {
		t.Errorf("after a restart: fresh = %v, %v, %v want %v", fresh, err, again.Digest, res.Digest)
	}
	in.Facts = known("s=")
	in.Facts.(render.Known)[render.Var("s")] = render.Fact{Value: "public"}
	k.Render(t.Context(), "u", in)
	k.Close()
	if _, fresh, _ := keeper(t, substituting, dir).Render(t.Context(), "u", in); fresh {
		t.Error("what is not secret any more is not kept")
	}
}

// contains fails if a file in or below dir has text in its name or content.
func contains(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(path, text) || bytes.Contains(data, []byte(text)) {
			t.Errorf("%s has %q", path, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What was sealed and then changed on disk is rendered again.
func TestSealedIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	in := render.Input{Tree: fstest.MapFS{"a.yaml": {Data: []byte(cm("a", "${s}"))}}, Recipe: render.Recipe{Dir: ".", Substitute: &render.Step{}}, Facts: known("s=hunter2")}
	k := keeper(t, substituting, dir)
	k.Render(t.Context(), "u", in)
	filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			data, _ := os.ReadFile(path)
			data[len(data)/2] ^= 1
			os.WriteFile(path, data, 0o600)
		}
		return nil
	})
	res, fresh, err := k.Render(t.Context(), "u", in)
	if fresh || err != nil {
		t.Fatalf("fresh = %v, %v", fresh, err)
	}
	if objects, err := k.Objects(t.Context(), res); err != nil || len(objects) != 1 {
		t.Errorf("objects are %v, %v", objects, err)
	}
}

// Wherever the keeper says "kept", a cold rendering gives the same: when files
// change, and when variables do.
func TestKeptWithFactsIsWhatWouldCome(t *testing.T) {
	kept, rendered := 0, 0
	for seed := range uint64(25) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		tree, facts := variableForest(rnd), known("v0=a", "v1=1", "s2=x")
		k := keeper(t, substituting, []string{"", t.TempDir()}[seed%2])
		for range 14 {
			for _, dir := range []string{"apps/a", "apps/b", "flat"} {
				in := render.Input{Tree: tree, Recipe: render.Recipe{Dir: dir, Substitute: &render.Step{Lax: dir == "flat"}}, Facts: facts}
				res, fresh, err := k.Render(t.Context(), dir, in)
				if fresh {
					rendered++
					continue
				}
				kept++
				cold, err2 := substituting.Render(t.Context(), in)
				if fmt.Sprint(err) != fmt.Sprint(err2) {
					t.Fatalf("seed %d: %s: kept error %v, cold %v", seed, dir, err, err2)
				}
				if err == nil && res.Digest != lines(cold) {
					t.Fatalf("seed %d: %s: kept %s, cold %s", seed, dir, res.Digest, lines(cold))
				}
			}
			if rnd.IntN(2) == 0 {
				tree = mutate(rnd, tree)
			} else {
				facts = vary(rnd, facts)
			}
		}
	}
	if kept < 100 || rendered < 100 {
		t.Errorf("%d kept, %d rendered: this proves little", kept, rendered)
	}
}

// variableForest is forest with expressions where there were values.
func variableForest(rnd *rand.Rand) fstest.MapFS {
	forms := []string{"${v0}", "${v1:=d}", "${s2}", "${v3:-e}", "${v3:=${v0}}", "$${v0}", "${v1/1/${s2}}", "1", "${#s2}"}
	tree := forest(rnd)
	for name, f := range tree {
		form := forms[rnd.IntN(len(forms))]
		tree[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(f.Data), `"1"`, "'"+form+"'"))}
	}
	return tree
}

// vary returns facts of which one differs.
func vary(rnd *rand.Rand, facts render.Known) render.Known {
	facts = maps.Clone(facts)
	name := []string{"v0", "v1", "s2", "v3", "v4"}[rnd.IntN(5)]
	delete(facts, render.Var(name))
	if rnd.IntN(4) > 0 {
		maps.Copy(facts, known(name+"="+[]string{"a", "b", "1", "", "x: y"}[rnd.IntN(5)]))
	}
	return facts
}
