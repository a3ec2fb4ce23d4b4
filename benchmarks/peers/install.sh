#!/usr/bin/env bash
# Make the environments of the packages that mlff is measured against: benchmarks/peers/install.sh [PEER ...]
# A PEER is a name of benchmarks/peers/compare.py, or all, as without one.
#   .venv-peers   SchNetPack and TorchMD-Net (that of `make test-peers`)
#   .venv-nequip  NequIP and Allegro
#   .venv-mace    MACE
# torch is pinned (constraints.txt) in each, so that all sides run the same kernels and no other build of it is fetched.
# mlff itself is installed beside each peer: structures, velocity Verlet and clocks are the same code on both sides.
# An environment that was made of these files as they are is left alone.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
tests=("pytest>=8" "hypothesis>=6.100") # what `make test-adapters` runs there
recipe=$(cd "$root" && cat benchmarks/peers/install.sh tests/peers/install.sh tests/peers/requirements.txt \
  constraints.txt pyproject.toml | cksum)

environment() {  # environment FOLDER COMMAND...: make it by the command, unless it is there
  local venv=$root/$1
  shift
  [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.made-by" 2>/dev/null)" = "$recipe" ] && return
  "$@"
  echo "$recipe" >"$venv/.made-by"
}

packages() {  # packages FOLDER PACKAGE...
  local venv=$root/$1
  shift
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet -c "$root/constraints.txt")
  "${pip[@]}" torch
  "${pip[@]}" torch "$@"
  "${pip[@]}" torch --editable "$root"
}

for peer in "${@:-all}"; do
  case $peer in all | schnetpack* | torchmdnet*)
    environment .venv-peers bash "$root/tests/peers/install.sh" "$root/.venv-peers"
    ;;
  esac
  case $peer in all | nequip*)
    environment .venv-nequip packages .venv-nequip nequip==0.19.0 nequip-allegro==0.8.3 "${tests[@]}"
    ;;
  esac
  case $peer in all | mace*) environment .venv-mace packages .venv-mace mace-torch==0.3.16 "${tests[@]}" ;; esac
done
