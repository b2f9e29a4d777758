// Package sops decrypts what was encrypted with SOPS.
//
// It reads SOPS' format itself. The library of SOPS comes with the clients of
// all clouds: it adds two thirds to the size of this program, and three times
// as much to the time that each worker takes to start.
package sops

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/render"
)

// A Renderer renders with another one and, if the recipe asks for it, decrypts
// the files that it reads, and then the objects that are still encrypted, and
// the documents in Secrets. It has the age and OpenPGP keys of the fact
// [render.Keys], and no others: none of the machine that it runs on. With the
// credentials that are there it asks Vault and the clouds for what their keys
// decrypt. If they can't do it now, that is no fault of the input.
//
// Documents may be YAML, JSON, dotenv, or anything in SOPS' binary form.
type Renderer struct {
	Next render.Renderer

	transport http.RoundTripper // for tests; nil means that of package cloud
}

// Render implements [render.Renderer].
func (r Renderer) Render(ctx context.Context, in render.Input) ([]object.Object, error) {
	step := in.Recipe.Decrypt
	if step == nil {
		return r.Next.Render(ctx, in)
	}
	v := &vault{facts: in.Facts, unless: step.Unless}
	calls, stop := newCalls(ctx, r.transport)
	defer stop()
	calls.passes = in.Passes
	v.calls = calls
	in.Recipe.Decrypt = nil
	in.Tree = tree{in.Tree, v}
	objects, err := r.Next.Render(ctx, in)
	if v.broken != nil {
		return nil, render.Hush(v.found, v.broken) // whatever Next has made of it
	}
	if err != nil {
		return nil, render.Hush(v.found, err)
	}
	var errs []error
	for i, o := range objects {
		_, file := render.From(o)
		if objects[i], err = v.object(o); err != nil && !fault.IsInput(err) {
			return nil, render.Hush(v.found, fmt.Errorf("%s: decrypt %s: %w", file, o, err))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: decrypt %s: %w", file, o, err))
		}
	}
	return v.noted(objects), render.Hush(v.found, fault.Input(errors.Join(errs...)))
}

// A vault decrypts for one rendering.
type vault struct {
	facts  render.Facts
	unless render.Mark

	calls  *calls   // to those who keep keys
	keys   *keyring // once they are needed
	broken error    // why keys could not be asked for; nobody is asked any more
	found  []string // values that were decrypted
}

// key returns the data key of a document.
func (v *vault) key(m metadata) ([]byte, error) {
	if v.keys == nil {
		keys, err := v.ask()
		if err != nil {
			return nil, err
		}
		v.keys = &keys
	}
	if v.broken != nil {
		return nil, v.broken
	}
	data, err := v.keys.dataKey(m, func(k remoteKey) ([]byte, error) { return v.calls.part(k, v.keys.remote) })
	if errors.As(err, new(*outage)) {
		v.broken = err
	}
	return data, err
}

func (v *vault) ask() (keyring, error) {
	if v.facts == nil {
		return keyring{}, nil
	}
	f, ok, err := v.facts.Fact(render.Keys)
	if err != nil {
		v.broken = err
	}
	var k keyring
	if err == nil && ok {
		k, err = readKeyring(f.Value)
	}
	k.remote.as = v.facts
	return k, err
}

// open decrypts a document in place.
func (v *vault) open(n *yaml.Node, restyle bool) (err error) {
	defer func() {
		if recover() != nil { // what was parsed may come from anybody
			err = errHush
		}
		if err != nil && v.broken == nil {
			err = fault.Input(err)
		}
	}()
	found, err := open(n, v.key, restyle)
	v.found = append(v.found, found...)
	return err
}

// spared reports whether a document is an object that asks to be left as it
// is.
func (v *vault) spared(n *yaml.Node) bool {
	meta := field(n, "metadata")
	if meta == nil {
		return false
	}
	for _, where := range []string{"labels", "annotations"} {
		marks := field(meta, where)
		if marks == nil {
			continue
		}
		if m := field(marks, v.unless.Key); m != nil && strings.EqualFold(m.Value, v.unless.Value) {
			return true
		}
	}
	return false
}

// looksEncrypted reports whether data may be an encrypted document. Most are
// not, and this costs little.
func looksEncrypted(data []byte) bool {
	return bytes.Contains(data, []byte("ENC[AES256_GCM,")) && bytes.Contains(data, []byte(key))
}

