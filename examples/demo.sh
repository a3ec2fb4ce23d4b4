#!/usr/bin/env bash
# From trajectories to simulations, one command after another: examples/demo.sh [FOLDER] [MINUTES OF TRAINING]
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-demo}
minutes=${2:-4}

step() { printf '\n\033[1m%s\033[0m\n' "$1"; }
run() {
  printf '$ %s\n' "$*"
  "$@"
}

rm -rf "$out"
mkdir -p "$out"

step "1. The data: frames of azobenzene that come with the package"
run mlff data info azobenzene

step "2. Train a small PaiNN for $minutes minutes (the shipped models were trained for 30 to 90, on four times the frames)"
run mlff train --data azobenzene --model painn --out "$out/train" --max-time "$minutes" model.num_features=64

step "3. Its errors on the test frames"
run mlff evaluate "$out/train" azobenzene --split test --plot "$out/parity_test.png"

step "4. Optimise the geometry of cis-azobenzene"
run mlff optimize "$out/train" examples/structures/cis.xyz -o "$out/cis-optimized.xyz"

step "5. Molecular dynamics from there: 0.2 ps with a thermostat, then 1 ps at constant energy"
run mlff md "$out/train" "$out/cis-optimized.xyz" --temperature 300 --equilibrate 200 --steps 2000 --seed 0 \
  -o "$out/md.traj" --plot "$out/md.png"

step "Done. Look at:"
find "$out" -name '*.png' -o -name '*.html' -o -name '*.xyz' -o -name '*.traj' | sort | sed 's/^/  /'
