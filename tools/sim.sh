#!/usr/bin/env bash
# ./dev sim ...: builds the release tree and runs `verdict run` with the arguments given, or two
# hundred seeds of the catalogue.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./dev build release
if [ $# -gt 0 ]; then exec build/release/verdict run "$@"; fi
exec build/release/verdict run all --seeds 1..200 -j "$(nproc)"
