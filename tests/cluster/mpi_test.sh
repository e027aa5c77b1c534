#!/bin/bash
# `mpirun orchestrator worker JOB`.
source tests/cluster/common.sh
need mpirun openmpi-bin

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run_reference
mpirun --oversubscribe -np 4 "$orchestrator" worker --run-directory "$scratch/mpi" "$job" > "$scratch/mpi.log" 2>&1 ||
  fail "mpirun: $(cat "$scratch/mpi.log")"
same_result "mpirun" "$scratch/mpi"

echo "a rank that dies ends all"
mpirun --oversubscribe -np 4 "$orchestrator" worker --set training.steps=100000 --run-directory "$scratch/death" \
  "$job" > "$scratch/death.log" 2>&1 &
launcher=$!
training_begins "$scratch/death"
for pid in $(processes_of "$scratch/death"); do
  if grep -zq '^--slot=2$' "/proc/$pid/cmdline"; then kill -9 "$pid"; fi
done
status=0
wait "$launcher" || status=$?
[[ $status -ne 0 ]] || fail "the job ended well without rank 2"
gone_within 10 "$scratch/death"
echo "passed"
