#!/bin/bash
# Compares the libraries that a query found with the one expected. Usage: reaches_test.sh FILE EXPECTED
set -euo pipefail

found=$(grep -v '^@[a-z]*//:inc/' "$1" || true)
if [[ ${found:-nothing} != "$2" ]]; then
  echo "expected $2, found: ${found:-nothing}"
  echo "the path: bazel query --noimplicit_deps 'somepath(TARGET, ${found%%$'\n'*})'"
  exit 1
fi
