# The only recipe book: CI (.ci/run) calls these targets and nothing else. `make` or `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# a release is a tag; between releases the binary says what main.go says
VERSION   := $(shell git describe --tags --dirty 2>/dev/null | sed 's/^v//')
GOBUILD   := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w $(if $(VERSION),-X main.version=$(VERSION))'
GOTEST    ?= go test
FUZZTIME  ?= 5s
HISTORIES ?= 1000000
BENCH     ?= .
BENCHTIME ?= 100ms

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'Arguments: make demo ARGS=--once; make oracle ARGS="--only o-tcp-* -v"; HISTORIES, FUZZTIME, BENCH, BENCHTIME, GOTEST.'

.PHONY: build
build: ## one static binary, bin/natlb
	@mkdir -p bin
	@$(GOBUILD) -o bin/natlb ./cmd/natlb

.PHONY: man
man: build ## the manual pages, out/man8
	@bin/natlb man out/man8

.PHONY: demo
demo: build ## build, then the course's demonstration in network namespaces (ARGS=--once ends after the transcript)
	@bin/natlb demo $(ARGS)

.PHONY: test
test: ## all tests, end to end included; as root installs what they need with apt
	@tools/deps.sh test
	go vet ./...
	$(GOTEST) -timeout 20m ./...

.PHONY: race
race: ## all tests under the race detector (needs a C compiler)
	@tools/deps.sh test race
	CGO_ENABLED=1 $(GOTEST) -race -timeout 30m ./...

.PHONY: lint
lint: ## gofmt, go vet, staticcheck (pinned in tools/go.mod)
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "gofmt -w wanted for:"; echo "$$files"; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

.PHONY: histories
histories: ## play HISTORIES (1000000) random connection histories: counters equal the entries, nothing is left at the end
	NATLB_HISTORIES=$(HISTORIES) GOGC=400 go test ./dataplane -run '^TestHistories$$' -count=1 -v -timeout 2h

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (5s)
	@tools/ci/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## every benchmark for BENCHTIME (100ms); BENCH selects by name
	go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -timeout 30m ./...

.PHONY: bench-check
bench-check: ## the benchmarks against bench/baseline.txt, by benchstat; names what has become worse (ARGS="--short --bench Process")
	@bench/check $(ARGS)

.PHONY: bench-baseline
bench-baseline: ## write bench/baseline.txt anew
	@bench/check --store $(ARGS)

.PHONY: e2e
e2e: ## only the packages with tests in network namespaces, verbose
	@tools/deps.sh test
	$(GOTEST) -v -count=1 -timeout 20m ./internal/... ./dataplane/... ./cmd/...

.PHONY: e2e-shards
e2e-shards: ## the end-to-end tests with four shards
	@tools/deps.sh test
	NATLB_E2E_SHARDS=4 $(GOTEST) -count=1 -timeout 20m ./internal/e2e

.PHONY: golden
golden: ## rewrite the golden files from what the code prints now; look at git diff afterwards
	go test ./internal/ipvsadm -update
	go test ./internal/replay -run Golden -update
	go test ./internal/e2e -run ForwardingTable -update
	go test ./cmd/natlb -run ReplayPage -update
	@git diff --stat -- '*.golden' internal/replay/testdata docs/replay.md 2>/dev/null || true

# a dozen of the recordings' second set, of every group
SECOND := w-pick-wrr-w3812,w-dyn-wlc-closed,w-hash-mh-port+fallback-w6-0-5,w-x-fz-lblcr-4,w-udp-states,w-tcp-server-fin
SECOND := $(SECOND),w-persist,w-fwmark,w-ops,w-icmp-mtu,w-cli-order,w-cap-udp-frag

.PHONY: oracle
oracle: build ## play bin/natlb through the recordings of kernel IPVS and compare (root)
	@tools/deps.sh oracle
	@tools/deps.sh guest || true
	@python3 tools/oracle/run.py $(ARGS)
	@[ -n "$(ARGS)" ] || { echo; echo "some of the second set:"; python3 tools/oracle/run.py --set own --only '$(SECOND)' --out out/oracle-own; }
	@[ -n "$(ARGS)" ] || { echo; echo "the host owns the VIPs:"; python3 tools/oracle/run.py --vip-mode local --forward 1 --only 'o-t*' --out out/oracle-local; }

.PHONY: oracle-full
oracle-full: build ## both sets and both set-ups in full (natlb owns the VIPs, the host does), and with 2 and 4 shards
	@tools/deps.sh oracle
	@tools/deps.sh guest || true
	@for set in open own; do \
	  python3 tools/oracle/run.py --set $$set --out out/oracle-$$set && \
	  python3 tools/oracle/run.py --set $$set --vip-mode local --forward 1 --out out/oracle-$$set-local || exit 1; done
	@for n in 2 4; do echo; echo "$$n shards:"; python3 tools/oracle/run.py --run-args "--shards $$n" --out out/oracle-shards-$$n || exit; done

.PHONY: guest-tunnels
guest-tunnels: build ## natlb's tunnels into real devices of a guest's kernel, every kind in both families (a minute)
	@tools/deps.sh guest
	@tools/oracle/tunnels.sh

.PHONY: soak
soak: ## ten minutes under everything at once, with an edit each second (FOR=1h for longer; RACE=1 under the race detector)
	@tools/deps.sh test $(if $(RACE),race)
	NATLB_SOAK=$(or $(FOR),10m) CGO_ENABLED=$(if $(RACE),1,0) $(GOTEST) $(if $(RACE),-race) -v -count=1 -timeout 0 -run TestSoak ./internal/e2e

.PHONY: peers
peers: build ## measure natlb beside kernel nft DNAT, HAProxy and nginx (root; ARGS="--reps 3 nft haproxy1 natlb")
	@tools/deps.sh peers
	@tools/peers/run.sh $(or $(ARGS),--reps 3 nft haproxy1 natlb)

.PHONY: compare
compare: build ## measure natlb beside all peers and the limit, interleaved, into bench/results (root, half an hour; ARGS="--reps 7")
	@tools/deps.sh peers
	@bench/compare $(ARGS)

.PHONY: check
check: ## what CI runs
	@bash .ci/run

.PHONY: clean
clean: ## remove bin/ and out/
	rm -rf bin out
