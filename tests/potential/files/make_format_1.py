"""Makes format_1.safetensors, the stored checkpoint of format version 1, with the last program that wrote that version.

Every weight is a small multiple of 1/64, so that it is the same on any machine and what a test expects can be computed.
"""

from __future__ import annotations

import sys

import torch

MODEL = {"num_features": 4, "num_layers": 1, "num_radial": 3, "cutoff": 3.0}
SETTINGS = {"species": (1, 8), "num_states": 2, "scale": 0.75, "zbl": True, "atomic_energies": {1: -13.5, 8: -2041.25}}


def fill(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights that depend on the name and the place alone."""
    return {
        name: ((len(name) + 29 * torch.arange(tensor.numel())) % 97 / 64 - 0.75).reshape(tensor.shape).to(tensor.dtype)
        for name, tensor in state.items()
    }


def main(path: str) -> None:
    """Write the file with the program as installed."""
    from mlff.models import model_config
    from mlff.potential.checkpoint import save_potential
    from mlff.potential.potential import Potential

    potential = Potential.build(model_config("painn", **MODEL), **SETTINGS)
    potential.load_state_dict(fill(potential.state_dict()))
    save_potential(potential, path, extra={"states": [0, 1]})


if __name__ == "__main__":
    main(sys.argv[1])
