"""Errors in couplings, dipoles and spin-orbit couplings, whatever the signs of the states, and errors by the gap of two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mlff.train.loss import Targets, phase_signs
from mlff.train.loss_config import LossConfig
from mlff.train.pair_targets import PairTargets

Arrays = dict[str, np.ndarray]

GAP_EDGES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, math.inf)
"""eV; bins of the reference's gap."""


def compare_pairs(result: Mapping[str, Tensor], targets: Targets, pairs: PairTargets) -> Arrays:
    """Predictions for pairs of states, with the signs that agree best with the references, and these as ``NAME_ref``.

    Both kinds of couplings are there; the reference of the one that is not among the targets is the other's by the gap.
    """
    if not pairs.any:
        return {}
    signs = phase_signs(result, targets, LossConfig())
    found: Arrays = {}
    coupling = targets.quantity("couplings")
    if coupling is not None:
        reference = _reference(targets, coupling)
        gap = _gaps(targets, pairs)
        with np.errstate(divide="ignore", invalid="ignore"):
            other = reference / gap if coupling == "interstate_coupling" else reference * gap
        other[~np.isfinite(other)] = np.nan
        names = (coupling, "nac" if coupling == "interstate_coupling" else "interstate_coupling")
        for name, values in zip(names, (reference, other)):
            found[name] = (result[name] * signs[coupling].to(result[name].dtype)).cpu().numpy()
            found[f"{name}_ref"] = values.astype(np.float32)
    for name in ("dipole", "soc_magnitude"):
        if name in result and name in targets.values:
            factor = signs[name].to(result[name].dtype) if name in signs else 1.0
            found[name] = (result[name] * factor).cpu().numpy()
            found[f"{name}_ref"] = _reference(targets, name)
    return found


def pair_axes(pairs: PairTargets) -> Arrays:
    """States of the pairs of what is compared: ``nac_pairs``, ``dipole_pairs``, ``soc_pairs``, each ``[pairs,2]``."""
    held = {
        "nac_pairs": pairs.nac_pairs if pairs.coupling is not None else (),
        "dipole_pairs": pairs.dipole_pairs, "soc_pairs": pairs.soc_pairs,
    }  # fmt: skip
    return {name: np.array(value, dtype=np.int64) for name, value in held.items() if value}


def pair_name(pair: tuple[int, int], labels: Sequence[str]) -> str:
    """``S0-S1``; the state alone where it is its own partner."""
    i, j = pair
    return labels[i] if i == j else f"{labels[i]}-{labels[j]}"


def errors_by_gap(predictions: Arrays, edges: Sequence[float] = GAP_EDGES) -> list[dict[str, Any]]:
    """Errors of pairs of states in bins of the reference's gap |E_j - E_i|, which is where dynamics between them happen.

    The pairs are those with couplings, else each state and the next. For each a row with all of its frames (``from`` 0, ``to``
    None), then one for every bin that has any: ``pair``, ``from`` and ``to`` in eV (None: no end), ``num_frames``,
    ``gap_mae_meV``; where couplings have references ``interstate_coupling_mae_meV_per_A``,
    ``interstate_coupling_rmse_meV_per_A``, ``nac_mae_per_A`` and ``coupling_cosine``, the mean over frames of the cosine of
    the angle between predicted and reference coupling in the space of all coordinates, after the choice of signs.
    """
    energy, reference = predictions["energy"], predictions["energy_ref"]
    num_states = energy.shape[1]
    coupled = "interstate_coupling" in predictions
    pairs = predictions["nac_pairs"].tolist() if coupled else [[k, k + 1] for k in range(num_states - 1)]
    rows = []
    for column, (i, j) in enumerate(pairs):
        gap = reference[:, j] - reference[:, i]
        error = 1000.0 * np.abs((energy[:, j] - energy[:, i]) - gap)
        couplings = _coupling_errors(predictions, column) if coupled else {}
        known, size = np.isfinite(gap), np.abs(gap)
        bins = [(0.0, math.inf), *zip(edges[:-1], edges[1:])]
        for low, high in bins:
            inside = known & (size >= low) & (size < high)
            if not inside.any():
                continue
            row: dict[str, Any] = {
                "pair": [i, j], "from": low, "to": high if math.isfinite(high) else None, "num_frames": int(inside.sum()),
                "gap_mae_meV": float(error[inside].mean()),
            }  # fmt: skip
            rows.append(row | {name: _mean(values[inside], name) for name, values in couplings.items()})
    return rows


def _coupling_errors(predictions: Arrays, column: int) -> Arrays:
    """Of each frame, for one pair: mean errors over its components, and the cosine; NaN without reference."""
    num_atoms = predictions["num_atoms"]
    starts = np.cumsum(num_atoms) - num_atoms

    def by_frame(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values.sum(1), starts)

    found: Arrays = {}
    for name in ("interstate_coupling", "nac"):
        predicted, reference = (predictions[key][:, column].astype(np.float64) for key in (name, f"{name}_ref"))
        error = predicted - reference
        found[name] = by_frame(np.abs(error)) / (3 * num_atoms)
        if name == "interstate_coupling":
            square = by_frame(np.square(error)) / (3 * num_atoms)
            with np.errstate(divide="ignore", invalid="ignore"):
                cosine = by_frame(predicted * reference) / np.sqrt(
                    by_frame(np.square(predicted)) * by_frame(np.square(reference))
                )
    return {
        "interstate_coupling_mae_meV_per_A": 1000.0 * found["interstate_coupling"],
        "interstate_coupling_rmse_meV_per_A": 1e6 * square,
        "nac_mae_per_A": found["nac"],
        "coupling_cosine": cosine,
    }


def _mean(values: np.ndarray, name: str) -> float | None:
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    return float(np.sqrt(known.mean()) if "_rmse_" in name else known.mean())


def _reference(targets: Targets, name: str) -> np.ndarray:
    values = targets.values[name].cpu().numpy().copy()
    values[~targets.valid[name].cpu().numpy()] = np.nan
    return values


def _gaps(targets: Targets, pairs: PairTargets) -> np.ndarray:
    """Of the reference, for every atom and pair, float64 ``[N,P,1]``; NaN where an energy is not known."""
    if "energy" not in targets.values:
        return np.full((len(targets.values[str(targets.quantity("couplings"))]), len(pairs.nac_pairs), 1), np.nan)
    assert targets.batch is not None
    energy = _reference(targets, "energy")
    i, j = (list(states) for states in zip(*pairs.nac_pairs))
    return (energy[:, j] - energy[:, i])[targets.batch.cpu().numpy()][:, :, None]
