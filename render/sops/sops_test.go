package sops

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
	"github.com/sane-gitops/sane/render/kustomize"
	"github.com/sane-gitops/sane/render/plain"
	"github.com/sane-gitops/sane/render/rendertest"
)

// keys returns the fact that holds the keys in testdata of some extensions.
func keys(t testing.TB, extensions ...string) render.Known {
	t.Helper()
	files := make(map[string]string)
	for _, ext := range extensions {
		names, _ := filepath.Glob("testdata/keys/*" + ext)
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(name)] = string(data)
		}
	}
	data, _ := json.Marshal(files)
	return render.Known{render.Keys: {Value: string(data), Secret: true}}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What the library of SOPS has encrypted is decrypted to what that decrypts it
// to, byte for byte; or else there is an error.
func TestFormats(t *testing.T) {
	fails := map[string]string{
		"kms.yaml":     "one of these keys is needed, and none is there: AWS KMS arn:aws:kms:eu-west-1:1:key/a: add one, or what gets in where it is kept, to the Secret of spec.decryption.secretRef, as sops.aws-kms",
		"other.yaml":   "one of these keys is needed, and none is there: age age1",
		"shamir3.yaml": "3 of these 3 groups of keys are needed, and 2 are there: age age1",
	}
	files, _ := filepath.Glob("testdata/formats/*.enc")
	if len(files) < 20 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".enc")
		v := &vault{facts: keys(t, ".agekey", ".asc")}
		got, err := v.document(name, read(t, file))
		if want := fails[name]; want != "" {
			if !fault.IsInput(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error is %v, want %q", name, err, want)
			}
			continue
		}
		want := read(t, strings.TrimSuffix(file, ".enc")+".dec")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

// Each kind of key works alone, and none works without.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		file, key string
		ok        bool
	}{
		{"secret.yaml", "age.agekey", true}, {"secret.yaml", "pq.agekey", false}, {"secret.yaml", "test.asc", false}, {"secret.yaml", "", false},
		{"pq.yaml", "pq.agekey", true}, {"pq.yaml", "age.agekey", false},
		{"pgp.yaml", "test.asc", true}, {"pgp.yaml", "age.agekey", false},
		{"either.yaml", "age.agekey", true}, {"either.yaml", "pq.agekey", false},
		{"shamir.yaml", "age.agekey", false}, {"shamir.yaml", "test.asc", false},
	} {
		facts := render.Known{}
		if tt.key != "" {
			facts = keys(t, tt.key)
		}
		_, err := (&vault{facts: facts}).document(tt.file, read(t, "testdata/formats/"+tt.file+".enc"))
		if (err == nil) != tt.ok || err != nil && !fault.IsInput(err) {
			t.Errorf("%s with %q: %v", tt.file, tt.key, err)
		}
	}
}

