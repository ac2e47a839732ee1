# Everything a newcomer types. `make test` is the whole gate, and what CI runs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build run test soak acceptance install clean

CARGO ?= cargo
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
BIN := $(HOME)/.local/bin

help: ## say what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install what the build and its tests need
	@bash .ci/setup

build: setup ## build the release binary
	@[ -x $(RELEASE)/grange ] || echo "The first build compiles about 560 crates: 15 to 25 minutes on two cores. Later ones take a minute."
	@$(CARGO) build --release --locked --package grange

run: build ## a cloud of four operators on this machine, with the guestbook on it
	@exec $(RELEASE)/grange tour examples/guestbook

test: setup ## the whole gate
	@bash .ci/gate

soak: setup ## half of SECONDS=600 simulated worlds, half real faults; what was met and what was found
	@total=$(or $(SECONDS),600); half=$$((total / 2)); \
	echo "$$half s of simulated worlds, then $$((total - half)) s of real faults"; \
	$(CARGO) xtask sim --for $$half; \
	$(CARGO) xtask storm --soak $$((total - half))

acceptance: setup ## every command of docs/acceptance.md, and what is not done yet
	@$(CARGO) xtask acceptance

install: build ## put grange into ~/.local/bin
	@install -Dm755 $(RELEASE)/grange $(BIN)/grange && echo "installed $(BIN)/grange"

clean: ## remove what was built
	@$(CARGO) clean
