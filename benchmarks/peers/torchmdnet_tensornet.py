"""TorchMD-Net's TensorNet: 128 features, 2 layers, 32 radial functions, O(3)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import CUTOFF, SPECIES, run
from benchmarks.peers.torchmdnet_models import build_model, torchmdnet_peer

SETTINGS = {
    "model": "tensornet", "embedding_dimension": 128, "num_layers": 2, "num_rbf": 32, "rbf_type": "expnorm",
    "equivariance_invariance_group": "O(3)",
}  # fmt: skip


def save_ours(folder: Path) -> None:
    """mlff's TensorNet with these weights, TorchMD-Net's basis, cutoff and self-loops."""
    from mlff import Potential, save_potential
    from mlff.models import model_config
    from tests.peers.weights import load_torchmdnet

    config = model_config(
        "tensornet", num_features=128, num_layers=2, num_radial=32, cutoff=CUTOFF, group="O(3)", radial="expnorm",
        envelope="cosine", self_loops=True,
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES)
    load_torchmdnet(potential, build_model(SETTINGS))
    save_potential(potential, folder)


if __name__ == "__main__":
    run(torchmdnet_peer("TensorNet", SETTINGS, modes=("eager", "compiled"), save_ours=save_ours))
