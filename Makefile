# Postern: what can be made. `make run` and `make test` need nothing but Go.

GO        ?= go
FUZZTIME  ?= 2m
LETTERS   ?= ../shared/corpus/large.mbox.zst
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: run test interop check bench fuzz build

run: ## the whole thing on this machine: simulated Exchange, SQLite, a cast of people
	@echo "building; the first time takes about a minute"
	@$(GO) build -o bin/postern . && exec bin/postern demo

build: ## one program, bin/postern
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/postern .

test: ## all tests; installs PostgreSQL, Chromium and xmllint where it may
	@.ci/install postgresql chromium node xmllint
	$(GO) test ./...

interop: ## foreign EWS clients against the simulated Exchange
	@.ci/install node java davmail
	POSTERN_INTEROP=1 $(GO) test -count=1 ./interop/...

check: ## format, vet, staticcheck, race detector, tidy modules
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "not formatted: run gofmt -w on these files"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -race -short ./crm/... ./match/... ./jobs/... ./gate/... ./mail/... ./ews/... ./sim/... ./store/... ./engine/... ./web/... ./acceptance/... ./conformance/...

bench: ## CPU per 1,000 messages, requests, memory: one JSON object
	$(GO) run . bench import --messages 5000 --json $(if $(wildcard $(LETTERS)),--letters $(LETTERS))

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done
