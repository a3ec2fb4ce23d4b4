"""Errors of a potential on reference data: predictions, and their mean absolute and root mean square errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlff.data import HDF5Dataset, HDF5View, System
from mlff.data.batch import PAIR_AXES
from mlff.data.internal import torsion_degrees
from mlff.graph import Graph
from mlff.potential.potential import Potential
from mlff.train.loaders import BatchLoader
from mlff.train.loss import Targets
from mlff.train.pair_errors import compare_pairs, errors_by_gap, pair_axes, pair_name
from mlff.train.pair_targets import PairTargets
from mlff.units import DEBYE, INVERSE_CM

Arrays = dict[str, np.ndarray]
ATOM_QUANTITIES = ("forces", "interstate_coupling", "nac")

UNITS = {
    "energy": "meV", "energy_per_atom": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³", "interstate_coupling": "meV/Å",
    "nac": "1/Å", "dipole": "mD", "soc_magnitude": "cm⁻¹",
}  # fmt: skip
"""Unit of the errors of each quantity."""
FACTORS = {"nac": 1.0, "dipole": 1000.0 / DEBYE, "soc_magnitude": 1.0 / INVERSE_CM}
"""How many of these units the quantity's own unit is; 1000 where nothing is said."""


@dataclass(frozen=True)
class Errors:
    """Errors of one quantity in one state or for one pair of states (or in all)."""

    quantity: str
    state: int | None
    """Index of the state in the potential; None for all states together, and for a quantity of pairs."""
    mae: float
    rmse: float
    maximum: float
    count: int
    """Number of values."""
    pair: tuple[int, int] | None = None
    """States of the pair; None for all pairs together, and for a quantity of states."""

    @property
    def unit(self) -> str:
        return UNITS[self.quantity]

    def whose(self, labels: Sequence[str]) -> str:
        """The state or the pair by these labels of the states, or that it is all of them."""
        if self.pair is not None:
            return pair_name(self.pair, labels)
        if self.state is not None:
            return labels[self.state]
        return "all pairs" if self.quantity in PAIR_AXES else "all states"


@dataclass(frozen=True)
class Metrics:
    """Predictions with their references, and what they say about the errors."""

    predictions: Arrays
    """``energy``, ``energy_ref`` ``[B,S]`` eV, ``forces``, ``forces_ref`` ``[N,S,3]`` eV/Å, for periodic data with a
    reference ``stress``, ``stress_ref`` ``[B,S,6]`` eV/Å³, and ``num_atoms`` ``[B]``, ``indices`` ``[B]`` of the frames in
    the dataset. Of pairs of states, where potential and data have them, ``interstate_coupling`` eV/Å and ``nac`` 1/Å
    ``[N,P,3]``, ``dipole`` ``[B,Q,3]`` e Å, ``soc_magnitude`` ``[B,R]`` eV, each with ``_ref`` and the states in ``nac_pairs``
    ``[P,2]``, ``dipole_pairs``, ``soc_pairs``; predictions have the signs of the states that agree best with the references.
    Missing references are NaN."""

    @property
    def num_frames(self) -> int:
        return len(self.predictions["num_atoms"])

    def errors(self) -> list[Errors]:
        """For each quantity with a reference: every state, then all of them where there are several."""
        return error_list(self.predictions)

    def error(self, quantity: str, state: int | None = None) -> Errors:
        """Errors of one quantity, over all states by default.

        `quantity` is energy (meV), energy_per_atom (meV/atom), forces (meV/Å), stress (meV/Å³), or, over all pairs of states,
        interstate_coupling (meV/Å), nac (1/Å), dipole (mD) or soc_magnitude (cm-1).
        """
        return _errors(self.predictions, quantity, state)

    def table(self) -> dict[str, Any]:
        """Errors over all states as JSON values, ``energy_mae_meV`` and so on, each state's under ``states``, those of
        quantities of pairs of states under ``pairs``, and the agreement of couplings by gap under ``gaps``."""
        num_states = self.predictions["energy"].shape[1]
        table: dict[str, Any] = {"num_frames": self.num_frames, **self._row(None)}
        if num_states > 1:
            table["states"] = [self._row(state) for state in range(num_states)]
            if of_pairs := [errors for errors in self.errors() if errors.quantity in PAIR_AXES]:
                table["pairs"] = [
                    {"pair": None if each.pair is None else list(each.pair), **_json(each)} for each in of_pairs
                ]
            table["gaps"] = errors_by_gap(self.predictions)
        return table

    def _row(self, state: int | None) -> dict[str, float | None]:
        row: dict[str, float | None] = {}
        for quantity in UNITS:
            if quantity.removesuffix("_per_atom") in self.predictions and not (quantity in PAIR_AXES and state is not None):
                row |= _json(self.error(quantity, state))
        return row


