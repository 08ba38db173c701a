# Starting and stopping one broker on loopback for the scripts beside this file. Source it.

# start_broker DIRECTORY [key=value ...]: formats and starts; BROKER is its address, BROKER_PID its
# process. Waits until it answers.
start_broker() {
  local directory=$1 option options=()
  shift
  for option in "$@"; do options+=(-o "$option"); done
  mkdir -p "$directory"
  [ -n "${BROKER_PORT:-}" ] || BROKER_PORT=$(free_port)
  BROKER=127.0.0.1:$BROKER_PORT
  [ -e "$directory/server.properties" ] || cat >"$directory/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$BROKER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$BROKER_PORT
log.dirs=$directory/data
PROPERTIES
  "${VERDICT:-build/release/verdict}" broker start --config "$directory/server.properties" \
    "${options[@]}" >>"$directory/broker.log" 2>&1 &
  BROKER_PID=$!
  wait_for_broker "$directory"
}

free_port() {
  /usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

wait_for_broker() {
  local tries
  for tries in $(seq 1 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$BROKER_PORT") 2>/dev/null; then return 0; fi
    kill -0 "$BROKER_PID" 2>/dev/null || break
    sleep 0.05
  done
  echo "the broker did not start ($tries tries):" >&2
  tail -n 20 "$1/broker.log" >&2
  return 1
}

stop_broker() {
  [ -n "${BROKER_PID:-}" ] || return 0
  kill -TERM "$BROKER_PID" 2>/dev/null || true
  wait "$BROKER_PID" 2>/dev/null || true
  BROKER_PID=
}
