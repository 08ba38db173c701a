#!/usr/bin/env bash
# Unmodified Kafka clients and Kafka's own tools against the broker, one line per check.
#
# usage: ./dev interop [--quick] [--java|--no-java] [--verdict BINARY] [check ...]
#   checks: kcat confluent kafka-python java kill9 dump bad-input; all of them by default
#   --quick    the short form that ./dev test runs; without Java
#   --java     installs Java and Maven where they are missing; otherwise they are used if at hand
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/broker_lib.sh

CHECKS="kcat confluent kafka-python java kill9 dump bad-input"
KILLS=20 QUICK_KILLS=3
QUICK_LINES=10000
SEGMENT_BYTES=1048576   # the least that Kafka 4 allows for a topic
TEXT=/usr/share/dict/words
PYTHON=/usr/bin/python3
export PYTHONDONTWRITEBYTECODE=1

die() { printf 'interop: %s\n' "$*" >&2; exit 2; }

quick='' java=auto wanted=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=--quick ;;
    --java) java=install ;;
    --no-java) java=no ;;
    --verdict) [ $# -gt 1 ] || die "--verdict needs a path"; export VERDICT=$2; shift ;;
    -*) die "unknown option '$1' (--quick, --java, --no-java, --verdict BINARY)" ;;
    *) [[ " $CHECKS " == *" $1 "* ]] || die "no check '$1'; there are $CHECKS"; wanted+=("$1") ;;
  esac
  shift
