# Postern: what can be made. `make run` and `make test` need nothing but Go.

GO        ?= go
FUZZTIME  ?= 2m
LETTERS   ?= ../shared/corpus/large.mbox.zst
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: run test interop check soak chaos bench bench-live fuzz build

run: ## the whole thing on this machine: simulated Exchange, SQLite, a cast of people
	@echo "building; the first time takes about a minute"
	@$(GO) build -o bin/postern . && exec bin/postern demo

build: ## one program, bin/postern
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/postern .

test: ## all tests; installs PostgreSQL, Chromium, xmllint and nftables where it may
	@.ci/install postgresql chromium node xmllint nft ip
	$(GO) test -timeout 30m ./...

soak: ## 5,000 seeded lives, in all of which everything goes wrong; hours on a small machine
	POSTERN_SEEDS=5000 $(GO) test -count=1 -timeout 0 -run '^(TestSeeds|TestCrashPoints)$$' ./chaos

chaos: ## the real program killed 30 times in 10 minutes, frozen, its disk filled, its network torn
	POSTERN_CHAOS_MINUTES=10 $(GO) test -count=1 -timeout 1h -v -parallel 5 -run '^TestOutside' ./chaos

interop: ## foreign EWS clients against the simulated Exchange
	@.ci/install node java davmail
	POSTERN_INTEROP=1 $(GO) test -count=1 ./interop/...

check: ## format, vet, staticcheck, race detector, tidy modules
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "not formatted: run gofmt -w on these files"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -race -short -timeout 30m ./crm/... ./match/... ./jobs/... ./pace/... ./gate/... ./verify/... ./mail/... ./ews/... ./sim/... ./store/... ./engine/... ./web/... ./acceptance/... ./conformance/...

bench: ## CPU per 1,000 messages, requests, memory: one JSON object
	$(GO) run . bench import --messages 5000 --json $(if $(wildcard $(LETTERS)),--letters $(LETTERS))

bench-live: ## 5,000 mailboxes listened to, 50 letters a second: how soon each is seen, and what it costs
	$(GO) run . bench live --mailboxes 5000 --rate 50 --seconds 60 --json

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done