// Keys that can't be read are named, and not shown.
func TestBadKeys(t *testing.T) {
	for name, content := range map[string]string{
		"a.agekey": "AGE-SECRET-KEY-1HUNTER2", "b.agekey": "hunter2", "c.agekey": "", "d.asc": "hunter2",
		"e.asc": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nhunter2\n-----END PGP PRIVATE KEY BLOCK-----\n",
	} {
		data, _ := json.Marshal(map[string]string{name: content, "note.txt": "not a key"})
		_, err := (&vault{facts: render.Known{render.Keys: {Value: string(data)}}}).document("secret.yaml", read(t, "testdata/formats/secret.yaml.enc"))
		if !fault.IsInput(err) || !strings.Contains(err.Error(), name) || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// Any byte of an encrypted value that is changed makes an error, or no
// difference, and so does a value in another place.
func TestForged(t *testing.T) {
	data := read(t, "testdata/formats/secret.yaml.enc")
	want := read(t, "testdata/formats/secret.yaml.dec")
	begin, end := bytes.Index(data, []byte("password: ENC")), bytes.Index(data, []byte("\nsops:"))
	for i := begin; i < end; i++ {
		forged := bytes.Clone(data)
		forged[i] ^= 1
		got, err := (&vault{facts: keys(t, "age.agekey")}).document("secret.yaml", forged)
		if err == nil && !bytes.Equal(got, forged) && bytes.Contains(got, []byte("password: ")) && !bytes.Contains(got, []byte("password: hunter2")) {
			t.Errorf("byte %d: %s", i, got)
		}
		if err != nil && (!fault.IsInput(err) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	moved := bytes.Replace(data, []byte("password: ENC"), []byte("elsewhere: ENC"), 1)
	if _, err := (&vault{facts: keys(t, "age.agekey")}).document("secret.yaml", moved); err == nil || !strings.Contains(err.Error(), "stringData.elsewhere: it has been changed or moved") {
		t.Errorf("moved: error is %v, and it was %s", err, want)
	}
	open := bytes.Replace(data, []byte("password: ENC[AES256_GCM"), []byte("password: open ENC[AES256_GCM"), 1)
	if _, err := (&vault{facts: keys(t, "age.agekey")}).document("secret.yaml", open); err == nil || !strings.Contains(err.Error(), "it is not encrypted, and by the rules of its document it should be") {
		t.Errorf("not encrypted: error is %v", err)
	}
}

func TestCombine(t *testing.T) {
	for a := range 256 {
		if inv := inverse(byte(a)); a != 0 && mul(byte(a), inv) != 1 {
			t.Errorf("1/%d is not %d", a, inv)
		}
	}
	for _, parts := range [][][]byte{{{1}, {2}}, {{1, 1}, {2, 1}}, {{1, 0}, {2, 1}}, {{1, 2, 3}, {1, 2}}, {{}, {}}} {
		if _, err := combine(parts); err == nil {
			t.Errorf("combined %v", parts)
		}
	}
}

var renderer = Guard{Renderer{Next: render.First(plain.Renderer{}, kustomize.Renderer{})}}

func TestBuildsOnly(t *testing.T) { rendertest.Run(t, renderer, "../rendertest/testdata") }

// unless is the mark by which objects ask to be left as they are.
var unless = render.Mark{Key: "kustomize.toolkit.fluxcd.io/decrypt", Value: "disabled"}

func input(t *testing.T, files map[string]string) render.Input {
	tree := make(fstest.MapFS)
	for name, content := range files {
		if from, ok := strings.CutPrefix(content, "<"); ok {
			content = string(read(t, "testdata/formats/"+from))
		}
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return render.Input{Tree: tree, Recipe: render.Recipe{Dir: ".", Decrypt: &render.Step{Unless: unless}}, Facts: keys(t, ".agekey", ".asc")}
}

// Wherever it comes from, what is encrypted lands decrypted.
func TestRender(t *testing.T) {
	in64 := func(name string) string {
		return base64.StdEncoding.EncodeToString(read(t, "testdata/formats/"+name))
	}
	var indented strings.Builder
	for line := range strings.Lines(string(read(t, "testdata/formats/values.yaml.enc"))) {
		indented.WriteString("    " + line)
	}
	marked := func(data []byte) string {
		return strings.Replace(string(data), "    namespace: apps", "    namespace: apps\n    labels: {kustomize.toolkit.fluxcd.io/decrypt: disabled}", 1)
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		path  []string // of a value of the first object
		want  string   // it has
		err   string
	}{
		{"a manifest", map[string]string{"a.yaml": "<secret.yaml.enc"}, []string{"stringData", "password"}, "hunter2", ""},
		{"encrypted whole", map[string]string{"a.yaml": "<whole.yaml.enc"}, []string{"stringData", "port"}, "5432", ""},
		{"two in one file", map[string]string{"a.yaml": strings.Replace(string(read(t, "testdata/formats/two.yaml.enc")), "name: db", "name: other", 1)}, []string{"stringData", "password"}, "hunter2", ""},
		{"below a kustomization", map[string]string{"kustomization.yaml": "namePrefix: x-\nlabels: [{pairs: {a: b}}]\nresources: [a.yaml]\n", "a.yaml": "<secret.yaml.enc"}, []string{"stringData", "password"}, "hunter2", ""},
		{"in a component", map[string]string{"kustomization.yaml": "components: [c]\n", "c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [a.yaml]\n", "c/a.yaml": "<pgp.yaml.enc"}, []string{"stringData", "password"}, "hunter2", ""},
		{"a generator's file", map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, files: [conf=text.conf]}]\n", "text.conf": "<text.conf.enc"}, []string{"data", "conf"}, base64.StdEncoding.EncodeToString(read(t, "testdata/formats/text.conf.dec")), ""},
		{"a generator's binary file", map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, files: [b=binary.bin]}]\n", "binary.bin": "<binary.bin.enc"}, []string{"data", "b"}, base64.StdEncoding.EncodeToString(read(t, "testdata/formats/binary.bin.dec")), ""},
		{"a generator's environment", map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, envs: [vars]}]\n", "vars": "<values.env.enc"}, []string{"data", "PASSWORD"}, "aHVudGVyMg==", ""},
		{"a patch", map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n", "a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: apps}\n", "p.yaml": "<secret.yaml.enc"}, []string{"stringData", "password"}, "hunter2", ""},
		{"a value of data", map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {values.env: " + in64("values.env.enc") + "}\n"}, []string{"data", "values.env"}, base64.StdEncoding.EncodeToString(read(t, "testdata/formats/values.env.dec")), ""},
		{"a value of stringData", map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  values.yaml: |\n" + indented.String()}, []string{"stringData", "values.yaml"}, "text: hunter2", ""},
		{"what is not encrypted", map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: plain, b: 'ENC[AES256_GCM, of sops'}\n"}, []string{"stringData", "a"}, "plain", ""},
		{"with other keys", map[string]string{"dir/a.yaml": "<other.yaml.enc"}, nil, "", "dir/a.yaml: decrypt: one of these keys is needed"},
		{"asking to be left", map[string]string{"a.yaml": marked(read(t, "testdata/formats/secret.yaml.enc"))}, nil, "", "a.yaml: Secret/apps/db is encrypted with SOPS: take away its mark kustomize.toolkit.fluxcd.io/decrypt"},
	} {
		objects, err := renderer.Render(t.Context(), input(t, tt.files))
		if tt.err != "" {
			if !fault.IsInput(err) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error is %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || len(objects) == 0 {
			t.Errorf("%s: %d objects, %v", tt.name, len(objects), err)
			continue
		}
		for _, o := range objects {
			got, _ := o.Get(tt.path...)
			if s, _ := got.(string); !strings.Contains(s, tt.want) {
				t.Errorf("%s: %s of %s is %q, want %q", tt.name, tt.path, o, got, tt.want)
			}
			if strings.Contains(string(o.JSON()), "AES256_GCM,d") {
				t.Errorf("%s: is still encrypted: %s", tt.name, o.JSON())
			}
		}
	}
}

// Nobody applies a Secret that is encrypted.
func TestGuard(t *testing.T) {
	in := input(t, map[string]string{"apps/a.yaml": "<secret.yaml.enc"})
	in.Recipe.Decrypt = nil
	_, err := renderer.Render(t.Context(), in)
	if want := "apps/a.yaml: Secret/apps/db is encrypted with SOPS: set spec.decryption, with the provider sops and a secretRef to the keys"; !fault.IsInput(err) || err.Error() != want {
		t.Errorf("error is %v, want %q", err, want)
	}
}

// What was decrypted outside of Secrets is noted as secret.
func TestNotes(t *testing.T) {
	in := input(t, map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g, envs: [a.env], literals: [open=to all]}]\n", "a.env": "<values.env.enc"})
	objects, err := renderer.Render(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(render.Secrets(objects[0])); !strings.Contains(got, "hunter2") || strings.Contains(got, "to all") {
		t.Errorf("secrets are %s", got)
	}
}

// Errors about what was decrypted do not tell it.
func TestSecretsAreNotTold(t *testing.T) {
	in := input(t, map[string]string{"kustomization.yaml": "patches: [{path: p.yaml}]\nsecretGenerator: [{name: g, files: [text.conf], envs: [text.conf]}]\n", "p.yaml": "<unencrypted.yaml.enc", "text.conf": "<text.conf.enc"})
	if _, err := renderer.Render(t.Context(), in); !fault.IsInput(err) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
	in = input(t, map[string]string{"kustomization.yaml": "resources: [r.yaml]\n", "r.yaml": "<text.conf.enc"})
	if _, err := renderer.Render(t.Context(), in); !fault.IsInput(err) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}

// Keys are read by those who need some, and only then are results secret.
func TestAsksForKeysIfNeeded(t *testing.T) {
	asked := 0
	for _, tt := range []struct {
		file string
		want int
	}{{"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", 0}, {"<secret.yaml.enc", 1}} {
		in := input(t, map[string]string{"a.yaml": tt.file})
		in.Facts = counting{in.Facts, &asked}
		if _, err := renderer.Render(t.Context(), in); err != nil || asked != tt.want {
			t.Errorf("asked %d times, %v", asked, err)
		}
	}
}

type counting struct {
	render.Facts
	n *int
}

func (c counting) Fact(name string) (render.Fact, bool, error) {
	*c.n++
	return c.Facts.Fact(name)
}

type broken struct{}

func (broken) Fact(string) (render.Fact, bool, error) {
	return render.Fact{}, false, errors.New("pipe is gone")
}

// Keys that could not be asked for are no fault of the input.
func TestBrokenFacts(t *testing.T) {
	in := input(t, map[string]string{"a.yaml": "<secret.yaml.enc"})
	in.Facts = broken{}
	if _, err := renderer.Render(t.Context(), in); err == nil || fault.IsInput(err) {
		t.Errorf("error is %v", err)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := renderer.Render(ctx, input(t, map[string]string{"a.yaml": "<secret.yaml.enc"})); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// FuzzDocument looks for panics, and for errors that nobody can cure.
func FuzzDocument(f *testing.F) {
	files, _ := filepath.Glob("testdata/formats/*.enc")
	for _, file := range files {
		f.Add(strings.TrimSuffix(filepath.Base(file), ".enc"), read(f, file))
	}
	f.Add("a.env", []byte("sops_mac=ENC[AES256_GCM,\nsops_age__list_0__map_enc=x\nsops_age__list_9__list_1=x\nsops___map_=x\n"))
	facts := keys(f, ".agekey", ".asc")
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if len(data) > 20_000 {
			return
		}
		v := &vault{facts: facts}
		if _, err := v.document(name, data); err != nil && !fault.IsInput(err) {
			t.Errorf("not marked as a fault of the input: %v", err)
		}
		if o, err := object.FromJSON(data); err == nil {
			_, _ = v.object(o)
		}
	})
}
