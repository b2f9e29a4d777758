package flux

import (
	"strings"
	"testing"
)

func TestMatchesRegistry(t *testing.T) {
	for _, tt := range []struct {
		entry, repository string
		want              bool
	}{
		{"ghcr.io", "ghcr.io/team/app", true},
		{"https://ghcr.io/v2/", "ghcr.io/team/app", true},
		{"ghcr.io/team", "ghcr.io/team/app", true},
		{"ghcr.io/team/app", "ghcr.io/team/app", true},
		{"ghcr.io/tea", "ghcr.io/team/app", false},
		{"ghcr.io/other", "ghcr.io/team/app", false},
		{"ghcr.io:443", "ghcr.io/team/app", false},
		{"localhost:5000", "localhost:5000/app", true},
		{"*.example.com", "eu.example.com/app", true},
		{"*.example.com", "example.com/app", false},
		{"*.example.com", "a.b.example.com/app", false},
		{"e*.example.com", "eu.example.com/app", true},
		{"https://index.docker.io/v1/", "docker.io/team/app", true},
		{"docker.io", "index.docker.io/team/app", true},
		{"", "ghcr.io/team/app", false},
		{"[", "ghcr.io/team/app", false},
	} {
		if got := matchesRegistry(registryOf(tt.entry), tt.repository); got != tt.want {
			t.Errorf("%q for %q: %v, want %v", tt.entry, tt.repository, got, tt.want)
		}
	}
}

// Whatever a Secret holds, what is wrong with it is said without repeating it.
func FuzzDockerAccess(f *testing.F) {
	f.Add(`{"auths": {"ghcr.io": {"auth": "YWxpY2U6aHVudGVyMg=="}}}`)
	f.Add(`{"auths": {"ghcr.io": {"auth": "secretsecret"}}}`)
	f.Add(`secretsecret`)
	f.Fuzz(func(t *testing.T, data string) {
		_, err := dockerAccess(secret{name: "ns/pull", data: map[string]string{dockerJSON: data}}, "ghcr.io/team/app")
		if err != nil && strings.Contains(data, "secretsecret") && strings.Contains(err.Error(), "secretsecret") && !strings.Contains(data, `secretsecret":`) {
			t.Errorf("the error repeats what the Secret holds: %v", err)
		}
	})
}
