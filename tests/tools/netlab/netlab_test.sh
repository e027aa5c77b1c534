#!/bin/bash
# netlab.sh in network and mount namespaces of its own: nothing of it is seen outside, and nothing stays.
set -euo pipefail

if [[ -z ${IN_NAMESPACE:-} ]]; then
  exec env IN_NAMESPACE=1 unshare --net --mount --propagation private -- "$0" "$@"
fi
mkdir -p /run/netns 2> /dev/null || true
mount -t tmpfs none /run/netns 2> /dev/null || mount -t tmpfs none /run
ip link set lo up

netlab=tools/netlab/netlab.sh

fail() {
  echo "FAILED: $1" >&2
  exit 1
}

# What the command prints, whatever its exit status, which is in $status.
status=0
output() {
  status=0
  text=$("$@" 2>&1) || status=$?
}

nothing_is_left() { [[ -z $(ip netns list) ]] || fail "$1 leaves $(ip netns list | tr '\n' ' ')"; }

echo "hosts have addresses and reach each other"
"$netlab" up a 3 none
[[ $("$netlab" exec a 2 ip -4 -o address show net0) == *10.77.0.3/24* ]] || fail "host 2 has another address"
"$netlab" exec a 0 python3 -c '
import socket
listener = socket.create_server(("10.77.0.1", 0))
print(listener.getsockname()[1], flush=True)
listener.settimeout(20)
stream = listener.accept()[0]
stream.sendall(stream.recv(5))' > "$TEST_TMPDIR/port" &
until [[ -s $TEST_TMPDIR/port ]]; do kill -0 $! || fail "the listener on host 0 ended"; done
echoed=$("$netlab" exec a 2 python3 -c '
import socket, sys
stream = socket.create_connection(("10.77.0.1", int(sys.argv[1])), timeout=20)
stream.sendall(b"hello")
print(stream.recv(5).decode())' "$(cat "$TEST_TMPDIR/port")")
[[ $echoed == hello ]] || fail "host 2 does not reach host 0"
wait $!

echo "prefixes do not collide, even one that begins with another"
"$netlab" up ab 2 none
[[ $("$netlab" list | sort | tr '\n' ' ') == "a ab " ]] || fail "list says $("$netlab" list)"
output "$netlab" up ab 2 none
[[ $status -eq 1 && $text == *"up already"* ]] || fail "a second up: $status, $text"
"$netlab" down a
[[ $("$netlab" list) == ab ]] || fail "down a leaves $("$netlab" list)"
"$netlab" down ab
"$netlab" down ab
nothing_is_left "down"

echo "a rate is what a stream gets at most"
output "$netlab" with slow 2 50mbit "$netlab" goodput slow 1
[[ $status -eq 0 ]] || fail "goodput: $text"
python3 -c 'import sys; sys.exit(not 0 < float(sys.argv[1]) < 6.5)' "$text" || fail "$text MB/s over 50mbit"
nothing_is_left "with"

echo "with gives the command its prefix and returns its exit status"
output "$netlab" with w 1 none sh -c 'echo "$NETLAB_PREFIX"; exit 7'
[[ $status -eq 7 && $text == w ]] || fail "with: $status, $text"
nothing_is_left "with"

echo "with cleans up after a signal"
"$netlab" with s 1 none sh -c 'echo $$ > "$TEST_TMPDIR/pid"; exec tail -f /dev/null' &
until [[ -s $TEST_TMPDIR/pid ]]; do kill -0 $! || fail "with s ended"; done
kill -TERM $!
wait $! && fail "with s ended well after SIGTERM"
kill -0 "$(cat "$TEST_TMPDIR/pid")" 2> /dev/null && fail "the command survived"
nothing_is_left "with, after SIGTERM,"

echo "a failed up removes what it made"
output "$netlab" up bad 2 99999999999999999999gbit
[[ $status -ne 0 ]] || fail "an impossible rate was accepted"
nothing_is_left "a failed up"

echo "mistakes are named"
while IFS='|' read -r words expected; do
  # shellcheck disable=SC2086
  output "$netlab" $words
  [[ $status -ne 0 && $text == *"$expected"* ]] || fail "netlab.sh $words: $status, $text"
done << 'END'
up a 0 none|N "0" is not a number in
up a 2 fast|RATE "fast" is not like
up 1a 2 none|PREFIX "1a"
up a|up needs PREFIX N RATE
exec a 0 true|there is no host 0 of "a"
goodput a|goodput needs hosts 0 and 1
sideways a|unknown verb "sideways"
END
output "$netlab" --help
[[ $status -eq 0 && $text == *"netlab.sh goodput PREFIX"* || $text == *"goodput PREFIX"* ]] || fail "--help: $text"
