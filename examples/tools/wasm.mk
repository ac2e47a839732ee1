# How the examples' wasm is built, on Debian 12 with nothing but its packages and crates.io. To be
# included. Debian has no Rust standard library for wasm32, so cargo builds it from rust-web-src.

TOOLS    := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
PACKAGES := cargo-web rustc-web rust-web-src lld gcc libc6-dev ca-certificates
TARGET   := wasm32-unknown-unknown

export CARGO_TARGET_DIR ?= $(abspath $(TOOLS)../target)

# RUSTC_BOOTSTRAP: -Zbuild-std is not stable. Nothing of where it is built may be in what is built:
# trim-paths takes the paths away, and a panic is a trap with no message.
GUEST_ENV := RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
	CARGO_UNSTABLE_TRIM_PATHS=true CARGO_PROFILE_RELEASE_TRIM_PATHS=all \
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-14 \
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS='-Zunstable-options -Cpanic=immediate-abort'

# $(call guest,MANIFEST): builds a guest crate or workspace.
guest = unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS; $(GUEST_ENV) /usr/bin/cargo build --release --locked --lib \
	--manifest-path $(1) --target $(TARGET) -Zbuild-std=std,panic_abort -Zbuild-std-features=

# $(call componentize,IN OUT.wasm [MAX_BYTES]): makes a component of what was built.
componentize = RUSTC=/usr/bin/rustc /usr/bin/cargo run --quiet --release --locked \
	--manifest-path $(TOOLS)componentize/Cargo.toml -- $(1)

built = $(CARGO_TARGET_DIR)/$(TARGET)/release

.PHONY: packages
packages:
	@missing=$$(for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || echo $$p; done); \
	[ -z "$$missing" ] || { \
		install="apt-get install --no-install-recommends -y $$(echo $$missing)"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update && $$install; \
		else echo "To build this, install what is missing and run make again:" >&2; \
			echo "  sudo $$install" >&2; exit 2; fi; }
