# make demo   runs the program on a control plane of its own
# make test   runs all tests
# make lint   checks form
# make screenshots takes the pictures that README.md shows
# make update rewrites the answers in test data and the generated files

export GOTOOLCHAIN = local
GO      = go
# Without C, the program is a quarter smaller: a library of ours asks for plugins, for
# which the linker would keep whatever could be called.
GO_PURE = CGO_ENABLED=0 $(GO)
SHELL   = /bin/bash

LDFLAGS = -s -w

.PHONY: all demo test unit race scenario devcluster-test lint screenshots update clean

all: bin/sane

demo: bin/sane bin/devcluster
	bin/sane demo --devcluster bin/devcluster

GOFILES = $(shell git ls-files -co --exclude-standard '*.go' '*.html' '*.yaml' go.mod go.sum | grep -v '^devcluster/')

bin/sane: $(GOFILES)
	@echo "building sane (the first time takes some minutes)…"
	$(GO_PURE) build -trimpath -ldflags='$(LDFLAGS)' -o $@ ./cmd/sane

# Kubernetes itself: some eight minutes on two cores when nothing is cached.
bin/devcluster: $(shell git ls-files -co --exclude-standard devcluster)
	@echo "building the control plane: etcd, Kubernetes and kwok (some eight minutes the first time)…"
	cd devcluster && $(GO) build -trimpath -ldflags='-s -w' -o ../$@ .

test: bin/sane bin/devcluster unit race scenario devcluster-test

unit:
	$(GO_PURE) vet ./...
	$(GO_PURE) test -timeout 30m $$(comm -23 <($(GO_PURE) list ./... | sort) <($(GO_PURE) list $(RACED) | sort))

# Where goroutines meet, and the race detector is cheap. What it keeps from testing
# all, in render/worker, is tested above, too; nothing else is tested twice.
RACED = ./engine ./observe ./apply ./source/... ./cluster/memory ./report/...
race:
	$(GO) test -race -timeout 30m $(RACED) ./render/...

scenario: bin/sane bin/devcluster
	hack/with-devcluster env $(GO_PURE) test -count=1 -timeout 30m ./cluster/kube ./plan/plantest ./scenario/...

devcluster-test: bin/devcluster
	cd devcluster && DEVCLUSTER_BIN=../bin/devcluster $(GO) test -trimpath -vet=off -ldflags='-s -w' ./...

lint:
	@test -z "$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))" || { gofmt -l $$(git ls-files -co --exclude-standard '*.go'); echo "gofmt these"; exit 1; }
	$(GO_PURE) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

screenshots: bin/sane bin/devcluster
	dir=$$(mktemp -d) && trap "rm -rf $$dir" EXIT && export SHOTS=$$dir && \
	$(GO_PURE) test -count=1 -run 'TestLooks$$' ./web && hack/with-devcluster env $(GO_PURE) test -count=1 -run TestPages ./scenario && \
	cp $$dir/fleet-1280-light.png docs/fleet.png && cp $$dir/unit.png docs/unit.png

update:
	$(GO_PURE) generate ./...
	$(GO_PURE) test ./engine ./dialect/flux ./render/... -update

clean:
	rm -rf bin
