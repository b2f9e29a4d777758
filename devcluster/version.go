package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	_ "unsafe" // for go:linkname

	"k8s.io/component-base/version"
)

// Kubernetes learns its version from the linker's -X flags and otherwise calls
// itself v0.0.0-master, which clients that ask for a minimum refuse. Setting it
// here keeps the build command plain.
//
//go:linkname gitVersion k8s.io/component-base/version.gitVersion
var gitVersion string

//go:linkname gitMajor k8s.io/component-base/version.gitMajor
var gitMajor string

//go:linkname gitMinor k8s.io/component-base/version.gitMinor
var gitMinor string

func init() {
	v := moduleVersion("k8s.io/kubernetes")
	parts := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	if len(parts) != 3 {
		return
	}
	gitVersion, gitMajor, gitMinor = v, parts[0], parts[1]
	if err := version.SetDynamicVersion(v); err != nil {
		panic(err)
	}
}

// versions tells what the binary is made of.
func versions() string {
	return fmt.Sprintf("devcluster: kubernetes %s, etcd %s, kwok %s",
		moduleVersion("k8s.io/kubernetes"),
		moduleVersion("go.etcd.io/etcd/server/v3"),
		moduleVersion("sigs.k8s.io/kwok"))
}

// moduleVersion returns the version of a module that the binary was built
// with, or "" if it is not known.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}