// document returns data decrypted, if it is encrypted. The name tells what is
// wanted of a JSON document that may have been made from binary data.
func (v *vault) document(name string, data []byte) ([]byte, error) {
	if !looksEncrypted(data) {
		return data, nil
	}
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")):
		return v.json(name, data)
	case bytes.Contains(data, []byte("\n"+prefix+"mac=")) || bytes.HasPrefix(data, []byte(prefix+"mac=")):
		return v.dotenv(data)
	case bytes.Contains(data, []byte("\n["+key+"]")):
		return nil, fault.Input(errors.New("INI documents are not supported: encrypt it with --input-type binary"))
	}
	return v.yaml(data)
}

func (v *vault) yaml(data []byte) ([]byte, error) {
	docs, err := readYAML(data)
	if err != nil {
		return data, nil // it is for others to explain
	}
	changed := false
	for _, doc := range docs {
		if len(doc.Content) == 0 || !isEncrypted(doc.Content[0]) || v.spared(doc.Content[0]) {
			continue
		}
		if err := v.open(doc.Content[0], true); err != nil {
			return nil, err
		}
		changed = true
	}
	if !changed {
		return data, nil
	}
	return writeYAML(docs)
}

func (v *vault) json(name string, data []byte) ([]byte, error) {
	n, err := readJSON(data)
	if err != nil || !isEncrypted(n) || v.spared(n) {
		return data, nil
	}
	if err := v.open(n, false); err != nil {
		return nil, err
	}
	if content := field(n, "data"); len(n.Content) == 2 && content != nil && content.Kind == yaml.ScalarNode && path.Ext(name) != ".json" {
		return []byte(stringOf(content)), nil
	}
	return writeJSON(n)
}

func (v *vault) dotenv(data []byte) ([]byte, error) {
	n, err := readDotenv(data)
	if err != nil || !isEncrypted(n) {
		return data, nil
	}
	if err := v.open(n, false); err != nil {
		return nil, err
	}
	return writeDotenv(n), nil
}

// object returns o decrypted, unless it asks to be left as it is.
func (v *vault) object(o object.Object) (object.Object, error) {
	if v.unless.On(o) {
		return o, nil
	}
	if IsEncrypted(o) {
		n, err := readJSON(o.JSON())
		if err == nil {
			err = v.open(n, false)
		}
		if err != nil {
			return o, err
		}
		data, err := writeJSON(n)
		if err != nil {
			return o, fault.Input(err)
		}
		if o, err = object.FromJSON(data); err != nil {
			return o, fault.Input(errHush)
		}
	}
	if isSecret(o) {
		return v.inSecret(o)
	}
	return o, nil
}

// inSecret decrypts the documents that are values in a Secret.
func (v *vault) inSecret(o object.Object) (object.Object, error) {
	for _, where := range []string{"data", "stringData"} {
		values, _ := o.Get(where)
		m, _ := values.(map[string]any)
		for name, value := range m {
			text, _ := value.(string)
			data := []byte(text)
			if where == "data" {
				var err error
				if data, err = base64.StdEncoding.DecodeString(text); err != nil {
					continue // the server will say so
				}
			}
			out, err := v.document(name, data)
			if err != nil {
				return o, fmt.Errorf("%s[%s]: %w", where, name, err)
			}
			if bytes.Equal(out, data) {
				continue
			}
			if text = string(out); where == "data" {
				text = base64.StdEncoding.EncodeToString(out)
			}
			o = o.With(text, where, name)
		}
	}
	return o, nil
}

// noted returns objects with notes of what in them was decrypted. Secrets need
// none.
func (v *vault) noted(objects []object.Object) []object.Object {
	if len(v.found) == 0 {
		return objects
	}
	for i, o := range objects {
		if !isSecret(o) {
			objects[i] = render.WithSecrets(o, v.told(o))
		}
	}
	return objects
}

// minSecret is how long a decrypted value is that is looked for. Shorter ones
// are everywhere.
const minSecret = 4

// told returns the values of o that tell what was decrypted.
func (v *vault) told(o object.Object) (texts []string) {
	for _, t := range render.Texts(o.Body()) {
		for _, found := range v.found {
			if len(found) >= minSecret && found != "true" && found != "false" && strings.Contains(t, strings.TrimSpace(found)) {
				texts = append(texts, t)
				break
			}
		}
	}
	return texts
}

func isSecret(o object.Object) bool { return o.ID().Kind == object.Kind{Name: "Secret"} }

// IsEncrypted reports whether o says how it was encrypted with SOPS.
func IsEncrypted(o object.Object) bool {
	mac, _ := o.Get(key, "mac")
	s, _ := mac.(string)
	return strings.HasPrefix(s, "ENC[AES256_GCM,")
}
