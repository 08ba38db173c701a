#!/usr/bin/env bash
# `verdict topic|produce|consume` as a person uses them: real processes, a real broker on loopback.
# One line per check; ends with "N passed, N failed". Where kcat is installed, both read what the
# other wrote.
#
# usage: tools/cli_check.sh            environment: VERDICT, the binary (build/release/verdict)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/broker_lib.sh
VERDICT=$(realpath "${VERDICT:-build/release/verdict}")

work=$(mktemp -d)
trap 'stop_broker; rm -rf "$work"' EXIT
passed=0 failed=0
CODECS="none gzip snappy lz4 zstd"

# check NAME COMMAND...: passes when the command does.
check() {
  local name=$1 status
  shift
  # Not as a condition: bash would let a function go on after a command that failed.
  set +e
  (set -e; "$@") >"$work/check.log" 2>&1
  status=$?
  set -e
  if [ "$status" = 0 ]; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    sed 's/^/          /' "$work/check.log" | tail -n 20
  fi
}

# ends_with STATUS TEXT COMMAND...: the command exits with STATUS and says TEXT on stderr.
ends_with() {
  local wanted=$1 text=$2 status=0
  shift 2
  timeout 20 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  cat "$work/err"
  [ "$status" = "$wanted" ] || { echo "exit code $status instead of $wanted"; return 1; }
  grep -qF -- "$text" "$work/err" || { echo "stderr does not say: $text"; return 1; }
}

# prints TEXT COMMAND...: the command succeeds and standard output is TEXT.
prints() {
  local text=$1
  shift
  timeout 20 "$@" >"$work/out" </dev/null
  diff <(printf '%s' "$text") "$work/out"
}

v() { timeout 20 "$VERDICT" "$@"; }
said_by() { local text=$1; shift; v "$@" </dev/null | grep -qE -- "$text"; }

# wait_for FILE: until it has bytes.
wait_for() {
  local tries
  for tries in $(seq 1 200); do
    [ ! -s "$1" ] || return 0
    sleep 0.05
  done
  echo "$1 is still empty after $tries looks"
  return 1
}

# --- topics ---------------------------------------------------------------------------------------

topics() {
  check "a topic is made" v topic create plain -p 3 -c retention.ms=123456
  check "it is listed" prints $'plain\n' "$VERDICT" topic list
  check "its description has its partitions" said_by '^topic plain, id [A-Za-z0-9_-]{22}, 3 part' \
    topic describe plain
  check "and its configs" said_by '^retention.ms=123456 \(topic\)$' topic describe plain
  check "and its offsets as JSON" described_as_json
  check "a second one of that name is refused" ends_with 4 TOPIC_ALREADY_EXISTS \
    "$VERDICT" topic create plain
  check "more replicas than brokers are refused" ends_with 4 INVALID_REPLICATION_FACTOR \
    "$VERDICT" topic create wide -r 3
  check "a config that does not exist is refused" ends_with 4 INVALID_CONFIG \
    "$VERDICT" topic create odd -c no.such.config=1
  check "a config without a value is a usage error" ends_with 2 "key=value" \
    "$VERDICT" topic create odd -c retention.ms
  check "no partitions is a usage error" ends_with 2 partitions "$VERDICT" topic create odd -p 0
  check "a topic that is not there is not described" ends_with 4 UNKNOWN_TOPIC_OR_PARTITION \
    "$VERDICT" topic describe nothing
  check "a topic is deleted, one that is not there is named" ends_with 4 "topic 'nothing'" \
    "$VERDICT" topic delete plain nothing
  check "it is gone" prints "" "$VERDICT" topic list
  check "a list of nothing is JSON too" prints $'[]\n' "$VERDICT" topic list --format json
}

described_as_json() {
  printf 'a\nb\n' | v produce plain -p 1
  v topic describe plain --format json | /usr/bin/python3 -c '
import json, sys
topic = json.load(sys.stdin)
ends = [(p["partition"], p["leader"], p["isr"], p["start_offset"], p["end_offset"])
        for p in topic["partitions"]]
assert ends == [(0, 1, [1], 0, 0), (1, 1, [1], 0, 2), (2, 1, [1], 0, 0)], ends
assert topic["configs"]["retention.ms"] == {"value": "123456", "source": "topic"}, topic'
}

# --- bytes there and back -------------------------------------------------------------------------

round_trip() {
  local codec=$1
  v topic create "trip-$codec" -p 1
  v produce "trip-$codec" -z "$codec" "$work/text" 2>"$work/summary"
  cat "$work/summary"
  grep -qE '^20000 records, 20000 acked, [0-9]+\.[0-9]{3} s$' "$work/summary"
  v consume "trip-$codec" -e >"$work/back"
  cmp "$work/text" "$work/back"
}

kcat_reads() {
  kcat -q -b "$BROKER" -C -t "trip-$1" -p 0 -o beginning -e >"$work/back"
  cmp "$work/text" "$work/back"
}

kcat_writes() {
  v topic create "kcat-$1" -p 1
  kcat -q -b "$BROKER" -P -t "kcat-$1" -p 0 -z "$1" -X linger.ms=20 -l "$work/words"
  v consume "kcat-$1" -e >"$work/back"
  cmp "$work/words" "$work/back"
}

