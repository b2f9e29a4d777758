package main

import "github.com/getsops/sops/v3"

const secret = `apiVersion: v1
kind: Secret
metadata:
    name: db
    namespace: apps
stringData:
    # who knows
    password: hunter2
    port: "5432"
    note_unencrypted: in the clear
type: Opaque
`

const values = `# head of the document
text: hunter2
multi: |
    line 1
      line 2
quoted: 'yes'
number: 42
float: 1.5
big: 12345678901
yes: true
no: false
nothing: null
empty: ""
unicode: héllo ☃ 😀
html: <a href="x">&</a>
time: 2026-01-02T03:04:05Z
list:
    - one # inline
    - 2
    - nested: deep
      other: [a, b]
map:
    a_unencrypted: visible
    b:
        c: d
long: the quick brown fox jumps over the lazy dog, again and again, until the line is longer than anybody would want it to be in a file
# foot
`

func data(m *sops.Metadata) { m.UnencryptedSuffix, m.EncryptedRegex = "", "^(data|stringData)$" }

var documents = []document{
	{name: "values.yaml", plain: values},
	{name: "secret.yaml", plain: secret, with: data},
	{name: "whole.yaml", plain: secret},
	{name: "two.yaml", plain: secret + "---\n" + secret, with: data},
	{name: "pq.yaml", plain: secret, groups: [][]string{{"pq"}}, with: data},
	{name: "pgp.yaml", plain: secret, groups: [][]string{{"pgp"}}, with: data},
	{name: "either.yaml", plain: secret, groups: [][]string{{"kms", "other", "age"}}, with: data},
	{name: "kms.yaml", plain: secret, groups: [][]string{{"kms"}}, with: data},
	{name: "other.yaml", plain: secret, groups: [][]string{{"other"}}, with: data},
	{name: "shamir.yaml", plain: secret, groups: [][]string{{"other"}, {"age"}, {"pgp"}}, threshold: 2, with: data},
	{name: "shamir3.yaml", plain: secret, groups: [][]string{{"other"}, {"age"}, {"pgp"}}, threshold: 3, with: data},
	{name: "suffix.yaml", plain: "a_secret: hunter2\nb: open\nc_secret: {d: 1}\n", with: func(m *sops.Metadata) { m.UnencryptedSuffix, m.EncryptedSuffix = "", "_secret" }},
	{name: "unencrypted.yaml", plain: "a: hunter2\nmetadata: {b: open}\n", with: func(m *sops.Metadata) { m.UnencryptedSuffix, m.UnencryptedRegex = "", "^metadata$" }},
	{name: "comments.yaml", plain: "# sops:enc\na: hunter2\nb: open\n", with: func(m *sops.Metadata) { m.UnencryptedSuffix, m.EncryptedCommentRegex = "", "sops:enc" }},
	{name: "mac-only.yaml", plain: secret, with: func(m *sops.Metadata) { data(m); m.MACOnlyEncrypted = true }},
	{name: "values.json", plain: `{"text": "hunter2 \"<&>\" 😀", "n": 42, "f": 1.5, "big": 12345678901, "t": true, "z": null, "l": [1, "a", {"b": "c"}, []], "o": {"x_unencrypted": "open", "e": {}}}`},
	{name: "values.env", plain: "# a comment\nPASSWORD=hunter2\nMULTI=a\\nb\nEMPTY=\nEQUALS=a=b=c\nplain_unencrypted=open\n"},
	{name: "shamir.env", plain: "PASSWORD=hunter2\n", groups: [][]string{{"age"}, {"pgp"}}, threshold: 2},
	{name: "binary.bin", plain: "\x00\x01\xff\xfe binary\n\r\t"},
	{name: "text.conf", plain: "[section]\nkey = hunter2\n"},
}