done
[ ${#wanted[@]} -gt 0 ] || read -ra wanted <<<"$CHECKS"
[ -z "$quick" ] || [ "$java" = install ] || java=no
is_wanted() { [[ " ${wanted[*]} " == *" $1 "* ]]; }

export VERDICT=${VERDICT:-$PWD/build/release/verdict}
[ -x "$VERDICT" ] || die "$VERDICT is missing; ./dev build release makes it"
./dev setup interop
work=$(mktemp -d)
trap 'stop_broker; rm -rf "$work"' EXIT

# --- one line per check ---------------------------------------------------------------------------

passed=0 failed=0
ok() { printf '%-8s %-46s %s\n' ok "$1" "$2"; passed=$((passed + 1)); }
bad() { printf '%-8s %-46s %s\n' FAILED "$1" "$2"; failed=$((failed + 1)); }
skipped() { printf '%-8s %-46s %s\n' SKIPPED "$1" "$2"; }

# check NAME COMMAND...: the command prints its figure as its last line.
check() {
  local name=$1 status=0
  shift
  "$@" >"$work/out" 2>&1 || status=$?
  if [ $status = 0 ]; then
    ok "$name" "$(tail -n 1 "$work/out")"
  else
    bad "$name" "exit code $status: $(tail -n 1 "$work/out")"
    sed 's/^/         | /' "$work/out" | tail -n 20
  fi
}

# suite COMMAND...: a script that prints such lines itself and ends with "N passed, N failed".
suite() {
  local status=0 line
  "$@" 2>"$work/err" >"$work/out" || status=$?
  sed '$d' "$work/out"
  line=$(tail -n 1 "$work/out")
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    [ $status = 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || bad "$2" "exit code $status"
  else
    printf '%s\n' "$line"
    bad "${*:2:1}" "ended without a tally: $(tail -n 1 "$work/err")"
  fi
  [ $status = 0 ] || sed 's/^/         | /' "$work/err" | tail -n 20
}

# --- kcat -----------------------------------------------------------------------------------------

k() { timeout 60 kcat -b "$BROKER" "$@"; }

same() {  # same FOUND WANTED
  [ "$1" = "$2" ] || { printf 'wanted [%s], found [%s]\n' "$2" "$1"; return 1; }
}

kcat_list() {
  k -L >"$work/list"
  grep -q '^ 1 brokers:' "$work/list" || { cat "$work/list"; return 1; }
  k -L -J | "$PYTHON" -c 'import json, sys
listed = json.load(sys.stdin)
assert listed["controllerid"] == listed["brokers"][0]["id"], listed
print("1 broker, controller", listed["controllerid"], "and", len(listed["topics"]), "topics")'
}

# Batches wait until they are full: packing a few words makes them no smaller, and they go plain.
kcat_text() {  # kcat_text TOPIC CODEC OPTION...
  local topic=$1 codec=$2
  shift 2
  k -q -P -t "$topic" -p 0 -z "$codec" -X linger.ms=1000 "$@" -l "$work/text"
  k -q -C -t "$topic" -p 0 -o beginning -e >"$work/back"
  cmp "$work/text" "$work/back"
  echo "$(wc -l <"$work/back") lines byte for byte"
}

kcat_keys() {
  printf 'a:1\nb:2\nc:\n' | k -P -t kcat-keys -p 0 -K: -Z -H one=1 -H two=2
  same "$(k -C -t kcat-keys -p 0 -o beginning -e -q -f '%k=%s,%S,%h ' | tr -d '\0')" \
    "a=1,1,one=1,two=2 b=2,1,one=1,two=2 c=,-1,one=1,two=2 "
  echo "keys, headers, a null value"
}

kcat_offsets() {
  seq 1 10 | k -P -t kcat-offsets -p 0
  same "$(k -C -t kcat-offsets -p 0 -o -3 -e -q | tr '\n' ' ')" "8 9 10 "
  same "$(k -C -t kcat-offsets -p 0 -o 4 -c 2 -q | tr '\n' ' ')" "5 6 "
  k -Q -t kcat-offsets:0:-1 | grep -q 'offset 10$'
  k -Q -t kcat-offsets:0:-2 | grep -q 'offset 0$'
  echo "the last three, two from offset 4, ends 0 and 10"
}

kcat_refusals() {
  head -c 3000000 /dev/zero | tr '\0' x >"$work/large"
  if k -P -t kcat-large -p 0 -X message.max.bytes=5000000 "$work/large"; then
    echo "3 MB were taken"
    return 1
  fi
  if k -C -t kcat-never -p 9 -o beginning -e -q -X allow.auto.create.topics=false; then
    echo "an unknown partition was read"
    return 1
  fi
  k -L >/dev/null
  echo "3 MB over message.max.bytes, an unknown partition"
}

kcat_checks() {
  local codec
  check "kcat -L" kcat_list
  for codec in none gzip snappy zstd; do
    check "kcat -P/-C $codec" kcat_text "kcat-$codec" "$codec"
  done
  check "kcat -P/-C gzip idempotent" kcat_text kcat-idempotent gzip -X enable.idempotence=true
  # librdkafka 2.0.2 packs lz4 only for brokers with group coordinators; kafka-python packs it here.
  check "kcat -P/-C lz4" kcat_text kcat-lz4 lz4
  check "kcat keys" kcat_keys
  check "kcat offsets" kcat_offsets
  check "kcat refusals" kcat_refusals
}

on_disk() {  # on_disk TOPIC CODEC, behind the stop
  [ ! -d "$work/broker/data/$1-0" ] ||
    check "on disk $1" "$PYTHON" tools/batch_codecs.py "$work/broker/data/$1-0" "$2"
}

# --- Java -----------------------------------------------------------------------------------------

JARS=

java_tool() {  # java_tool CLASS ARGUMENT...
  CLASSPATH="$JARS/*" java -Xmx1g -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"
}

# Finds or fetches Kafka's jars; says why there is no Java here in NO_JAVA.
java_setup() {
  local pom=tests/interop/java/pom.xml
  NO_JAVA=
  [ "$java" != install ] || ./dev setup java
  if [ "$java" = no ]; then NO_JAVA="left out by --no-java or --quick"; return 0; fi
  if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
    NO_JAVA="no Java or Maven here; ./dev interop --java installs them"
    return 0
  fi
  JARS=$PWD/build/interop/jars-$(sha256sum "$pom" | cut -c1-12)
  [ ! -e "$JARS/complete" ] || return 0
  mkdir -p "$JARS"
  if mvn -B -q -f "$pom" dependency:copy-dependencies -DoutputDirectory="$JARS" \
    >"$JARS/maven.log" 2>&1; then
    touch "$JARS/complete"
  else
    NO_JAVA="Maven could not fetch Kafka's jars: see $JARS/maven.log"
    [ "$java" != install ] || bad "java set-up" "$NO_JAVA"
  fi
}

java_topics() {
  local class=org.apache.kafka.tools.TopicCommand
  java_tool $class --bootstrap-server "$BROKER" --create --topic java-made --partitions 3 \
    --config "segment.bytes=$SEGMENT_BYTES"
  java_tool $class --bootstrap-server "$BROKER" --describe --topic java-made >"$work/described"
  grep -q "PartitionCount: 3.*segment.bytes=$SEGMENT_BYTES" "$work/described"
  java_tool $class --bootstrap-server "$BROKER" --delete --topic java-made
  java_tool $class --bootstrap-server "$BROKER" --list >"$work/listed"
  ! grep -qx java-made "$work/listed" || { echo "it is still listed"; return 1; }
  echo "created, described, deleted"
}

java_text() {  # java_text CODEC; Kafka's producer is idempotent by default
  local lines
  lines=$(wc -l <"$work/text")
  java_tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$BROKER" \
    --topic "java-$1" --compression-codec "$1" <"$work/text"
  java_tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$BROKER" \
    --topic "java-$1" --partition 0 --offset earliest --max-messages "$lines" \
    --timeout-ms 30000 >"$work/back" 2>"$work/err" || { cat "$work/err"; return 1; }
  cmp "$work/text" "$work/back"
  same "$(java_tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$BROKER" \
    --topic "java-$1")" "java-$1:0:$lines"
  echo "$lines lines byte for byte, end offset $lines"
}

java_checks() {
  local codec
  if [ -n "$NO_JAVA" ]; then skipped java "$NO_JAVA"; return 0; fi
  check "java TopicCommand" java_topics
  for codec in none gzip snappy lz4 zstd; do
    check "java ConsoleProducer/Consumer $codec" java_text "$codec"
  done
}

# --- DumpLogSegments ------------------------------------------------------------------------------

# Several segments of every codec, plain and idempotent, in topics of small segments.
dump_data() {
  "$PYTHON" tests/interop/segments.py "$BROKER" "$SEGMENT_BYTES"
}

dump_kind() {  # dump_kind DATA KIND NAME-PATTERN OPTION...
  local data=$1 kind=$2 pattern=$3
  shift 3
  if [ "$kind" = metadata ]; then
    find "$data/__cluster_metadata-0" -name "$pattern" >"$work/files"
  else
    find "$data" -name "$pattern" -not -path '*/__cluster_metadata-0/*.log' >"$work/files"
  fi
  [ -s "$work/files" ] || { echo "no file $pattern in $data"; return 1; }
  java_tool org.apache.kafka.tools.DumpLogSegments "$@" --files "$(paste -sd, "$work/files")" \
    >"$work/dump" 2>"$work/dump.err" || { tail -n 5 "$work/dump.err"; return 1; }
  "$PYTHON" tests/interop/judge_dump.py "$kind" "$work/dump" "$work/dump.err" "$data" \
    <"$work/files"
}

dump_directory() {  # dump_directory NAME DATA
  check "$1 .log" dump_kind "$2" log '*.log' --deep-iteration --print-data-log
  check "$1 metadata .log" dump_kind "$2" metadata '*.log' --deep-iteration \
    --cluster-metadata-decoder
  check "$1 .index" dump_kind "$2" index '*.index'
  check "$1 .index sanity" dump_sanity "$2" '*.index'
  check "$1 .timeindex" dump_kind "$2" timeindex '*.timeindex'
  check "$1 .timeindex sanity" dump_sanity "$2" '*.timeindex'
  check "$1 .snapshot" dump_kind "$2" snapshot '*.snapshot'
}

dump_sanity() {  # dump_sanity DATA NAME-PATTERN
  find "$1" -name "$2" >"$work/files"
  java_tool org.apache.kafka.tools.DumpLogSegments --index-sanity-check \
    --files "$(paste -sd, "$work/files")" >"$work/dump" 2>&1
  if grep -vE '^Dumping |passed sanity check\.$|is empty\.$' "$work/dump"; then return 1; fi
  echo "$(grep -c 'passed sanity check' "$work/dump") files passed"
}

# The judge must go red: one changed byte in a batch and one in an index.
dump_red() {
  local folder=$work/red/red-0 kind name at
  mkdir -p "$folder"
  for kind in log index; do
    name=$(find "$work/broker/data" -path '*segments-none-0/*' -name "*.$kind" -size +1 | sort |
      head -n 1)
    cp "${name%.*}".* "$folder"
    at=$(($(stat -c %s "$name") / 2))
    [ "$kind" != index ] || at=$((at / 8 * 8 + 7))
    printf '\xff' | dd of="$folder/$(basename "$name")" bs=1 seek=$at conv=notrunc status=none
    if dump_kind "$work/red" "$kind" "*.$kind" >"$work/red.out"; then
      echo "a changed byte of a .$kind went unseen"
      return 1
    fi
    rm -f "$folder"/*
  done
  echo "a changed byte in a .log and one in an .index are told"
}

several_segments() {
  local topic count least=99
  for topic in none gzip snappy lz4 zstd; do
    count=$(find "$work/broker/data/segments-$topic-0" -name '*.log' | wc -l)
    [ "$count" -ge "$least" ] || least=$count
  done
  [ "$least" -ge 3 ] || { echo "a topic has only $least segments"; return 1; }
  echo "at least $least segments of $SEGMENT_BYTES bytes in each of five topics"
}

dump_checks() {
  check "dump: segments" several_segments
  for codec in none gzip snappy lz4 zstd; do on_disk "segments-$codec" "$codec"; done
  if [ -n "$NO_JAVA" ]; then skipped "dump (DumpLogSegments)" "$NO_JAVA"; return 0; fi
  dump_directory "dump" "$work/broker/data"
  [ ! -d "$work/kill9/data" ] || dump_directory "dump after kill -9" "$work/kill9/data"
  check "dump: red test" dump_red
}

# --- the run --------------------------------------------------------------------------------------

[ "$(wc -l <"$TEXT")" -ge 100000 ] || die "$TEXT has fewer than 100,000 lines"
cp "$TEXT" "$work/text"
[ -z "$quick" ] || head -n "$QUICK_LINES" "$TEXT" >"$work/text"
NO_JAVA=
if is_wanted java || is_wanted dump; then java_setup; fi
[ -z "$quick" ] || [ "$java" = install ] ||
  wanted=("${wanted[@]/#java/}") wanted=("${wanted[@]/#dump/}")

start_broker "$work/broker"
if is_wanted kcat; then kcat_checks; fi
if is_wanted confluent; then suite "$PYTHON" tests/interop/confluent_suite.py "$BROKER" $quick; fi
if is_wanted kafka-python; then
  suite "$PYTHON" tests/interop/kafka_python_suite.py "$BROKER" $quick
fi
if is_wanted java; then java_checks; fi
if is_wanted dump; then check "dump: data" dump_data; fi
stop_broker
for codec in none gzip snappy zstd; do on_disk "kcat-$codec" "$codec"; done
on_disk kcat-idempotent gzip
for codec in none gzip snappy lz4; do on_disk "kafka-python-$codec" "$codec"; done
for codec in none gzip snappy lz4 zstd; do on_disk "java-$codec" "$codec"; done
if is_wanted kill9; then
  kills=$KILLS
  [ -z "$quick" ] || kills=$QUICK_KILLS
  check "kill -9 under three librdkafka producers" "$PYTHON" tools/kill9.py \
    --folder "$work/kill9" "$VERDICT" "$kills"
fi
if is_wanted dump; then dump_checks; fi
if is_wanted bad-input && [ -e tools/bad_input.py ]; then
  suite "$PYTHON" tools/bad_input.py $quick "$VERDICT"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