round_trips() {
  local codec
  for codec in $CODECS; do
    check "$codec: 20,000 lines of any bytes come back" round_trip "$codec"
  done
  if ! command -v kcat >/dev/null; then
    echo "skipped kcat is not installed (./dev setup interop)"
    return 0
  fi
  for codec in $CODECS; do
    check "$codec: kcat reads what we wrote" kcat_reads "$codec"
    check "$codec: we read what kcat wrote" kcat_writes "$codec"
  done
  check "keys land where kcat's murmur2 puts them" keys_like_kcat
  check "kcat sees our headers" kcat_sees_headers
}

keys_like_kcat() {
  v topic create ours -p 7
  v topic create theirs -p 7
  v produce ours -K : "$work/keyed"
  kcat -q -b "$BROKER" -P -t theirs -K : -X topic.partitioner=murmur2 -l "$work/keyed"
  v consume ours -e -f '%p %k %s\n' | sort >"$work/ours"
  v consume theirs -e -f '%p %k %s\n' | sort >"$work/theirs"
  [ "$(wc -l <"$work/ours")" = 500 ]
  [ "$(cut -d' ' -f1 "$work/ours" | sort -u | wc -l)" = 7 ]
  cmp "$work/ours" "$work/theirs"
}

kcat_sees_headers() {
  v topic create headed -p 1
  echo body | v produce headed -H a=1 -H b=two
  [ "$(kcat -q -b "$BROKER" -C -t headed -o beginning -e -f '%h %s')" = "a=1,b=two body" ]
  [ "$(v consume headed -e -f '%h %s')" = "a=1,b=two body" ]
}

# The log on disk has the codec that was asked for.
codecs_on_disk() {
  local codec
  for codec in $CODECS; do
    check "$codec: every batch on disk has it" \
      /usr/bin/python3 tools/batch_codecs.py "$work/broker/data/trip-$codec-0" "$codec"
  done
}

# --- options --------------------------------------------------------------------------------------

offsets() {
  v topic create ten -p 1
  seq 0 9 | v produce ten 2>/dev/null
  check "-o N begins there" prints $'7\n8\n9\n' "$VERDICT" consume ten -e -o 7
  check "-o -N prints the last N" prints $'8\n9\n' "$VERDICT" consume ten -e -o -2
  check "-o -N with less than N there prints all" said_by '^0$' consume ten -e -o -100
  check "-o end has nothing to print" prints "" "$VERDICT" consume ten -e -o end
  check "-n ends after so many" prints $'0\n1\n2\n' "$VERDICT" consume ten -n 3
  check "-n 0 prints nothing" prints "" "$VERDICT" consume ten -n 0
  check "-f prints what it is asked for" prints "ten 0 4 -1:4" \
    "$VERDICT" consume ten -o 4 -n 1 -f '%t %p %o %K:%s'
  check "-o outside is refused with the range" ends_with 4 "begins at 0 and ends before 10" \
    "$VERDICT" consume ten -o 11
  check "-o that is no offset is a usage error" ends_with 2 "is no offset" \
    "$VERDICT" consume ten -o newest
  check "-f with an unknown place is a usage error" ends_with 2 "column 4" \
    "$VERDICT" consume ten -f '%s %z'
  check "JSON has one object per line" json_lines
  check "-p reads only that partition" one_partition
  check "head closes the pipe and consume ends" head_closes
}

json_lines() {
  v consume ten -e --format json | /usr/bin/python3 -c '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert [(l["offset"], l["value"], l["key"]) for l in lines] == [
    (i, str(i), None) for i in range(10)], lines'
}

one_partition() {
  v topic create two -p 2
  echo zero | v produce two -p 0
  echo one | v produce two -p 1
  [ "$(v consume two -e -p 1)" = one ]
  [ "$(v consume two -e -p 0 -p 1 | sort | tr '\n' ' ')" = "one zero " ]
  ends_with 4 "there is no 2" "$VERDICT" consume two -p 2
  ends_with 4 "there is no 2" "$VERDICT" produce two -p 2
}

head_closes() {
  local first
  set +o pipefail
  first=$(timeout 20 "$VERDICT" consume trip-none -o 0 | head -n 1)
  [ "$first" = "$(head -n 1 "$work/text")" ]
}

acks() {
  local how
  for how in "--acks 0" "--acks 1" "--acks all" "--no-idempotence"; do
    # shellcheck disable=SC2086  # options
    check "produce $how: all arrive in order" produce_with $how
  done
}

produce_with() {
  v topic delete acked >/dev/null 2>&1 || true
  v topic create acked -p 1
  v produce acked "$@" "$work/words"
  v consume acked -n 3000 >"$work/back"   # acks=0: they may still be on their way
  cmp "$work/words" "$work/back"
}

# --- what goes wrong ------------------------------------------------------------------------------

