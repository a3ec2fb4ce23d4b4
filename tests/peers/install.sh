#!/usr/bin/env bash
# Make the environment in which mlff is compared with SchNetPack, TorchMD-Net and torch_geometric: tests/peers/install.sh [VENV]
# Run the comparison with: VENV/bin/python -m pytest tests/peers
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=${1:-$root/.venv-peers}
python=${PYTHON:-python3}

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)

"${pip[@]}" torch==2.13.0 -r "$root/tests/peers/requirements.txt"
"${pip[@]}" torch==2.13.0 --editable "$root"
# pip warns that their declared dependencies are missing: the imports used here do not need them.
"${pip[@]}" --no-deps --ignore-requires-python schnetpack==2.2.0 torchmd-net==3.1.0

"$venv/bin/python" -W ignore - <<'PYTHON'
import schnetpack
import torch_geometric
import torchmdnet
from schnetpack.representation import PaiNN
from torch_geometric.nn.models import SchNet, ViSNet
from torchmdnet.models.tensornet import TensorNet
from torchmdnet.models.torchmd_et import TorchMD_ET

versions = (f"{peer.__name__} {peer.__version__}" for peer in (schnetpack, torchmdnet, torch_geometric))
print("peers ready: " + ", ".join(versions))
PYTHON
