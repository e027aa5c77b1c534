#!/bin/bash
# Runs the pure C++ tests under the sanitizers. Debian's LibTorch and CAF are not instrumented, so tests
# tagged torch, caf or e2e, and those that depend on these libraries, are left out.
#
#   tools/sanitize.sh [asan|tsan|ubsan]...      all three unless named
set -uo pipefail
cd "$(dirname "$0")/.." || exit

configs=("$@")
[[ ${#configs[@]} -gt 0 ]] || configs=(asan ubsan tsan)
for config in "${configs[@]}"; do
  case $config in
    asan | tsan | ubsan) ;;
    *) echo "sanitize.sh: unknown sanitizer \"$config\": expected asan, tsan or ubsan" >&2; exit 2 ;;
  esac
done

query='tests(//tests/...)
  except rdeps(//tests/..., @torch//... + @caf//...)
  except attr(tags, "\b(torch|caf|e2e|no-sanitize)\b", tests(//tests/...))
  except kind("sh_test|genquery", //tests/...)'
mapfile -t targets < <(bazel query --noshow_progress --noimplicit_deps --keep_going "$query" 2> >(grep -v '^INFO' >&2) | sort)
if [[ ${#targets[@]} -eq 0 ]]; then
  echo "sanitize.sh: no tests found" >&2
  exit 1
fi

failed=()
for config in "${configs[@]}"; do
  echo "== $config: ${#targets[@]} targets"
  tools/test.sh --noshow_progress --config="$config" "${targets[@]}" || failed+=("$config")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "sanitize.sh: failed under ${failed[*]}" >&2
  exit 1
fi
