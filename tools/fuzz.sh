#!/bin/bash
# Runs fuzz targets with libFuzzer and the address and undefined sanitizers.
#
#   tools/fuzz.sh [SECONDS] [TARGET...]
#
# SECONDS per target, 600 unless given. TARGETs are Bazel labels; all of //tests/... tagged fuzz
# unless given. New inputs are kept in $FUZZ_CORPUS (runs/fuzz unless set), one folder per target, and
# are where the next run starts. A crash leaves its input beside them and makes the exit status 1.
# Needs clang and libclang-rt-14-dev.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=600
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
  seconds=$1
  shift
fi
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  mapfile -t targets < <(bazel query --noshow_progress 'attr(tags, "\bfuzz\b", tests(//tests/...))' | sort)
fi
if [[ ${#targets[@]} -eq 0 ]]; then
  echo "no fuzz targets under //tests/..." >&2
  exit 1
fi
corpus_root=$(realpath -m "${FUZZ_CORPUS:-runs/fuzz}")

bazel build --noshow_progress --config=fuzz "${targets[@]}"
bin=$(bazel info --noshow_progress --config=fuzz bazel-bin)

failed=()
for target in "${targets[@]}"; do
  path=${target#//}
  binary=$bin/${path/://}
  corpus=$corpus_root/${path//[:\/]/_}
  seeds=$(dirname "${path/://}")/testdata/$(basename "$binary" _fuzz_test)
  mkdir -p "$corpus/inputs"
  folders=("$corpus/inputs")
  [[ -d $seeds ]] && folders+=("$seeds")
  echo "== $target for $seconds s"
  if "$binary" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$corpus/" \
      "${folders[@]}" > "$corpus/log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$corpus/log")
    coverage=$(grep -o 'cov: [0-9]*' "$corpus/log" | tail -1 || true)
    echo "   ok: $runs inputs, ${coverage:-no coverage}, $(find "$corpus/inputs" -type f | wc -l) kept"
  else
    tail -40 "$corpus/log"
    echo "   FAILED: the input is in $corpus, the log in $corpus/log"
    failed+=("$target")
  fi
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
