"""TorchMD-Net's equivariant transformer: 128 features, 6 layers, 8 heads, 32 radial functions."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import run
from benchmarks.peers.torchmdnet_models import torchmdnet_peer

SETTINGS = {
    "model": "equivariant-transformer", "embedding_dimension": 128, "num_layers": 6, "num_rbf": 32, "rbf_type": "expnorm",
    "attn_activation": "silu", "num_heads": 8, "distance_influence": "both", "neighbor_embedding": True,
}  # fmt: skip


if __name__ == "__main__":
    run(torchmdnet_peer("ET", SETTINGS))
