#!/bin/bash
# `check -H` over ssh: three network namespaces are three hosts, two of them with an sshd.
source tests/cluster/common.sh
source tests/cluster/ssh_hosts.sh

ssh_flags=(-p 2222 -i "$keys/user" --set "checkpoint.directory=$scratch/ckpt")

# The checks that `check --json ARGUMENTS` ends with: check CODE ARGUMENTS..., then python3 asserts over `rows` and `hosts`
check() {
  local code=$1 status=0 begin=$SECONDS
  shift
  on_first "$orchestrator" check --json "${ssh_flags[@]}" "$@" > "$scratch/check.json" 2> "$scratch/check.txt" || status=$?
  cat "$scratch/check.txt"
  [[ $status -eq $code ]] || fail "check $*: exit $status, expected $code"
  [[ $((SECONDS - begin)) -le 30 ]] || fail "check $*: took $((SECONDS - begin)) s"
}
expect() {
  python3 - "$scratch/check.json" "$1" << 'END' || fail "$1"
import json, sys
with open(sys.argv[1]) as file:
    report = json.load(file)
rows = report["rows"]
of = lambda check: [row for row in rows if row["check"] == check]
assert eval(sys.argv[2]), [row for row in rows if row["outcome"] != "passed"]
END
}

echo "two other hosts"
check 0 -H 10.77.0.2:2,10.77.0.3:2
expect 'report["passed"] and len(report["hosts"]) == 2'
expect '[host["address"] for host in report["hosts"]] == ["10.77.0.2", "10.77.0.3"]'
expect 'of("program")[0]["where"] == ["10.77.0.2", "10.77.0.3"]'
expect 'of("clock")[0]["outcome"] == "passed"'
expect 'len(of("network")) == 1 and "MB/s" in of("network")[0]["what"] and not of("connection")'
[[ ! -e $scratch/ckpt ]] || fail "the preflight made a folder"

echo "this host and two others: every host is in two pairs"
check 0 -H 10.77.0.1:2,10.77.0.2:2,10.77.0.3:2
expect 'len([row for row in of("network") if " - " in row["where"][0]]) == 3 and report["hosts"][0]["address"] == "10.77.0.1"'

echo "a slow host is named, not its partners"
ip netns exec c-h2 tc qdisc add dev net0 root tbf rate 50mbit burst 256kb latency 50ms
check 0 -H 10.77.0.1,10.77.0.2,10.77.0.3
expect '[row["where"] for row in of("network") if row["outcome"] == "remark"] == [["10.77.0.3"]]'
ip netns exec c-h2 tc qdisc del dev net0 root

echo "hosts that cannot be reached come first, and the others are looked at all the same"
check 69 -H 10.77.0.77,10.77.0.2,10.77.0.3
expect 'rows[0]["check"] == "reachable" and rows[0]["where"] == ["10.77.0.77"] and "SL1001" in rows[0]["what"]'
expect 'len(report["hosts"]) == 2 and of("network")'

echo "a connection that works one way only"
# A firewall without its kernel modules: first packets of connections leave into a queue that is too short for any.
on_second() { ip netns exec c-h1 "$@" 2> /dev/null; }
on_second tc qdisc add dev net0 root handle 1: htb default 1
on_second tc class add dev net0 parent 1: classid 1:1 htb rate 10gbit
on_second tc class add dev net0 parent 1: classid 1:3 htb rate 1mbit
on_second tc filter add dev net0 parent 1: protocol ip prio 1 u32 match ip protocol 6 0xff match u8 0x02 0x3f at 33 flowid 1:3
on_second tc qdisc add dev net0 parent 1:3 bfifo limit 1
check 69 -H 10.77.0.2,10.77.0.3
expect '[row["where"] for row in of("connection")] == [["10.77.0.2 -> 10.77.0.3"]]'
expect '"SL1012" in of("connection")[0]["what"] and "the other way works" in of("connection")[0]["what"]'
on_second tc qdisc del dev net0 root

echo "a key that the hosts do not know"
ssh-keygen -q -t ed25519 -N '' -f "$keys/stranger"
check 77 -H 10.77.0.2,10.77.0.3 -i "$keys/stranger"
expect 'rows[0]["check"] == "reachable" and "SL1002" in rows[0]["what"]'

echo "another build of the program"
cp -L "$orchestrator" "$scratch/other"
printf 'x' >> "$scratch/other"
# What ssh starts over there is that one; here is the usual one.
cat > "$scratch/bin/ssh" << END
#!/bin/bash
words=("\$@")
words[-1]=\${words[-1]/$(readlink -f "$orchestrator" | sed 's,/,\\/,g')/$scratch/other}
exec $(type -ap ssh | sed -n 2p) -F $keys/config "\${words[@]}"
END
check 78 -H 10.77.0.2,10.77.0.3
expect 'of("program")[0]["outcome"] == "failed" and "SL1030 another build" in of("program")[0]["what"]'

echo "nothing is left over there"
for ((tries = 0; tries < 50; tries++)); do
  pgrep -f -- "^$(readlink -f "$orchestrator") check-host" > /dev/null || break
  sleep 0.1
done
! pgrep -af -- "^$(readlink -f "$orchestrator") check-host" || fail "a check-host is left"
echo "passed"
