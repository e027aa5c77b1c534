#!/bin/bash
# `run -H` over ssh: three network namespaces are three hosts, two of them with an sshd.
source tests/cluster/common.sh
source tests/cluster/ssh_hosts.sh
# Shared memory would pass between the hosts of this one machine.
export UCX_TLS=tcp

hosts=(-H 10.77.0.2:2,10.77.0.3:2 -p 2222 -i "$keys/user")

run_reference

echo "two other hosts, two workers each"
on_first env HARMLESS=value-on-no-command-line SOME_TOKEN=stays-here "$orchestrator" run "${hosts[@]}" \
  --run-directory "$scratch/run" --output-filename "$scratch/out" "$job" > "$scratch/run.log" 2>&1 &
launcher=$!
training_begins "$scratch/run"
[[ -n $(processes_of "$scratch/run") ]] || fail "no processes while it trains"
if grep -l '[v]alue-on-no-command-line' /proc/[0-9]*/cmdline 2> /dev/null; then
  fail "the environment is on a command line"
fi
for pid in $(processes_of "$scratch/run"); do
  grep -zq '^worker$' "/proc/$pid/cmdline" || continue
  grep -zq '^HARMLESS=value-on-no-command-line$' "/proc/$pid/environ" || fail "a worker lacks HARMLESS"
  ! grep -zq '^SOME_TOKEN=' "/proc/$pid/environ" || fail "a worker has SOME_TOKEN"
  grep -zq '^MASTER_ADDR=10.77.0.1$' "/proc/$pid/environ" || fail "a worker has another MASTER_ADDR"
done
wait "$launcher" || fail "-H over ssh: $(cat "$scratch/run.log")"
same_result "ssh, 2 hosts" "$scratch/run"
[[ -e $scratch/out/gen.1/rank.3/stderr ]] || fail "no file for the output of rank 3"

echo "this host and another one"
on_first "$orchestrator" run -H 10.77.0.1:2,10.77.0.3:2 -p 2222 -i "$keys/user" --network-interface net0 \
  --run-directory "$scratch/mixed" "$job" > "$scratch/mixed.log" 2>&1 || fail "mixed: $(cat "$scratch/mixed.log")"
same_result "ssh and local" "$scratch/mixed"

echo "a program that uses the library has the same bits over there and here"
program=("$PWD/tests/e2e/library_program" --mode=train --steps=12)
on_first "$orchestrator" run "${hosts[@]}" --run-directory "$scratch/program" -- "${program[@]}" "--out=$scratch/there" \
  > "$scratch/program.log" 2>&1 || fail "a program over ssh: $(cat "$scratch/program.log")"
"$orchestrator" run -np 4 --run-directory "$scratch/here.run" -- "${program[@]}" "--out=$scratch/here" \
  > "$scratch/here.log" 2>&1 || fail "a program here: $(cat "$scratch/here.log")"
cmp "$scratch/there" "$scratch/here" || fail "its parameters differ"

echo "nothing outlives a launcher that is killed"
# Not through the function: $! must be the launcher itself.
ip netns exec c-h0 "$orchestrator" run "${hosts[@]}" --set training.steps=100000 --run-directory "$scratch/killed" "$job" \
  > "$scratch/killed.log" 2>&1 &
launcher=$!
training_begins "$scratch/killed"
kill -9 "$launcher"
wait "$launcher" || true
gone_within 10 "$scratch/killed"

echo "a worker that dies over there ends the job and is named"
on_first "$orchestrator" run "${hosts[@]}" --set training.steps=100000 --run-directory "$scratch/death" "$job" \
  > "$scratch/death.log" 2>&1 &
launcher=$!
training_begins "$scratch/death"
for pid in $(processes_of "$scratch/death"); do
  if grep -zq '^--slot=3$' "/proc/$pid/cmdline"; then kill -9 "$pid"; fi
done
status=0
wait "$launcher" || status=$?
[[ $status -ne 0 ]] || fail "the job ended well without rank 3"
grep -q "rank 3" "$scratch/death.log" || fail "rank 3 is not named: $(cat "$scratch/death.log")"
gone_within 10 "$scratch/death"

echo "hosts come and go: workers over there start, and leave when they are told to"
said() {  # WORDS: waits until the elastic job has said them
  local tries
  for ((tries = 0; tries < 900; tries++)); do
    ! grep -q -- "$1" "$scratch/elastic.log" || return 0
    sleep 0.1
  done
  fail "no \"$1\" after 90 s: $(cat "$scratch/elastic.log")"
}
echo 10.77.0.2:1 > "$scratch/hosts"
ip netns exec c-h0 "$orchestrator" run -np 1 --min-np 1 --host-discovery-script "cat '$scratch/hosts'" -p 2222 \
  -i "$keys/user" --set training.steps=100000 --run-directory "$scratch/elastic" "$job" > "$scratch/elastic.log" 2>&1 &
launcher=$!
training_begins "$scratch/elastic"
printf '10.77.0.2:1\n10.77.0.3:1\n' > "$scratch/hosts"
said "generation 2: 2 workers"
echo 10.77.0.3:1 > "$scratch/hosts"
said "rank 0 .* leaves the job"
said "generation 3: 1 worker"
! grep -q "did not leave in time" "$scratch/elastic.log" || fail "it was ended: $(cat "$scratch/elastic.log")"
kill "$launcher"
wait "$launcher" || fail "the elastic job did not stop in good order: $(cat "$scratch/elastic.log")"
gone_within 10 "$scratch/elastic"

check_error() {  # CODE WORDS ARGUMENTS...
  local code=$1 words=$2 status=0 text
  shift 2
  text=$(on_first "$@" 2>&1) || status=$?
  [[ $status -eq $code && $text == *"$words"* ]] || fail "$*: exit $status, expected $code and \"$words\": $text"
}
echo "hosts that cannot be reached, all of them at once"
check_error 69 "SL1001 cannot reach 2 of 3 hosts" "$orchestrator" run \
  -H 10.77.0.2:1,10.77.0.77:1,no-such-host.invalid:1 -p 2222 -i "$keys/user" "$job"
check_error 69 "10.77.0.2 port 2223" "$orchestrator" run -H 10.77.0.2:1 -p 2223 -i "$keys/user" "$job"
echo "a key that the host does not know"
ssh-keygen -q -t ed25519 -N '' -f "$keys/stranger"
check_error 77 "SL1002 10.77.0.2" "$orchestrator" run -H 10.77.0.2:1 -p 2222 -i "$keys/stranger" "$job"
echo "a host key that we do not know, and then do"
mv "$keys/known_hosts" "$keys/known_hosts.kept"
check_error 77 "--ssh-accept-new" "$orchestrator" run -H 10.77.0.2:1 -p 2222 -i "$keys/user" "$job"
on_first "$orchestrator" run -H 10.77.0.2:2,10.77.0.3:2 -p 2222 -i "$keys/user" --ssh-accept-new \
  --run-directory "$scratch/new" "$job" > "$scratch/new.log" 2>&1 || fail "accept-new: $(cat "$scratch/new.log")"
same_result "ssh, new host keys" "$scratch/new"
echo "passed"