def _json(errors: Errors) -> dict[str, float | None]:
    """MAE and RMSE under names that end in their units; None without references."""
    unit = errors.unit
    for symbol, text in (("meV/atom", "meV"), ("1/", "per_"), ("/", "_per_"), ("Å³", "A3"), ("Å", "A"), ("cm⁻¹", "per_cm")):
        unit = unit.replace(symbol, text)
    known = errors.count > 0
    return {f"{errors.quantity}_{name}_{unit}": getattr(errors, name) if known else None for name in ("mae", "rmse")}


def evaluate(
    potential: Potential,
    dataset: HDF5Dataset | HDF5View,
    indices: np.ndarray | Sequence[int] | None = None,
    batch_size: int = 32,
    *,
    states: Sequence[int] | None = None,
    loader: BatchLoader | None = None,
    progress: Callable[[int], None] | None = None,
) -> Metrics:
    """Predict frames of a dataset and compare with its references; forces and stress of a model that has none are compared
    with nothing.

    Args:
        potential: in evaluation mode, as `load_potential` gives it.
        indices: frames of the dataset, all by default.
        batch_size: frames computed at once.
        states: the dataset's state that each state of the potential is compared with; the same numbers by default.
        loader: reads the frames, where the caller keeps one with its neighbour lists.
        progress: called with the number of frames done after each batch.

    Raises:
        ValueError: an element that the potential does not know, or another number of states than it has.
    """
    frames = np.arange(len(dataset)) if indices is None else np.asarray(indices, dtype=np.int64)
    if potential.training:
        raise ValueError("the potential is in training mode; call `potential.eval()` first")
    if len(frames) == 0:
        raise ValueError("there are no frames to evaluate")
    columns = check_states(potential.num_states, dataset.num_states, states)
    parameter = next(potential.parameters())
    if loader is None:
        compared = PairTargets.of(potential.config, systems_of(dataset))
        loader = BatchLoader(
            dataset, potential.cutoff, states=columns, pairs=compared, device=parameter.device, cache_bytes=0
        )  # fmt: skip
    known = set(potential.species)
    has_stress = any(system.has("stress") for system in systems_of(dataset))
    parts: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(frames), batch_size):
        chosen = frames[first : first + batch_size]
        graph, targets = loader.load(chosen)
        unknown = sorted(set(graph.atomic_numbers.unique().tolist()) - known)
        if unknown:
            raise ValueError(f"the data hold the elements Z = {unknown}, which the potential was not trained on (it knows "
                             f"Z = {sorted(known)})")
        result = potential(
            graph, forces=True, stress=wants_stress(graph, targets), couplings=loader.pairs.coupling is not None,
            properties=bool(loader.pairs.dipole_pairs or loader.pairs.soc_pairs),
        )  # fmt: skip
        predicted = {name: result[name].cpu().numpy() for name in ("energy", "forces", "stress") if name in result}
        if "stress" in predicted and graph.pbc is not None:
            predicted["stress"][~graph.pbc.any(1).cpu().numpy()] = np.nan
        elif has_stress:
            predicted["stress"] = np.full((graph.num_graphs, len(columns), 6), np.nan, dtype=np.float32)
        for name, values in predicted.items():
            reference = np.full_like(values, np.nan)
            if name in targets.values and (name == "energy" or not potential.config.model.topological):
                mask = targets.valid[name].cpu().numpy()
                reference[mask] = targets.values[name].cpu().numpy()[mask]
            parts.setdefault(name, []).append(values)
            parts.setdefault(f"{name}_ref", []).append(reference)
        for name, values in compare_pairs(result, targets, loader.pairs).items():
            parts.setdefault(name, []).append(values)
        parts.setdefault("num_atoms", []).append(targets.num_atoms.cpu().numpy().astype(np.int64))
        if progress is not None:
            progress(len(chosen))
    arrays = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Metrics({**arrays, **pair_axes(loader.pairs), "indices": frames})


def wants_stress(graph: Graph, targets: Targets) -> bool:
    """Whether the stress of some structure in a batch has a reference."""
    return "stress" in targets.values and graph.cell is not None


def systems_of(dataset: HDF5Dataset | HDF5View) -> tuple[System, ...]:
    """The systems behind a dataset or a view of one."""
    return (dataset.dataset if isinstance(dataset, HDF5View) else dataset).systems


