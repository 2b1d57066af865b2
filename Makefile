# Each target sees to its own set-up. `make help` lists them.
SHELL := bash
export PATH := $(PATH):$(HOME)/.cargo/bin

program := $(or $(CARGO_TARGET_DIR),target)/release/visavis

.PHONY: help build demo test lint proof wayland
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: ## a whole call on this machine, in a window if there is a display; leaves demo.png and demo.json
	@scripts/setup.sh demo
	cargo build --release --locked -p visavis
	$(program) demo

test: ## everything that must hold before a change goes in: form, lints, tests
	@scripts/setup.sh test
	@scripts/test.sh

build: ## the program, in target/release/visavis
	@scripts/setup.sh build
	cargo build --release --locked -p visavis

lint: ## form, lints of all targets with the benches, documentation, and the engine without its client half
	@scripts/setup.sh test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked -p visavis-engine
	cargo check --locked -p visavis-engine --no-default-features

wayland: ## whether the feature that captures Wayland desktops compiles
	@scripts/setup.sh wayland
	cargo check --locked -p visavis --features wayland
	cargo test --locked -p visavis-engine --features wayland --lib portal

proof: ## the long measurements: every figure that the program promises, as a table
	@scripts/setup.sh proof
	cargo bench --workspace --locked --no-run
	cargo check --locked -p visavis-engine --no-default-features
	cargo test --workspace --locked --test grown -- --ignored
	@scripts/proof.sh
