#!/usr/bin/env bash
# The README's two commands on a bare Debian 12 with nothing but git, from a clean clone of HEAD:
#   tools/clean_machine.sh [test] [demo]
# Makes the machine by debootstrap in a folder of its own and enters it by chroot, so it needs root.
# Ends with one line per command: "test: exit code 0, 1234 s".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ "$(id -u)" = 0 ] || { echo "clean_machine: needs root (chroot)" >&2; exit 2; }
./dev setup accept
machine=${VERDICT_CLEAN_MACHINE:-/var/tmp/verdict-clean-machine}
commands=("${@:-test}")

leave() {
  for place in tmp dev proc; do
    if mountpoint -q "$machine/$place"; then umount -R -l "$machine/$place"; fi
  done
}
trap leave EXIT
leave
rm -rf "$machine"
debootstrap --variant=minbase bookworm "$machine" >"$machine.log" 2>&1 ||
  { cat "$machine.log" >&2; exit 1; }
cp /etc/resolv.conf "$machine/etc/"
mount -t proc proc "$machine/proc"
mount --rbind /dev "$machine/dev"
mount -t tmpfs tmpfs "$machine/tmp"
inside() { env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$machine" "$@"; }
inside apt-get update -q >/dev/null
inside apt-get install -y -q --no-install-recommends git ca-certificates >/dev/null 2>&1

lines=() worst=0
for command in "${commands[@]}"; do
  git clone -q . "$machine/root/verdict-$command"
  status=0 began=$SECONDS
  inside bash -c "cd /root/verdict-$command && ./dev $command" || status=$?
  lines+=("$command: exit code $status, $((SECONDS - began)) s")
  [ $status = 0 ] || worst=1
done
printf '\n'
printf '%s\n' "${lines[@]}"
exit $worst