def check_states(num_states: int, available: int, states: Sequence[int] | None) -> list[int]:
    """The data's column for each of the potential's states, or a ValueError that says why there is none."""
    columns = list(range(num_states)) if states is None else [int(state) for state in states]
    if len(columns) != num_states:
        raise ValueError(f"the potential has {num_states} state(s) but {len(columns)} of the data were chosen: "
                         f"{columns}; choose one for each")
    if columns and max(columns) >= available:
        raise ValueError(f"state {max(columns)} was asked for, but the data have {available} state(s), counted from 0")
    return columns


def error_list(predictions: Arrays) -> list[Errors]:
    """Errors of every quantity with a reference in prediction arrays: each state, then all where there are several."""
    num_states = predictions["energy"].shape[1]
    found = []
    for quantity in (each for each in UNITS if each.removesuffix("_per_atom") in predictions):
        axis = num_states if quantity not in PAIR_AXES else len(predictions[PAIR_AXES[quantity]])
        columns = [*range(axis), None] if axis > 1 else [0]
        found += [_errors(predictions, quantity, column) for column in columns]
    return [errors for errors in found if errors.count]


def _errors(predictions: Arrays, quantity: str, column: int | None) -> Errors:
    """Errors in one column of the axis of states, or of pairs of states; None for all."""
    name = quantity.removesuffix("_per_atom")
    state, pair = column, None
    if quantity in PAIR_AXES:
        state, pair = None, None if column is None else tuple(predictions[PAIR_AXES[quantity]][column].tolist())
    difference = predictions[name].astype(np.float64) - predictions[f"{name}_ref"]
    if quantity == "energy_per_atom":
        difference = difference / predictions["num_atoms"][:, None]
    chosen = difference if column is None else difference[:, column]
    known = ~np.isnan(predictions[f"{name}_ref"] if column is None else predictions[f"{name}_ref"][:, column])
    errors = FACTORS.get(quantity, 1000.0) * chosen[known]
    if errors.size == 0:
        return Errors(quantity, state, math.nan, math.nan, math.nan, 0, pair)
    absolute = np.abs(errors)
    rmse = math.sqrt(float(np.square(errors).mean()))
    return Errors(quantity, state, float(absolute.mean()), rmse, float(absolute.max()), int(errors.size), pair)


def check_torsion(atoms: Sequence[int], num_atoms: int) -> None:
    """Raise a ValueError unless these are four different atoms of a structure of `num_atoms`."""
    if len(atoms) != 4 or len(set(atoms)) != 4 or min(atoms) < 0 or max(atoms) >= num_atoms:
        raise ValueError(f"a torsion needs four different atoms, counted from 0 to {num_atoms - 1}; got {list(atoms)}")


def errors_by_torsion(
    metrics: Metrics, dataset: HDF5Dataset | HDF5View, atoms: Sequence[int], edges: Sequence[float] = tuple(range(0, 181, 30))
) -> list[dict[str, Any]]:
    """Errors in bins of the absolute torsion angle |I-J-K-L| of four atoms (0-based indices into every frame).

    Returns a row a bin: ``from`` and ``to`` in degrees (the last bin includes its end), ``num_frames`` and the columns of
    `Metrics.table`; bins without frames have ``num_frames`` 0 and no errors.
    """
    num_atoms = metrics.predictions["num_atoms"]
    check_torsion(atoms, int(num_atoms.min()))
    angles = np.empty(len(num_atoms))
    for first in range(0, len(angles), 1000):
        batch = dataset.batch(metrics.predictions["indices"][first : first + 1000])
        starts = np.cumsum(batch.num_atoms) - batch.num_atoms
        angles[first : first + 1000] = torsion_degrees(batch.positions[starts[:, None] + np.asarray(atoms)[None, :]])
    angles = np.abs(angles)
    rows = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (angles >= low) & ((angles < high) if high != edges[-1] else (angles <= high))
        errors = select_frames(metrics, inside).table() if inside.any() else {"num_frames": 0}
        rows.append({"from": float(low), "to": float(high), **errors})
    return rows


def select_frames(metrics: Metrics, chosen: np.ndarray) -> Metrics:
    """The metrics of the frames where `chosen` (bool ``[B]``) is true."""
    atoms = np.repeat(chosen, metrics.predictions["num_atoms"])

    def rows(name: str, array: np.ndarray) -> np.ndarray:
        if name in PAIR_AXES.values():
            return array
        return array[atoms if name.removesuffix("_ref").removesuffix("_uncertainty") in ATOM_QUANTITIES else chosen]

    return Metrics({name: rows(name, array) for name, array in metrics.predictions.items()})
