#!/bin/bash
# Installs what Sluice needs to build, test and run on Debian 12. Nothing but Debian packages; a second
# run finds everything there and installs nothing.
#
#   ./setup.sh           install what is missing (as root, or through sudo)
#   ./setup.sh --check   only say what is missing; exit status 1 if anything is
#   --peers, with either: also what Sluice is measured against (Open MPI, beside PyTorch's gloo; docs/benchmarks.md) and
#             launched by (Open MPI, Slurm; docs/running_on_a_cluster.md)
set -euo pipefail

packages=(
  # build
  bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto g++ protobuf-compiler
  # libraries
  libcaf-dev libucx-dev libtorch-dev libopenblas0-pthread libprotobuf-dev libabsl-dev libhwy-dev
  libeigen3-dev libyaml-cpp-dev nlohmann-json3-dev libspdlog-dev libssl-dev libxxhash-dev zlib1g-dev
  prometheus-cpp-dev libcpp-httplib-dev libturbojpeg0-dev libpng-dev
  # tests, format and fuzzing
  libgtest-dev libgmock-dev libbenchmark-dev clang clang-format libclang-rt-14-dev python3 python3-torch
  python3-yaml iproute2 openssl openssh-client openssh-server
  # data: images, and 9 MB of English text
  dataset-fashion-mnist perl-doc
)

peer_packages=(openmpi-bin libopenmpi-dev slurm-wlm munge)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

check_only=
for argument in "$@"; do
  case $argument in
    --check) check_only=1 ;;
    --peers) packages+=("${peer_packages[@]}") ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup.sh: unknown argument \"$argument\"" >&2; usage >&2; exit 2 ;;
  esac
done

is_installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null) == installed ]]; }

if ! command -v dpkg-query > /dev/null; then
  echo "setup.sh: this is not Debian: no dpkg-query. Packages needed: ${packages[*]}" >&2
  exit 1
fi
missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "setup.sh: all ${#packages[@]} packages are installed"
  exit 0
fi
echo "setup.sh: ${#missing[@]} of ${#packages[@]} packages are missing: ${missing[*]}"
[[ -z $check_only ]] || exit 1

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo > /dev/null; then
    echo "setup.sh: run it as root, or install sudo" >&2
    exit 1
  fi
  as_root=(sudo)
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" < /dev/null
}
echo "setup.sh: apt-get update"
apt update -qq
echo "setup.sh: apt-get install"
apt install -y -qq --no-install-recommends "${missing[@]}"

for package in "${missing[@]}"; do
  if ! is_installed "$package"; then
    echo "setup.sh: $package is still not installed" >&2
    exit 1
  fi
done
echo "setup.sh: done. Next: tools/test.sh"
