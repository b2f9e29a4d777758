package gitserver

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// services are what git does for whom it speaks to by HTTP.
var services = []string{"upload-pack", "receive-pack"}

// speak answers a request of git's protocol by HTTP, as git's own http-backend does,
// with one process less for each.
func (s *Server) speak(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	for _, service := range services {
		if repo, ok := strings.CutSuffix(r.URL.Path, "/git-"+service); ok && r.Method == http.MethodPost {
			s.serve(w, r, service, repo)
			return
		}
	}
	repo, ok := strings.CutSuffix(r.URL.Path, "/info/refs")
	service, known := strings.CutPrefix(r.URL.Query().Get("service"), "git-")
	if !ok || !known || service != services[0] && service != services[1] {
		http.NotFound(w, r)
		return
	}
	s.announce(w, r, service, repo)
}

// find returns the directory of a repository, which may be named without ".git".
func (s *Server) find(name string) (string, bool) {
	if name = strings.TrimPrefix(name, "/"); !fs.ValidPath(name) {
		return "", false
	}
	for _, dir := range []string{s.Path(name), s.Path(name + ".git"), s.Path(name + "/.git")} {
		if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
			return dir, true
		}
	}
	return "", false
}

// announce says what a repository has or, to who speaks protocol 2, what can be asked
// of it: that depends on its configuration alone.
func (s *Server) announce(w http.ResponseWriter, r *http.Request, service, name string) {
	dir, ok := s.find(name)
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-"+service+"-advertisement")
	protocol := s.protocol(r)
	if !strings.Contains(protocol, "version=2") || service != "upload-pack" {
		pkt := "# service=git-" + service + "\n"
		_, _ = io.WriteString(w, hexLength(pkt)+pkt+"0000")
		s.run(w, r, service, "--http-backend-info-refs", dir)
		return
	}
	config, _ := os.ReadFile(filepath.Join(dir, "config"))
	key := protocol + "\n" + string(config)
	answer, ok := s.said.Load(key)
	if !ok {
		var b bytes.Buffer
		if !s.run(&b, r, service, "--http-backend-info-refs", dir) {
			http.Error(w, "git "+service+" failed", http.StatusInternalServerError)
			return
		}
		answer = b.Bytes()
		s.said.Store(key, answer)
	}
	_, _ = w.Write(answer.([]byte))
}

// hexLength returns the length of a packet as git writes it.
func hexLength(pkt string) string {
	const digits = "0123456789abcdef"
	n := len(pkt) + 4
	return string([]byte{digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]})
}

// serve lets git answer what is asked.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, service, name string) {
	dir, ok := s.find(name)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = body
	}
	w.Header().Set("Content-Type", "application/x-git-"+service+"-result")
	s.run(w, r, service, "--stateless-rpc", dir)
}

// run runs git for a request until that is broken off, and reports whether it went
// well.
func (s *Server) run(out io.Writer, r *http.Request, service, how, dir string) bool {
	cmd := exec.CommandContext(r.Context(), "git", service, how, dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	if s.opts.Old {
		cmd.Env = append(cmd.Env, "GIT_CONFIG_COUNT=2",
			"GIT_CONFIG_KEY_0=uploadpack.allowAnySHA1InWant", "GIT_CONFIG_VALUE_0=false",
			"GIT_CONFIG_KEY_1=uploadpack.allowReachableSHA1InWant", "GIT_CONFIG_VALUE_1=false")
	} else if p := s.protocol(r); p != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+p)
	}
	cmd.Stdin, cmd.Stdout = r.Body, out
	return cmd.Run() == nil
}

// protocol returns which protocols whoever asks speaks.
func (s *Server) protocol(r *http.Request) string {
	if s.opts.Old {
		return ""
	}
	return r.Header.Get("Git-Protocol")
}
