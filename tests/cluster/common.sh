# Of every test here: the same job, started in one way or another, has the same losses. To be sourced.
set -euo pipefail

orchestrator=$PWD/orchestrator/orchestrator
job=$PWD/tests/cluster/job.yaml
scratch=${TEST_TMPDIR:-$(mktemp -d)}

fail() {
  echo "FAILED: $1" >&2
  exit 1
}

# Ends the test well, and says why, unless PROGRAM is there: need PROGRAM PACKAGE
need() {
  command -v "$1" > /dev/null || {
    echo "skipped: $2 is not installed"
    exit 0
  }
}

need_root() {
  [[ $(id -u) -eq 0 ]] || {
    echo "skipped: $1 needs root"
    exit 0
  }
}

# The last step and its loss, and the loss on the test set: result RUN_DIRECTORY
result() {
  python3 - "$1" << 'END'
import json, sys
with open(sys.argv[1] + "/metrics.jsonl") as file:
    last = [json.loads(line) for line in file][-1]
with open(sys.argv[1] + "/summary.json") as file:
    summary = json.load(file)
assert summary["replicas_identical"], summary
print("step %d loss %.17g test loss %.17g" % (last["step"], last["loss"], summary["test_loss"]))
END
}

# Runs the job with 4 workers on this machine: what the others are compared with. Sets $expected.
run_reference() {
  "$orchestrator" run -np 4 --run-directory "$scratch/reference" "$job" > "$scratch/reference.log" 2>&1 ||
    fail "the reference: $(tail -20 "$scratch/reference.log")"
  expected=$(result "$scratch/reference")
  echo "reference: $expected"
}

# Compares a run with it: same_result NAME RUN_DIRECTORY
same_result() {
  local found
  found=$(result "$2")
  echo "$1: $found"
  [[ $found == "$expected" ]] || fail "$1: $found, expected $expected"
}

# Processes of the job whose run directory is $1.
processes_of() { pgrep -f -- "--run-directory=$1( |\$)" || true; }

# Waits until nothing of the job is left: gone_within SECONDS RUN_DIRECTORY
gone_within() {
  local tries
  for ((tries = 0; tries < $1 * 10; tries++)); do
    [[ -n $(processes_of "$2") ]] || return 0
    sleep 0.1
  done
  fail "after $1 s there still are $(processes_of "$2" | xargs ps -o pid,args -p)"
}

# Waits until the run has written metrics of a step; its output is in RUN_DIRECTORY.log: training_begins RUN_DIRECTORY
training_begins() {
  local tries
  for ((tries = 0; tries < 600; tries++)); do
    [[ ! -s $1/metrics.jsonl ]] || return 0
    sleep 0.1
  done
  fail "no step of $1 after 60 s: $(cat "$1.log")"
}
