#!/usr/bin/env bash
# N rate-limited hosts on one machine: network namespaces on a bridge.
#
#   netlab.sh up      PREFIX N RATE         make hosts 0 .. N-1; RATE as tc takes it (1gbit, 100mbit) or 'none'
#   netlab.sh exec    PREFIX I CMD...       run CMD on host I
#   netlab.sh goodput PREFIX [SECONDS]      MB/s (10^6) of one plain TCP stream from host 0 to host 1
#   netlab.sh down    PREFIX                remove all hosts of PREFIX; none there is no error
#   netlab.sh with    PREFIX N RATE CMD...  up, CMD with NETLAB_PREFIX=PREFIX set, down whatever happens
#   netlab.sh list                          the prefixes that are up
#
# Host I has one interface, net0, with the address 10.77.0.(I+1), limited to RATE in both directions by a token
# bucket, and its own loopback. Nothing leads outside. Processes, files and memory are shared: over UCX set
# UCX_TLS=tcp, or shared memory passes the limit by. Every PREFIX (letters and digits, at most 9) is a network of its
# own, so that several can be up at once.
#
# Needs root and iproute2, goodput also python3. Example, two hosts at 1 Gbit/s:
#
#   netlab.sh with demo 2 1gbit tools/netlab/netlab.sh goodput demo
set -euo pipefail

readonly max_hosts=200
made=  # the prefix that this process removes when it ends
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

fail() {
  echo "netlab.sh: $1" >&2
  exit "${2:-1}"
}

need_words() {  # NEEDED GIVEN WHAT
  [[ $2 -ge $1 ]] || fail "$3; see netlab.sh --help" 2
}

need_prefix() {
  [[ $1 =~ ^[a-zA-Z][a-zA-Z0-9]{0,8}$ ]] || fail "PREFIX \"$1\" is not a letter and at most 8 letters or digits" 2
}

# The namespaces of a prefix: its switch and its hosts.
namespaces() { ip netns list | awk -v p="$1" '$1 == p "-sw" || $1 ~ "^" p "-h[0-9]+$" {print $1}'; }

down() {
  local namespace
  for namespace in $(namespaces "$1"); do ip netns del "$namespace"; done
}

wait_until_up() {  # NAMESPACE: UCX uses only interfaces that are operationally up
  local try
  for ((try = 0; try < 200; try++)); do
    [[ $(ip -n "$1" -o link show net0) != *" state UP "* ]] || return 0
    sleep 0.01
  done
  fail "net0 of $1 did not come up within 2 s"
}

limit() {  # NAMESPACE INTERFACE RATE
  [[ $3 == none ]] || tc -n "$1" qdisc add dev "$2" root tbf rate "$3" burst 256kb latency 50ms
}

build() {
  local prefix=$1 n=$2 rate=$3 switch=$1-sw i host
  ip netns add "$switch"
  ip -n "$switch" link add br0 type bridge
  ip -n "$switch" link set br0 up
  for ((i = 0; i < n; i++)); do
    host=$prefix-h$i
    ip netns add "$host"
    ip -n "$host" link add net0 type veth peer name "p$i" netns "$switch"
    ip -n "$host" addr add "10.77.0.$((i + 1))/24" dev net0
    ip -n "$host" link set lo up
    ip -n "$host" link set net0 up
    # The kernel's own default, or its predecessor where namespaces may not have it, whatever this machine has: bbr shares
    # a queue among several senders badly.
    ip netns exec "$host" sh -c 'for name in cubic reno; do
      echo "$name" 2> /dev/null > /proc/sys/net/ipv4/tcp_congestion_control && exit; done; exit 1' ||
      fail "$host may have neither cubic nor reno as congestion control"
    ip -n "$switch" link set "p$i" master br0 up
    limit "$host" net0 "$rate"
    limit "$switch" "p$i" "$rate"
  done
  for ((i = 0; i < n; i++)); do wait_until_up "$prefix-h$i"; done
}

up() {
  local prefix=$1 n=$2 rate=$3
  [[ $n =~ ^[1-9][0-9]*$ && $n -le $max_hosts ]] || fail "N \"$n\" is not a number in [1, $max_hosts]" 2
  [[ $rate == none || $rate =~ ^[0-9]+(bit|kbit|mbit|gbit)$ ]] || fail "RATE \"$rate\" is not like 100mbit, 1gbit or none" 2
  [[ $(id -u) -eq 0 ]] || fail "making network namespaces needs root"
  command -v ip tc > /dev/null || fail "ip or tc is missing; install iproute2"
  [[ -z $(namespaces "$prefix") ]] || fail "\"$prefix\" is up already; netlab.sh down $prefix removes it"
  # Whatever was made goes again when a step fails or a signal comes.
  made=$prefix
  trap 'down "$made"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  (set -e; build "$prefix" "$n" "$rate")
  trap - EXIT INT TERM
}

run_on() {  # PREFIX I CMD...
  local host=$1-h$2
  [[ -n $(namespaces "$1" | grep -Fx -- "$host") ]] || fail "there is no host $2 of \"$1\"; netlab.sh up $1 N RATE makes them"
  shift 2
  exec ip netns exec "$host" "$@"
}

with_hosts() {  # PREFIX N RATE CMD...
  local prefix=$1 n=$2 rate=$3 child= status=0
  shift 3
  up "$prefix" "$n" "$rate"
  trap 'down "$made"' EXIT
  trap '[[ -z $child ]] || kill -TERM "$child" 2> /dev/null' INT TERM HUP
  NETLAB_PREFIX=$prefix "$@" < /dev/stdin &
  child=$!
  # A trapped signal ends `wait` early: wait until the command itself is over.
  while true; do
    status=0
    wait "$child" || status=$?
    kill -0 "$child" 2> /dev/null || break
  done
  return "$status"
}

verb=${1:-}
[[ $# -eq 0 ]] || shift
case $verb in
  -h | --help | help) usage ;;
  up)
    need_words 3 $# "up needs PREFIX N RATE"
    need_prefix "$1"
    up "$1" "$2" "$3"
    ;;
  exec)
    need_words 3 $# "exec needs PREFIX I CMD..."
    need_prefix "$1"
    run_on "$@"
    ;;
  goodput)
    need_words 1 $# "goodput needs PREFIX"
    need_prefix "$1"
    [[ -n $(namespaces "$1" | grep -Fx -- "$1-h1") ]] || fail "goodput needs hosts 0 and 1 of \"$1\"; netlab.sh up $1 2 RATE makes them"
    exec python3 "$here/goodput.py" --seconds "${2:-2}" \
      --sender "ip netns exec $1-h0" --receiver "ip netns exec $1-h1" --address 10.77.0.2
    ;;
  down)
    need_words 1 $# "down needs PREFIX"
    need_prefix "$1"
    down "$1"
    ;;
  with)
    need_words 4 $# "with needs PREFIX N RATE CMD..."
    need_prefix "$1"
    with_hosts "$@"
    ;;
  list) ip netns list | awk '$1 ~ /-sw$/ {sub(/-sw$/, "", $1); print $1}' ;;
  *)
    echo "netlab.sh: unknown verb \"$verb\"" >&2
    usage >&2
    exit 2
    ;;
esac