refusals() {
  check "produce to an unknown topic" ends_with 4 "verdict topic create" "$VERDICT" produce nothing
  check "consume of an unknown topic" ends_with 4 "verdict topic create" "$VERDICT" consume nothing
  check "a codec that does not exist" ends_with 2 "compression" "$VERDICT" produce ten -z brotli
  check "acks that do not exist" ends_with 2 "acks" "$VERDICT" produce ten --acks 2
  check "a file that is not there" ends_with 2 "No such file" "$VERDICT" produce ten "$work/none"
  check "a folder in place of a file" ends_with 2 "line 1: cannot be read" \
    "$VERDICT" produce ten "$work"
  check "an address without a port number" ends_with 2 "the port is a number" \
    "$VERDICT" topic list --bootstrap localhost:http
  check "nobody listens there" ends_with 4 "127.0.0.1:1 (refused" \
    "$VERDICT" topic list --bootstrap 127.0.0.1:1
  check "one address of two is enough" v topic list --bootstrap "127.0.0.1:1,$BROKER"
  { echo a; echo b; head -c 1000001 /dev/zero | tr '\0' x; echo; echo c; } >"$work/long"
  check "a line that is too long is named" ends_with 2 "line 3: longer than 1000000 bytes" \
    "$VERDICT" produce ten "$work/long"
  check "the lines before it were sent" prints $'a\nb\n' "$VERDICT" consume ten -e -o -2
  v topic create small -p 1 -c max.message.bytes=1000
  { echo a; head -c 5000 /dev/urandom | base64 -w 0; echo; } >"$work/large"
  check "a record that the broker refuses is named" ends_with 4 "MESSAGE_TOO_LARGE" \
    "$VERDICT" produce small "$work/large"
}

# --- time: signals, pipes that stay open, brokers that die ---------------------------------------

# --foreground: without it `timeout` sends every signal twice.
interrupt_consume() {
  local pid status=0
  timeout --foreground 20 "$VERDICT" consume ten >"$work/live" &
  pid=$!
  wait_for "$work/live"
  kill -INT "$pid"
  wait "$pid" || status=$?
  [ "$status" = 0 ] || { echo "exit code $status"; return 1; }
}

# Lines arrive while the pipe that they come from stays open; an interrupt ends the wait for more.
live_produce() {
  local pid status=0
  v topic create live -p 1
  mkfifo "$work/fifo"
  timeout --foreground 20 "$VERDICT" produce live "$work/fifo" 2>"$work/err" &
  pid=$!
  exec 7>"$work/fifo"
  echo first >&7
  [ "$(v consume live -n 1)" = first ]
  kill -INT "$pid"
  wait "$pid" || status=$?
  exec 7>&-
  cat "$work/err"
  [ "$status" = 130 ]
  grep -q '^1 records, 1 acked' "$work/err"
}

dead_broker() {
  local produce consume status=0
  v topic create doomed -p 1
  mkfifo "$work/doomed"
  timeout 20 "$VERDICT" produce doomed --timeout 2 "$work/doomed" 2>"$work/produce.err" &
  produce=$!
  exec 8>"$work/doomed"
  echo first >&8
  [ "$(v consume doomed -n 1)" = first ]
  timeout 20 "$VERDICT" consume doomed --timeout 2 >"$work/doomed.out" 2>"$work/consume.err" &
  consume=$!
  wait_for "$work/doomed.out"
  kill -KILL "$BROKER_PID"
  echo second >&8
  exec 8>&-
  wait "$produce" || status=$?
  cat "$work/produce.err"
  [ "$status" = 4 ]
  grep -q 'line 2: not' "$work/produce.err"
  grep -q '^2 records, 1 acked, 1 not' "$work/produce.err"
  status=0
  wait "$consume" || status=$?
  cat "$work/consume.err"
  [ "$status" = 4 ]
  grep -q "$BROKER: timed_out: nothing heard" "$work/consume.err"
}

# --- all ------------------------------------------------------------------------------------------

/usr/bin/python3 - "$work" <<'PYTHON'
import pathlib, random, sys
work, dice = pathlib.Path(sys.argv[1]), random.Random(1)
any_byte = bytes(b for b in range(256) if b != 10)
lines = [bytes(dice.choices(any_byte, k=dice.choice((0, 1, 7, 30, 300)))) for _ in range(19_999)]
lines.insert(500, any_byte * 3_000)
(work / "text").write_bytes(b"".join(line + b"\n" for line in lines))
(work / "words").write_bytes(b"".join(b"word %d\n" % i for i in range(3_000)))
(work / "keyed").write_bytes(b"".join(b"key-%d:%d\n" % (i % 97, i) for i in range(500)))
PYTHON

start_broker "$work/broker"
export VERDICT_BOOTSTRAP=$BROKER
topics
round_trips
offsets
acks
refusals
check "Ctrl-C ends consume with 0" interrupt_consume
check "a line arrives while its pipe is open; Ctrl-C ends the wait for more" live_produce
disown "$BROKER_PID"   # it is about to be killed, which bash would report otherwise
check "a broker that dies is named within the time-out" dead_broker
check "and is not waited for when nothing listens" ends_with 4 "verdict broker start" \
  "$VERDICT" produce ten
codecs_on_disk
echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
