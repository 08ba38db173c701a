#!/usr/bin/env bash
# ./dev bench [quick] [--json FILE] [--only WORD]: every figure beside its goal. Builds the release
# tree first; VERDICT_BUILD=<folder> measures the binaries of another tree as they are.
# Exit code 0: everything was measured, whatever the goals say. 1: something could not be measured,
# or a core runs fewer than 20 trials per second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${VERDICT_BUILD:-}" ]; then
  ./dev build release
  VERDICT_BUILD=build/release
fi
exec /usr/bin/python3 tests/bench/bench.py --build "$VERDICT_BUILD" "$@"
