#!/bin/bash
# Runs the tests and prints, alone on the last line, `N passed, N failed, N skipped`.
#
#   tools/test.sh [BAZEL_OPTION...] [TARGET...]
#
# All tests unless targets are given; options in one word (--config=asan). The exit status is not 0 when a test failed, did not build, or
# nothing ran.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

options=() targets=()
for word in "$@"; do
  case $word in
    -*) options+=("$word") ;;
    *) targets+=("$word") ;;
  esac
done
[[ ${#targets[@]} -gt 0 ]] || targets=(//...)

events=$(mktemp)
trap 'rm -f "$events"' EXIT
bazel test --keep_going --build_event_json_file="$events" "${options[@]}" -- "${targets[@]}" 2>&1
status=$?
python3 tools/test_counts.py "$events" "$status"
counted=$?
exit $((status != 0 ? status : counted))
