#!/bin/bash
# What every change must pass: format, a build without warnings, layering, tests. CI runs the same tests.
#
#   tools/presubmit.sh
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== format"
git ls-files -z -- '*.h' '*.cc' | xargs -0 -r clang-format --dry-run -Werror

echo "== build without warnings"
bazel build --noshow_progress --config=werror //...

echo "== layering"
tools/layering.sh

echo "== tests"
tools/test.sh --noshow_progress --config=werror
