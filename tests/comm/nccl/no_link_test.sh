#!/bin/bash
# A program with the GPU data plane starts where there is neither CUDA nor NCCL. Usage: no_link_test.sh PROGRAM
set -euo pipefail

needed=$(readelf -d "$1" | grep NEEDED)
if [[ -z $needed ]]; then
  echo "readelf finds no library at all in $1"
  exit 1
fi
if grep -iE 'cuda|nccl' <<< "$needed"; then
  echo "$1 must not be linked with these"
  exit 1
fi

said=$("$1") || true  # status 1: no GPU
echo "$said"
[[ $said == "NCCL: usable: "* || $said == "NCCL: not used: "?* ]]
