#!/bin/bash
# Strangers on a host without a worker, at the sockets on which UCX listens on the others, who speak its protocol and
# know its ports. UCX 1.13 ends its process on some of what they send, if it reads it.
source tests/cluster/common.sh
source tests/cluster/ssh_hosts.sh
# Shared memory would pass between the hosts of this one machine.
export UCX_TLS=tcp

run_reference
on_first python3 tests/cluster/strangers.py "$scratch/knocks" c-h1:10.77.0.2 c-h2:10.77.0.3 2> "$scratch/strangers.log" &
strangers=$!
status=0
on_first "$orchestrator" run -H 10.77.0.2:2,10.77.0.3:2 -p 2222 -i "$keys/user" --run-directory "$scratch/run" "$job" \
  > "$scratch/run.log" 2>&1 || status=$?
kill "$strangers" 2> /dev/null || fail "the strangers gave up: $(cat "$scratch/strangers.log")"
wait "$strangers" || true
[[ $status -eq 0 ]] || fail "exit $status: $(tail -40 "$scratch/run.log")"
same_result "among strangers" "$scratch/run"
echo "connections that were made: $(cat "$scratch/knocks")"
[[ $(cat "$scratch/knocks") -ge 100 ]] || fail "too few to tell"
grep -q "put out a connection to UCX at 10.77.0.* from 10.77.0.1, where no peer is" "$scratch/run.log" ||
  fail "the log does not say so: $(cat "$scratch/run.log")"
echo "passed"
