#!/usr/bin/env bash
# The regressions, three minutes of trials over the catalogue, then a sample of them twice.
#   VERDICT_TRIAL_SECONDS=180  VERDICT_FIRST_SEED=1  VERDICT_TRIALS=100000
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

verdict=build/release/verdict
seconds=${VERDICT_TRIAL_SECONDS:-180}
jobs=${VERDICT_JOBS:-$(nproc)}
chunk=1000
trials=${VERDICT_TRIALS:-100000}
first=${VERDICT_FIRST_SEED:-1}
passed=0 failed=0 began=$SECONDS seed=$first

count() {
  local line
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -n 1)
  passed=$((passed + $(cut -d' ' -f1 <<<"$line")))
  failed=$((failed + $(cut -d' ' -f3 <<<"$line")))
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
mapfile -t regressions < <("$verdict" list scenarios | grep -oE '^regression_[a-z_]+')
"$verdict" run "${regressions[@]}" --seeds 1..50 -j "$jobs" --out build/runs >"$log" || true
cat "$log"
count "$log"

while [ $((SECONDS - began)) -lt "$seconds" ] && [ $((seed - first)) -lt "$trials" ]; do
  "$verdict" run all --seeds "$seed..$((seed + chunk - 1))" -j "$jobs" --out build/runs \
    >"$log" || true
  grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" >/dev/null || { cat "$log"; exit 1; }
  grep -qE ', 0 failed$' "$log" || cat "$log"
  count "$log"
  seed=$((seed + chunk))
done
cat "$log"   # the summary of the last chunk

# The same seeds again: equal hashes.
hash() {
  "$verdict" run all --seeds "$first..$((first + 199))" -j "$1" --out build/runs |
    grep -oE 'hash of all [0-9a-f]+'
}
one=$(hash "$jobs") two=$(hash 1)
if [ "$one" = "$two" ]; then
  passed=$((passed + 1))
else
  echo "not deterministic: '$one' and '$two' for seeds $first..$((first + 199))"
  failed=$((failed + 1))
fi
echo "seeds $first..$((seed - 1)), then 200 of them twice"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
