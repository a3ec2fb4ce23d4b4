"""TorchMD-Net's equivariant transformer: 128 features, 6 layers, 8 heads, 32 radial functions."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import CUTOFF, SPECIES, run
from benchmarks.peers.torchmdnet_models import build_model, torchmdnet_peer

SETTINGS = {
    "model": "equivariant-transformer", "embedding_dimension": 128, "num_layers": 6, "num_rbf": 32, "rbf_type": "expnorm",
    "attn_activation": "silu", "num_heads": 8, "distance_influence": "both", "neighbor_embedding": True,
}  # fmt: skip


def save_ours(folder: Path) -> None:
    """mlff's ET with these weights, TorchMD-Net's basis and cutoff."""
    from mlff import Potential, save_potential
    from mlff.models import model_config
    from tests.peers.weights import load_torchmdnet_et

    config = model_config(
        "et", num_features=128, num_layers=6, num_heads=8, num_radial=32, cutoff=CUTOFF, radial="expnorm",
        envelope="cosine", vector_cutoff=False, norm_epsilon=1e-24,
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES)
    load_torchmdnet_et(potential, build_model(SETTINGS))
    save_potential(potential, folder)


if __name__ == "__main__":
    run(torchmdnet_peer("ET", SETTINGS, save_ours=save_ours))
