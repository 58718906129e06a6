# Everything one does with this tree. `make` alone lists it.
#
# The tools live in .tools.mod and .golangci.mod, which want a Go as new as they are; go.mod stays with the product.
# The first `make lint` builds golangci-lint (about a minute); later ones find it in the build cache.

SHELL    := /bin/bash
TOOL     := go tool -modfile=.tools.mod
GOLANGCI := go tool -modfile=.golangci.mod golangci-lint

# Modules beside the product: they have the drivers and terminal libraries that the product must not require.
MODULES := $(sort $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod -not -path './bench/*')))

T        ?= 30s
BENCH    ?= .
TIMEOUT  ?= 60m

.DEFAULT_GOAL := help
.PHONY: help check fmt fmt-check no-sleep vet lint test test-modules race crash fuzz bench benchstat compare build-all vuln ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: fmt-check no-sleep vet lint race ## all that a commit must pass: format, vet, lint, tests under the race detector

fmt: ## format the code and sort the imports
	$(GOLANGCI) fmt ./...

fmt-check:
	@files=$$($(TOOL) gofumpt -l .) || exit 1; \
	if [ -n "$$files" ]; then printf 'not formatted (make fmt):\n%s\n' "$$files"; exit 1; fi

no-sleep:
	@.ci/no-sleep

vet:
	go vet ./...
	@for m in $(MODULES) bench; do echo "$$m"; go vet -C "$$m" ./... || exit 1; done

lint: ## golangci-lint: staticcheck, the import rules, and the rest of .golangci.yml
	$(GOLANGCI) run ./...

test: ## go test ./...
	go test ./...

test-modules: ## the same for the modules beside the product: examples, and the projector against real databases
	@for m in $(MODULES); do go test -C "$$m" ./... || exit 1; done

race: ## the tests in random order under the race detector (needs a C compiler)
	go test -race -shuffle=on ./...
	@for m in $(MODULES); do go test -C "$$m" -race -shuffle=on ./... || exit 1; done

crash: ## the long kill loop and power-cut soak (COUNT=1 TIMEOUT=60m)
	@for m in . $(MODULES); do \
		PENSTOCK_SOAK=1 go test -C "$$m" -v -run 'Crash|PowerCut|Kill' -count=$(or $(COUNT),1) -timeout=$(TIMEOUT) ./... || exit 1; \
	done

fuzz: ## every fuzz target in turn (T=30s each)
	@targets=$$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:func /:/'); \
	if [ -z "$$targets" ]; then echo 'no fuzz targets found'; exit 1; fi; \
	for target in $$targets; do \
		dir=$$(dirname "$${target%%:*}"); name=$${target##*:}; \
		echo "=== $$dir $$name"; \
		(cd "$$dir" && go test -run '^$$' -fuzz "^$$name\$$" -fuzztime=$(T)) || exit 1; \
	done

bench: ## measure, and keep numbers and table in bench/results (BENCH=. COUNT=6; leave the machine alone)
	@mkdir -p bench/results
	cd bench && set -o pipefail && out=results/$$(git describe --always --dirty) && \
	go test -run '^$$' -bench '$(BENCH)' -benchtime=1x -count=$(or $(COUNT),6) -timeout=$(TIMEOUT) . | tee "$$out.txt" && \
	go run ./table <"$$out.txt" | tee "$$out.md"

compare: ## deliver events beside JetStream, Watermill and others, and keep table and chart in bench/results (ARGS='-rows reactor')
	cd bench && go run ./cmd/compare $(ARGS)

benchstat: ## compare two results (OLD=bench/results/a.txt NEW=bench/results/b.txt)
	$(TOOL) benchstat $(OLD) $(NEW)

build-all: ## compile for linux, darwin and windows on amd64 and arm64, without cgo
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
		echo "$$os/$$arch"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build ./... || exit 1; \
	done; done

vuln: ## look for known vulnerabilities (asks vuln.go.dev)
	$(TOOL) govulncheck ./...

ci: ## what the build server runs
	.ci/run
