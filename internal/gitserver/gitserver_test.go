package gitserver

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestServe(t *testing.T) {
	s := start(t, Options{})
	if err := s.Create("team/app.git"); err != nil {
		t.Fatal(err)
	}
	one, err := s.Commit("team/app.git", "main", "one", map[string]string{"a.txt": "a", "d/b.txt": "b"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Commit("team/app.git", "main", "two", map[string]string{"a.txt": Delete, "it's \"c\".txt": "c"})
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Fatal("two commits have one id")
	}
	out, err := exec.Command("git", "ls-remote", s.URL("team/app.git"), "refs/heads/main").Output()
	if err != nil || !strings.HasPrefix(string(out), two) {
		t.Errorf("ls-remote = %q, %v; want %s", out, err, two)
	}
	dir := t.TempDir()
	if out, err := exec.Command("git", "clone", "-q", s.URL("team/app.git"), dir).CombinedOutput(); err != nil {
		t.Fatalf("clone: %v: %s", err, out)
	}
	list, err := exec.Command("git", "-C", dir, "ls-files").Output()
	if got, want := string(list), "d/b.txt\n\"it's \\\"c\\\".txt\"\n"; err != nil || got != want {
		t.Errorf("files are %q, want %q", got, want)
	}
}

func TestPush(t *testing.T) {
	s := start(t, Options{Username: "ada", Password: "pw"})
	if err := s.Create("app"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	url := strings.Replace(s.URL("app"), "http://", "http://ada:pw@", 1)
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"},
		{"push", "-q", url, "main"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args, err, out)
		}
	}
	if err := exec.Command("git", "-c", "core.askPass=true", "ls-remote", s.URL("app")).Run(); err == nil {
		t.Error("a stranger was let in")
	}
}

func TestSSH(t *testing.T) {
	s, err := StartSSH(t.TempDir())
	if errors.Is(err, ErrNoSSHD) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
