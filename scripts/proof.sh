#!/usr/bin/env bash
# The long measurements, each figure beside what it must be: scripts/proof.sh [--html FILE] [NAME…]. Exit 1 where one is missed.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked --workspace
exec "${CARGO_TARGET_DIR:-target}/release/proof" "$@"
