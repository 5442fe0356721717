# sslctl: `make demo` to see it work, `make test` before a commit. `make help` lists the rest.
SHELL := /bin/bash
export SSLCTL_TOOLS ?= $(HOME)/.cache/sslctl-tools
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
STATE := .sslctl
GO_PACKAGES := ./...

.PHONY: help build image demo data test unit race e2e k8s accuracy lint generate bench microbench tools clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/\1\t\2/' | expand -t 12

build: bin/sslctl ## build bin/sslctl, one static binary

.PHONY: bin/sslctl
bin/sslctl:
	CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/sslctl

image: ## build the container image sslctl:VERSION (needs docker)
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) -t sslctl:$(VERSION) .

data: bin/sslctl ## pack the shipped Fashion-MNIST images as WebDataset shards under .sslctl/data
	@bash scripts/demo-data.sh bin/sslctl $(STATE)/data

demo: data ## start a cluster in one process, pretrain on the shipped images, evaluate, export
	bin/sslctl up examples/fashion-moco.yaml --export $(STATE)/fashion-moco-encoder.safetensors

test: tools lint race e2e k8s ## everything: format, vet, staticcheck, import law, race tests, tests with real servers

race: tools ## all package tests with the race detector
	CGO_ENABLED=1 go test -race -timeout 20m $$(go list ./... | grep -v /test/)
	go test ./test/fixtures
	go test -run 'Allocat' ./pkg/simd ./pkg/nn ./pkg/objective ./pkg/optim # the race detector allocates, so allocations are counted without it

e2e: tools bin/sslctl ## the tests with real processes, NATS and MinIO
	SSLCTL_BINARY=$(CURDIR)/bin/sslctl go test -timeout 30m ./test/e2e/...

k8s: tools ## deploy/k8s on a real kube-apiserver, and its pods as processes
	go test -count=1 -timeout 10m ./test/k8s # never cached: it reads more than Go files

accuracy: data ## the example jobs with three seeds against their bars (about an hour; TASK=simclr for one of them)
	@bash scripts/full-data.sh bin/sslctl $(STATE)/full
	SSLCTL_BINARY=$(CURDIR)/bin/sslctl go test -tags accuracy -count=1 -timeout 6h -v -run '$(if $(TASK),TestExamples/^$(TASK)$$,.)' ./test/accuracy

unit: ## all package tests without the race detector
	go test $$(go list ./... | grep -v /test/)

lint: tools ## gofmt, go vet, staticcheck, generated files, import law
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change: $$out; run gofmt -w"; exit 1; fi
	go vet $(GO_PACKAGES)
	GOARCH=arm64 go vet ./pkg/... ./cmd/...
	$(SSLCTL_TOOLS)/bin/staticcheck $(GO_PACKAGES)
	go test ./internal/archtest

generate: ## regenerate protobuf code, assembly kernels, docs/job.md and docs/metrics.md (needs protoc)
	GOBIN=$(SSLCTL_TOOLS)/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
	GOBIN=$(SSLCTL_TOOLS)/bin go install connectrpc.com/connect/cmd/protoc-gen-connect-go@v1.21.1
	PATH=$(SSLCTL_TOOLS)/bin:$$PATH go generate ./...

bench: bin/bench bin/ring data ## ours beside PyTorch and OpenBLAS, one table and bench/results.json (ROW=ce for some rows, FLAGS=-v for the spread)
	@bash scripts/peers.sh || echo "bench: no peers; measuring ours alone" >&2
	@bin/bench -row '$(ROW)' $(FLAGS)

.PHONY: bin/bench bin/ring
bin/bench:
	@CGO_ENABLED=0 go build -o $@ ./bench

bin/ring:
	@CGO_ENABLED=0 go build -o $@ ./bench/ring

microbench: ## Go benchmarks of the kernels, the collectives and the training step
	go test -run '^$$' -bench . -benchtime 1s ./pkg/simd ./pkg/nn ./pkg/objective ./pkg/allreduce

tools: ## install what the tests need (once; cached)
	@bash scripts/tools.sh

clean: ## remove the binary and everything the demo made
	rm -rf bin $(STATE)
