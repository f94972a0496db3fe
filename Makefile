# What a person does here, one target each. CI (.ci/run) calls the same ones.

# CI must not change Cargo.lock behind our back.
LOCKED := $(if $(CI),--locked)
CARGO ?= cargo
POSTERN := target/debug/postern

.DEFAULT_GOAL := help
.PHONY: help build release demo dev test unit lint fmt house deny audit fuzz generate chaos bench doc tools clean-tools

help: ## print these targets
	@echo "make TARGET, where TARGET is one of:"
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## a debug build of postern: target/debug/postern
	$(CARGO) build $(LOCKED) -p postern

release: ## an optimised build of postern: target/release/postern
	$(CARGO) build $(LOCKED) --release -p postern

# A debug build: about half the time of an optimised one, and the demo does not need speed.
demo: ## the tutorial, walked through on this machine; stays up until Ctrl-C, or ends by itself with ONCE=1
	@echo "Building postern (some minutes the first time, seconds afterwards)"
	$(CARGO) build $(LOCKED) -p postern
	@$(POSTERN) demo $(if $(filter-out 0,$(ONCE)),--once)

dev: build ## the dev stack with a gateway in front: a vault, an identity provider and an echo service in memory
	@$(POSTERN) dev --gateway

# The black-box tests run the binary, so it is built before them.
test: tools build ## every test, with real OpenBao, PostgreSQL, Redis and OIDC provider
	$(CARGO) test $(LOCKED) --no-fail-fast

unit: ## the tests beside the code only; nothing to install
	$(CARGO) test $(LOCKED) --lib --bins

lint: ## formatting, clippy, docs, scripts and the house rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --no-deps --quiet
	@scripts/tools lint
	scripts/house

fmt: ## format the code
	$(CARGO) fmt --all

house: ## the house rules that no other tool checks
	@scripts/tools lint
	scripts/house

deny: ## licences, banned and doubled dependencies (installs cargo-deny into .tools the first time: minutes)
	scripts/deny bans licenses sources

audit: ## known security advisories (cargo-deny fetches the advisory database)
	scripts/deny advisories

fuzz: ## the inputs that were worth keeping, then each fuzz target for 10 seconds, or SECONDS=n
	@scripts/tools fuzz
	cargo test --quiet -p postern-fuzz
	fuzz/run $(or $(SECONDS),10)

generate: tools build ## BODIES=100000 generated bodies to the Admin API: what is accepted is in effect, also after a restart
	BODIES=$(or $(BODIES),100000) SEED=$(or $(SEED),15) \
		$(CARGO) test $(LOCKED) -p postern-conformance --test it generate -- --nocapture
	GENERATE=$(or $(BODIES),100000) SEED=$(or $(SEED),15) $(CARGO) test $(LOCKED) -p postern-plugins --lib generated

chaos: tools ## every login of hcv in every kind of trouble, with real OpenBao; keeps docs/reliability.md
	scripts/chaos

bench: ## postern beside bao, the secret engine at scale, the gateway beside nginx, HAProxy and Envoy, and the control path
	@scripts/tools bench
	$(CARGO) build $(LOCKED) --release -p postern
	bench/run
	bench/run-scale
	bench/run-gateway
	bench/run-admin

doc: ## the API documentation: target/doc/
	$(CARGO) doc $(LOCKED) --no-deps --document-private-items

tools: ## install what the tests need: OpenBao, Node and an OIDC provider into .tools/, PostgreSQL, Redis
	@scripts/tools test

clean-tools: ## remove what was installed into .tools/
	rm -rf .tools
