"""Results of the electronic states beside energies and forces: which a potential has, and their form for ASE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlff.potential.config import PotentialConfig
from mlff.potential.phases import pair_signs, state_signs

COUPLINGS = ("nac", "interstate_coupling")
DIPOLES = ("dipole", "transition_dipoles")
SIGNED = (*COUPLINGS, "transition_dipoles")
"""Results whose sign belongs to the states, and so to the member of a committee that they come from."""
OF_STATES = (*COUPLINGS, *DIPOLES, "soc_magnitude")


def offered(config: PotentialConfig, state: int) -> list[str]:
    """Names of the results that a potential has for this state, besides those that every potential has."""
    has = {
        "gaps": config.num_states > 1,
        "nac": bool(config.nac_pairs),
        "interstate_coupling": bool(config.nac_pairs),
        "dipole": (state, state) in config.dipole_pairs,
        "transition_dipoles": bool(transitions(config)),
        "soc_magnitude": bool(config.soc_pairs),
    }
    return [name for name, known in has.items() if known]


def transitions(config: PotentialConfig) -> list[int]:
    """Places of the transitions, i < j, among the potential's pairs with dipoles."""
    return [place for place, (i, j) in enumerate(config.dipole_pairs) if i != j]


def electronic_results(output: Mapping[str, Tensor], config: PotentialConfig, state: int) -> dict[str, Any]:
    """What a potential's result for one structure holds of them, as numpy float64."""
    found = {name: value.double().cpu().numpy() for name, value in output.items() if name in OF_STATES}
    results: dict[str, Any] = {name: found[name] for name in COUPLINGS if name in found}
    if "dipole" in found:
        dipole = found["dipole"][0]
        if (state, state) in config.dipole_pairs:
            results["dipole"] = dipole[config.dipole_pairs.index((state, state))]
        if places := transitions(config):
            results["transition_dipoles"] = dipole[places]
    if "soc_magnitude" in found:
        results["soc_magnitude"] = found["soc_magnitude"][0]
    return results


def gaps(state_energies: np.ndarray) -> dict[str, np.ndarray]:
    """``gaps``, the energies of all states above that of state 0, ``[S - 1]``; nothing for a single state."""
    return {"gaps": state_energies[1:] - state_energies[0]} if len(state_energies) > 1 else {}


def alike_signs(values: np.ndarray, name: str, config: PotentialConfig) -> np.ndarray:
    """Results of M members, ``[M, ...]``, with the signs of each member's states such that they are most like the first's.

    Couplings ``[M, N, P, 3]`` and dipoles ``[M, Q, 3]`` may have signs of their own, as they had in the data.
    """
    pairs = config.nac_pairs if name in COUPLINGS else tuple(config.dipole_pairs[place] for place in transitions(config))
    products = (values * values[:1]).reshape(len(values), -1, len(pairs), 3).sum(axis=(1, 3))
    signs = pair_signs(state_signs(-torch.from_numpy(products), pairs, config.num_states), pairs).numpy()
    return values * signs.reshape(len(values), *[1] * (values.ndim - 3), len(pairs), 1)
