#!/bin/sh
# Writes the custom resource definitions that Flux's Go types describe to
# $1 (crds by default). Run by "go generate ./install".
set -eu
cd "$(dirname "$0")"
out=${1:-crds}
mkdir -p "$out"
rm -f "$out"/*.yaml
# No -mod=mod: the versions are those of our go.mod.
exec go run sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0 \
	crd:maxDescLen=0 \
	paths=github.com/fluxcd/source-controller/api/v1 \
	paths=github.com/fluxcd/kustomize-controller/api/v1 \
	output:crd:dir="$out"
