# Everything one does with this tree. `make` alone lists it.
#
# The tools live in .tools.mod and .golangci.mod, which need a Go as new as they are; go.mod stays with the product.
# The first `make lint` builds golangci-lint (some minutes); later ones find it in the build cache.

SHELL    := bash
ROOT     := $(CURDIR)
TOOL     := go tool -modfile=$(ROOT)/.tools.mod
GOLANGCI := go tool -modfile=$(ROOT)/.golangci.mod golangci-lint

# What a change must pass, cheap checks first. This is the only list: `make check` and .ci/run both run it.
CHECKS := fmt-check no-sleep words shape links tidy-check vet test test-modules build-all vet-others lint race postgres vuln api

# Modules beside the product: they have the drivers and terminal libraries that the product must not require.
# bench is left out: it needs a newer Go, and its tests measure.
MODULES := $(sort $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod -not -path './bench/*')))

T        ?= 30s
TIMEOUT  ?= 60m
PAGES    := ../README.md,README.md

.DEFAULT_GOAL := help
.PHONY: help checks check fmt tidy $(CHECKS) crash fuzz compare growth benchstat ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

checks:
	@echo $(CHECKS)

check: $(CHECKS) ## all that a change must pass

fmt: ## format the code and sort the imports
	@for m in . $(MODULES) bench; do (cd "$$m" && $(GOLANGCI) fmt ./...) || exit 1; done

fmt-check:
	@files=$$($(TOOL) gofumpt -l .) || exit 1; \
	if [ -n "$$files" ]; then printf 'not formatted (make fmt):\n%s\n' "$$files"; exit 1; fi

no-sleep:
	@.ci/no-sleep

links:
	@.ci/links

words: ## words that are never right here
	@.ci/words

shape: ## files, functions, method sets and comments that are too long; libraries where none belong
	@go run ./.ci/shape -except store.Store
	@! go list -deps ./store ./cursor ./checkpoint ./reactor ./supervision | grep opentelemetry

tidy: ## go mod tidy in every module
	@for m in . $(MODULES) bench; do go -C "$$m" mod tidy || exit 1; done

tidy-check:
	@for m in . $(MODULES) bench; do go -C "$$m" mod tidy -diff || exit 1; done

vet:
	@for m in . $(MODULES) bench; do go -C "$$m" vet ./... || exit 1; done

test: ## the tests of the product
	go test -timeout=20m ./...

test-modules: ## the tests of the modules beside it: examples, and the projector against SQLite
	@for m in $(MODULES); do go -C "$$m" test ./... || exit 1; done

build-all: ## compile for linux, darwin and windows on amd64 and arm64, and for linux on 386, without cgo
	@for target in {linux,darwin,windows}/{amd64,arm64} linux/386; do \
		echo "$$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build ./... || exit 1; \
	done

vet-others: ## vet, tests included, for the systems on which files differ
	@for os in darwin windows; do \
		echo "$$os"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=amd64 go vet ./... || exit 1; \
	done

lint: ## golangci-lint: staticcheck, the import rules, and the rest of .golangci.yml
	@for m in . $(MODULES); do echo "$$m"; (cd "$$m" && $(GOLANGCI) run ./...) || exit 1; done

race: ## the tests in random order under the race detector (needs a C compiler)
	@.ci/race . $(MODULES)

postgres: ## the tests of the projector against PostgreSQL (installs it only where CI=true)
	@.ci/postgres go -C reactor/projector/drivertest test -count=1 ./...

vuln: ## look for known vulnerabilities (needs vuln.go.dev)
	@.ci/vuln $(TOOL) govulncheck

api: ## changes of the public API since the last tag
	@.ci/api $(TOOL) apidiff

crash: ## the long kill loop and power-cut soak (COUNT=1 TIMEOUT=60m)
	@for m in . $(MODULES); do \
		PENSTOCK_SOAK=1 go -C "$$m" test -v -run 'Crash|PowerCut|Kill' -count=$(or $(COUNT),1) -timeout=$(TIMEOUT) ./... || exit 1; \
	done

fuzz: ## every fuzz target in turn (T=30s each)
	@targets=$$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:func /:/'); \
	if [ -z "$$targets" ]; then echo 'no fuzz targets found'; exit 1; fi; \
	for target in $$targets; do \
		dir=$$(dirname "$${target%%:*}"); name=$${target##*:}; \
		echo "=== $$dir $$name"; \
		(cd "$$dir" && go test -run '^$$' -fuzz "^$$name\$$" -fuzztime=$(T)) || exit 1; \
	done

compare: ## store and deliver events beside others; keep table and chart in bench/results (ARGS='-rows reactor')
	cd bench && go run ./cmd/compare $(or $(ARGS),-pages $(PAGES))

growth: ## what must not grow with events, entities, keys and side values; keep the table in bench/results
	cd bench && go run ./cmd/growth $(ARGS)

benchstat: ## compare two outputs of go test -bench (OLD=a.txt NEW=b.txt)
	$(TOOL) benchstat $(OLD) $(NEW)

ci: ## what the build server runs: the checks of `make check`, each with its header and time
	.ci/run
