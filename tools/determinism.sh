#!/usr/bin/env bash
# The same 200 seeds give the same hashes in every build: release, debug, ASan, exhibits compiled in
# and off, g++ and clang 19, with and without address space randomisation.
#   ./dev determinism [FIRST [COUNT]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

first=${1:-1} count=${2:-200} jobs=${VERDICT_JOBS:-$(nproc)}
range="$first..$((first + count - 1))"
trees=${VERDICT_TREES:-release debug asan exhibits clang}
# shellcheck disable=SC2086  # a list of trees
./dev build $trees -- verdict
export ASAN_OPTIONS=detect_stack_use_after_return=0

expected='' passed=0 failed=0
check() {
  local what=$1 got
  shift
  got=$("$@" run all --seeds "$range" -j "$jobs" --out build/runs |
    grep -oE 'hash of all [0-9a-f]+' || true)
  [ -n "$expected" ] || expected=$got
  if [ -n "$got" ] && [ "$got" = "$expected" ]; then
    printf 'ok    %-28s %s\n' "$what" "$got"
    passed=$((passed + 1))
  else
    printf 'WRONG %-28s %s, expected %s\n' "$what" "${got:-no hash}" "$expected"
    failed=$((failed + 1))
  fi
}
for tree in $trees; do
  check "$tree" "build/$tree/verdict"
  check "$tree, fixed addresses" setarch "$(uname -m)" -R "build/$tree/verdict"
done
echo "seeds $range"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
