package main

import (
	"cmp"
	"runtime/debug"
)

// release is set by the linker in releases: "v0.1.0".
var release string

// version returns the release, or the commit that this was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || release != "" {
		return cmp.Or(release, "unknown")
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if commit == "" {
		return "devel"
	}
	return "devel-" + commit + dirty
}
