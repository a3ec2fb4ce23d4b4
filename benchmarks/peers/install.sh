#!/usr/bin/env bash
# Make the environments of the packages that mlff is measured against: benchmarks/peers/install.sh [PEER ...]
# A PEER is a name of benchmarks/peers/compare.py, or all, as without one.
#   .venv-peers   SchNetPack and TorchMD-Net (that of `make test-peers`)
#   .venv-nequip  NequIP and Allegro
#   .venv-mace    MACE
# torch is pinned (constraints.txt) in each, so that all sides run the same kernels and no other build of it is fetched.
# mlff itself is installed beside each peer: structures, velocity Verlet and clocks are the same code on both sides.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}

environment() {  # environment FOLDER PACKAGE...
  local venv=$root/$1
  shift
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet -c "$root/constraints.txt")
  "${pip[@]}" torch
  "${pip[@]}" torch "$@"
  "${pip[@]}" torch --editable "$root"
}

tests=("pytest>=8" "hypothesis>=6.100") # what `make test-adapters` runs there
for peer in "${@:-all}"; do
  case $peer in all | schnetpack* | torchmdnet*) bash "$root/tests/peers/install.sh" "$root/.venv-peers" ;; esac
  case $peer in all | nequip*) environment .venv-nequip nequip==0.19.0 nequip-allegro==0.8.3 "${tests[@]}" ;; esac
  case $peer in all | mace*) environment .venv-mace mace-torch==0.3.16 "${tests[@]}" ;; esac
done
