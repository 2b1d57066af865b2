#!/usr/bin/env bash
# The gate, in order of speed: form, lints and build in one pass, tests. FAIL_ON_SKIP=1: a test that cannot run here
# fails it.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    local name=$1 began=$SECONDS status=0
    shift
    echo "== $name"
    "$@" || status=$?
    echo "== $name: $((SECONDS - began)) s"
    return "$status"
}

# Our own crates are compiled by clippy's driver, which is rustc with more lints. So one build serves the lints and the
# tests; `cargo clippy` would build every dependency a second time.
export RUSTC_WORKSPACE_WRAPPER=clippy-driver
export CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings

VISAVIS_SKIPPED=$(mktemp)
export VISAVIS_SKIPPED
trap 'rm -f "$VISAVIS_SKIPPED"' EXIT

step form cargo fmt --all --check
step "lints and build" cargo test --workspace --locked --no-run
status=0
step tests cargo test --workspace --locked --no-fail-fast --quiet || status=$?

sort -u -o "$VISAVIS_SKIPPED" "$VISAVIS_SKIPPED"
count=$(wc -l <"$VISAVIS_SKIPPED")
if [ "$count" -gt 0 ]; then
    echo "$count tests skipped: $(cut -d: -f1 "$VISAVIS_SKIPPED" | paste -sd, | sed 's/,/, /g')"
    sed 's/^/    /' "$VISAVIS_SKIPPED"
    if [ "${FAIL_ON_SKIP:-0}" = 1 ]; then
        echo "FAIL_ON_SKIP is set: a skipped test is a failed one."
        status=1
    fi
else
    echo "0 tests skipped"
fi
exit "$status"
