#!/usr/bin/env bash
# The main job on real input: a thousand trials, one exhibit found and replayed, then the broker on
# loopback with a real text of over 100,000 lines in every codec, compared byte for byte.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/broker_lib.sh

say() { printf '\n==> %s\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

./dev setup interop
work=$(mktemp -d)
trap 'stop_broker; rm -rf "$work"' EXIT
jobs=${VERDICT_JOBS:-$(nproc)}

say "1,000 trials: seeds 1 to 1000, each picks its scenario"
build/release/verdict run all --seeds 1..1000 -j "$jobs" --out "$work/runs" || die "a trial failed"

say "an exhibit: the broker acknowledges before it writes; the catalogue finds it"
status=0
build/exhibits/verdict run all --seeds 1..2000 -j "$jobs" --stop-at-first \
  --exhibit ack-before-write --out "$work/runs" >"$work/exhibit.txt" || status=$?
cat "$work/exhibit.txt"
[ "$status" = 1 ] || die "the exhibit was not found (exit code $status)"
replay=$(grep -oE 'verdict replay [^ ]+\.trace' "$work/exhibit.txt" | head -n 1)
[ -n "$replay" ] || die "no replay command was printed"
say "replaying it: $replay"
status=0
build/exhibits/$replay || status=$?
[ "$status" = 1 ] || die "the replay gave exit code $status instead of 1"

say "the broker on loopback, spoken to by kcat"
text=/usr/share/dict/words
[ "$(wc -l <"$text")" -ge 100000 ] || die "$text has fewer than 100,000 lines"
start_broker "$work/broker"
# librdkafka sends a batch of a few words plain when packing makes it no smaller, so batches wait
# until they are full.
for codec in none gzip snappy zstd; do
  topic=words-$codec
  kcat -q -b "$BROKER" -P -t "$topic" -p 0 -z "$codec" -X linger.ms=1000 -l "$text"
  kcat -q -b "$BROKER" -C -t "$topic" -p 0 -o beginning -e >"$work/back"
  cmp "$text" "$work/back" || die "$codec: what came back differs"
  echo "$codec: $(wc -l <"$work/back") lines came back, byte for byte"
done
stop_broker
for codec in none gzip snappy zstd; do
  /usr/bin/python3 tools/batch_codecs.py "$work/broker/data/words-$codec-0" "$codec" ||
    die "$codec: the log on disk has other batches"
done
say "done"
