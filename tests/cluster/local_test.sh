#!/bin/bash
# `run` on this machine: by -np, by -H and by a host file; the output of each worker in files.
source tests/cluster/common.sh

run_reference
"$orchestrator" run -H localhost:4 --run-directory "$scratch/hosts" --output-filename "$scratch/out" "$job" \
  > "$scratch/hosts.log" 2>&1 || fail "-H localhost:4: $(cat "$scratch/hosts.log")"
same_result "-H localhost:4" "$scratch/hosts"
for rank in 0 1 2 3; do
  for stream in stdout stderr; do
    [[ -e $scratch/out/gen.1/rank.$rank/$stream ]] || fail "no file for $stream of rank $rank"
  done
done

printf '# this machine, twice\nlocalhost slots=3\n127.0.0.1 slots=3\n' > "$scratch/hosts.txt"
"$orchestrator" run -np 4 --hostfile "$scratch/hosts.txt" --run-directory "$scratch/file" "$job" \
  > "$scratch/file.log" 2>&1 || fail "--hostfile: $(cat "$scratch/file.log")"
same_result "--hostfile" "$scratch/file"

echo "one process without any launcher"
env -u RANK "$orchestrator" worker --run-directory "$scratch/alone" "$job" > "$scratch/alone.log" 2>&1 ||
  fail "worker JOB: $(cat "$scratch/alone.log")"
[[ $(result "$scratch/alone") == "step 39 "* ]] || fail "worker JOB: $(result "$scratch/alone")"

echo "torchrun's variables"
pids=()
port=$((21000 + RANDOM % 8000))
for rank in 3 2 1 0; do
  env RANK=$rank WORLD_SIZE=4 MASTER_ADDR=localhost MASTER_PORT=$port TORCHELASTIC_RUN_ID=t1 \
    "$orchestrator" worker --run-directory "$scratch/torch" "$job" > "$scratch/torch.$rank.log" 2>&1 &
  pids+=($!)
  sleep 0.2
done
for pid in "${pids[@]}"; do wait "$pid" || fail "RANK and WORLD_SIZE: $(tail -n 5 "$scratch"/torch.*.log)"; done
same_result "RANK, WORLD_SIZE, MASTER_ADDR" "$scratch/torch"

echo "errors"
check_error() {  # CODE WORDS ARGUMENTS...
  local code=$1 words=$2 status=0 text
  shift 2
  text=$("$@" 2>&1) || status=$?
  [[ $status -eq $code && $text == *"$words"* ]] || fail "$*: exit $status, expected $code and \"$words\": $text"
}
check_error 69 "SL1020 5 workers asked, 4 slots: localhost 4" "$orchestrator" run -np 5 -H localhost:4 "$job"
check_error 2 "(character 13)" "$orchestrator" run -H localhost:4,a: "$job"
check_error 2 "not both" "$orchestrator" run -H localhost:4 --hostfile x "$job"
check_error 2 "did you mean --hostfile" "$orchestrator" run -H "$scratch/hosts.txt" "$job"
check_error 78 "No such file" "$orchestrator" run --hostfile "$scratch/none" "$job"
check_error 78 "is there already" "$orchestrator" run -np 1 --run-directory "$scratch/again" \
  --output-filename "$scratch/out" "$job"
check_error 78 "nosuch0" "$orchestrator" run -np 1 --network-interface nosuch0 "$job"
check_error 2 "no such variable" "$orchestrator" run -np 1 --env NO_SUCH_VARIABLE "$job"
check_error 78 "WORLD_SIZE is not" env RANK=1 "$orchestrator" worker "$job"
check_error 78 "MASTER_ADDR" env RANK=1 WORLD_SIZE=2 "$orchestrator" worker "$job"
echo "passed"
