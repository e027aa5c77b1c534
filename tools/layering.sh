#!/bin/bash
# Asserts that no path of dependencies leads from the lower rooms to LibTorch or CAF. Every package is looked at,
# also those that tests/layering does not list yet.
#
#   tools/layering.sh
set -euo pipefail
cd "$(dirname "$0")/.."

rooms='(//base/... + //proto/... + //security/...'
[[ -d comm ]] && [[ -n $(find comm -name BUILD.bazel -print -quit) ]] && rooms+=' + //comm/...'
[[ -d policies ]] && [[ -n $(find policies -name BUILD.bazel -print -quit) ]] && rooms+=' + //policies/...'
rooms+=')'

query() { bazel query --noshow_progress --noimplicit_deps "$@" 2> >(grep -v '^INFO' >&2); }

# Control: the query does see a path where there is one, so that "none" means none.
if [[ -z $(query 'somepath(//tests/layering:uses_torch, @torch//:torch)') ]]; then
  echo "layering: the control found no path from //tests/layering:uses_torch to @torch" >&2
  exit 1
fi

path=$(query "somepath($rooms, @torch//... + @caf//...)")
if [[ -n $path ]]; then
  echo "layering: a lower room reaches LibTorch or CAF:" >&2
  echo "$path" >&2
  exit 1
fi
echo "layering: no path from $rooms to @torch or @caf"
