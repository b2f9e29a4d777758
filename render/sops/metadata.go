package sops

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// metadata is what a document says of how it was encrypted, below the key
// "sops".
type metadata struct {
	group     `yaml:",inline"`
	Groups    []group `yaml:"key_groups"`
	Threshold int     `yaml:"shamir_threshold"`

	MAC                     string `yaml:"mac"`
	UnencryptedSuffix       string `yaml:"unencrypted_suffix"`
	EncryptedSuffix         string `yaml:"encrypted_suffix"`
	UnencryptedRegex        string `yaml:"unencrypted_regex"`
	EncryptedRegex          string `yaml:"encrypted_regex"`
	UnencryptedCommentRegex string `yaml:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string `yaml:"encrypted_comment_regex"`
}

// A group are keys of which each can decrypt the data key, or one part of it.
type group struct {
	Age []struct {
		Recipient string `yaml:"recipient"`
		Enc       string `yaml:"enc"`
	} `yaml:"age"`
	PGP []struct {
		Fingerprint string `yaml:"fp"`
		Enc         string `yaml:"enc"`
	} `yaml:"pgp"`
	KMS    []amazonKey `yaml:"kms"`
	GCP    []googleKey `yaml:"gcp_kms"`
	Azure  []azureKey  `yaml:"azure_kv"`
	Vault  []vaultKey  `yaml:"hc_vault"`
	Huawei []struct {
		ID string `yaml:"key_id"`
	} `yaml:"hckms"`
}

// names returns the keys of g as people know them.
func (g group) names() (names []string) {
	for _, k := range g.Age {
		names = append(names, "age "+k.Recipient)
	}
	for _, k := range g.PGP {
		names = append(names, "PGP "+k.Fingerprint)
	}
	for _, k := range g.remote() {
		names = append(names, k.String())
	}
	for _, k := range g.Huawei {
		names = append(names, "Huawei Cloud KMS "+k.ID)
	}
	return names
}

// readMetadata reads what is below the key "sops".
func readMetadata(n *yaml.Node) (metadata, error) {
	var m metadata
	if err := n.Decode(&m); err != nil {
		return m, errors.New("its sops metadata can't be read")
	}
	if len(m.group.names()) > 0 {
		m.Groups, m.Threshold = []group{m.group}, 1
	}
	if len(m.Groups) == 0 {
		return m, errors.New("its sops metadata name no keys")
	}
	if m.Threshold == 0 {
		m.Threshold = len(m.Groups)
	}
	return m, nil
}

// A rule tells whether the value at a path of keys is encrypted. text is what is
// there.
type rule func(path []string, text string) bool

// rule returns the one that m states. What depends on comments is told by the
// value itself: comments may have gone.
func (m metadata) rule() (rule, error) {
	suffix := func(s string, yes bool) rule {
		return func(path []string, _ string) bool {
			for _, key := range path {
				if strings.HasSuffix(key, s) {
					return yes
				}
			}
			return !yes
		}
	}
	pattern := func(p string, yes bool) (rule, error) {
		r, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("its rule %q is no regular expression", p)
		}
		return func(path []string, _ string) bool {
			for _, key := range path {
				if r.MatchString(key) {
					return yes
				}
			}
			return !yes
		}, nil
	}
	switch {
	case m.EncryptedCommentRegex != "" || m.UnencryptedCommentRegex != "":
		return func(_ []string, text string) bool { return sealed.MatchString(text) }, nil
	case m.EncryptedRegex != "":
		return pattern(m.EncryptedRegex, true)
	case m.UnencryptedRegex != "":
		return pattern(m.UnencryptedRegex, false)
	case m.EncryptedSuffix != "":
		return suffix(m.EncryptedSuffix, true), nil
	case m.UnencryptedSuffix != "":
		return suffix(m.UnencryptedSuffix, false), nil
	}
	return suffix("_unencrypted", false), nil
}
