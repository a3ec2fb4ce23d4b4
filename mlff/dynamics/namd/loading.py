"""A model by its name or path as a multi-state potential, and the structure that its training data know best."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mlff.potential.checkpoint import load_potential
from mlff.potential.committee import resolve_members
from mlff.potential.device import chosen_device
from mlff.potential.potential import Potential

from .ml import MLSurfaces


@dataclass(frozen=True)
class TrainedStructure:
    """The frame of least energy among the training data of a run, and what the file says of its system."""

    atomic_numbers: np.ndarray
    positions: np.ndarray
    """angstrom ``[N, 3]``"""
    charge: float
    level_of_theory: str
    source: str


def load_members(model: str | os.PathLike[str]) -> list[Potential]:
    """The potential of several states that a name, checkpoint, run or committee's folder stands for; a ValueError of one."""
    members = [load_potential(path) for path in resolve_members(model)]
    if members[0].num_states < 2:
        raise ValueError(f"`{model}` has one electronic state; surface hopping needs two or more (`mlff train --states N`)")
    return members


def model_surfaces(
    members: list[Potential],
    atomic_numbers: np.ndarray,
    *,
    device: str | None = None,
    dtype: Literal["float32", "float64"] = "float32",
) -> MLSurfaces:
    """The potentials as what surface hopping runs on; on a GPU where there is one and no device was named."""
    return MLSurfaces(members, atomic_numbers, device=chosen_device(device), dtype=dtype)


def trained_structure(model: str | os.PathLike[str]) -> TrainedStructure:
    """The frame of least energy of the first state in the data that a run was trained on.

    Raises:
        ValueError: the model is no training run whose data are still there and of one molecule.
    """
    from mlff.train.config import TrainConfig
    from mlff.train.prepare import open_dataset

    ask = "name a structure near the minimum of the ground state with --structure FILE"
    folder = Path(model)
    config_file = next((each for each in (folder / "config.yaml", folder / "member-0" / "config.yaml") if each.is_file()), None)
    if config_file is None:
        raise ValueError(f"`{model}` is no folder of a training run, whose data would have a structure to begin from; {ask}")
    data = TrainConfig.from_yaml(config_file).data
    try:
        dataset = open_dataset(*data.paths)
    except (OSError, ValueError) as error:
        raise ValueError(f"the data that `{model}` was trained on cannot be read ({error}); {ask}") from error
    if len(dataset.systems) != 1:
        raise ValueError(f"`{model}` was trained on {len(dataset.systems)} systems; {ask}")
    system = dataset.systems[0]
    energy = system.read("energy")[:, data.states[0] if data.states else 0]
    if not np.isfinite(energy).any():
        raise ValueError(f"the data that `{model}` was trained on have no energies of its first state; {ask}")
    row = int(np.nanargmin(energy))
    return TrainedStructure(
        system.atomic_numbers.astype(np.int64), system.read("positions", np.array([row]))[0], system.charge,
        system.level_of_theory, f"frame {row} of {dataset.name}",
    )  # fmt: skip
