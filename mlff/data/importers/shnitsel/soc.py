"""Spin-orbit couplings of a SHNITSEL trajectory: complex elements or magnitudes, with the pairs of states that they join."""

from __future__ import annotations

import numpy as np

from mlff.data.importers.sharc.states import SpinStates
from mlff.data.importers.shnitsel.netcdf import TrajectoryGroup, attribute, axes_of
from mlff.data.importers.shnitsel.system import whole_number

_HERMITIAN = 1e-5  # of the largest coupling: they are stored in single precision


def spin_orbit(
    parts: TrajectoryGroup, labels: list[int], num_frames: int
) -> tuple[dict[str, np.ndarray], tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Columns ``soc_magnitude`` and, where the spin components are known, ``soc``; their pairs; the spin components.

    Nothing where the file has none, or does not say their unit or their pairs.
    """
    nothing: tuple[dict[str, np.ndarray], tuple[()], tuple[()]] = {}, (), ()
    name = next((each for each in ("socs", "soc") if each in parts.group), None)
    if name is None:
        return nothing
    if attribute(parts.group[name], "units") is None:
        parts.problems.append(f"{parts.label}: `{name}` says no unit: not read")
        return nothing
    for axis, ends in (("full_statecomb", ("full_statecomb_from", "full_statecomb_to")), ("statecomb", ("from", "to"))):
        if axis in axes_of(parts.group[name]) and all(end in parts.group for end in ends):
            break
    else:
        parts.problems.append(f"{parts.label}: `{name}` does not say which states it joins: not read")
        return nothing
    values = parts.read(name, ("time", axis), "biufc")
    first, second = (parts.read(end, (axis,)) for end in ends)
    if values is None or len(values) != num_frames or first is None or second is None:
        return nothing
    place = {label: k for k, label in enumerate(labels)}
    pairs = [
        (place.get(whole_number(a), -1), place.get(whole_number(b), -1)) for a, b in zip(first, second, strict=True)
    ]
    if len(pairs) != values.shape[1] or any(i < 0 or j < 0 or i == j for i, j in pairs):
        parts.problems.append(f"{parts.label}: `{name}` joins states that are none of {labels}: not read")
        return nothing
    if not np.nan_to_num(values).any():
        return nothing
    matrix = _matrix(values, pairs, len(labels))
    if matrix is None:
        parts.problems.append(f"{parts.label}: `{name}` is not hermitian: not read")
        return nothing
    kept = tuple(sorted({(min(pair), max(pair)) for pair in pairs}))
    i, j = np.array(kept).T
    columns = {"soc_magnitude": np.abs(matrix[:, i, j])}
    every = len(kept) == len(labels) * (len(labels) - 1) // 2
    components = _components(parts, len(labels)) if np.iscomplexobj(values) and every else ()
    if components:
        columns["soc"] = matrix
    return columns, kept, components


def _matrix(values: np.ndarray, pairs: list[tuple[int, int]], num: int) -> np.ndarray | None:
    """``[F,S,S]`` hermitian; None where an element and that of the turned pair contradict each other."""
    matrix = np.full((len(values), num, num), np.nan, dtype=np.complex128)
    matrix[:, range(num), range(num)] = 0
    for k, (i, j) in enumerate(pairs):
        matrix[:, i, j] = values[:, k]
    turned = matrix.conj().swapaxes(1, 2)
    both = np.isfinite(matrix) & np.isfinite(turned)
    if np.abs(matrix - turned)[both].max(initial=0.0) > _HERMITIAN * np.abs(matrix[both]).max(initial=0.0):
        return None
    return np.where(np.isfinite(matrix), matrix, turned)


def _components(parts: TrajectoryGroup, num: int) -> tuple[tuple[int, int], ...]:
    """(state, 2 M_S) of states that are spin components: by their magnetic numbers, else by SHARC's order."""
    magnetic = parts.read("state_magnetic_number", ("state",)) if "state_magnetic_number" in parts.group else None
    if magnetic is not None and len(magnetic) == num and np.isfinite(magnetic).all():
        return tuple((k, round(2 * float(each))) for k, each in enumerate(magnetic))
    if parts.said("input_format") != "sharc":
        return ()
    counts = [parts.said(f"num_{name}") for name in ("singlets", "doublets", "triplets")]
    if not all(isinstance(each, int) and each >= 0 for each in counts):
        return ()
    spins = SpinStates.of(tuple(counts))
    if len(spins.components) != num:
        return ()
    return tuple((k, twice_ms) for k, (_, twice_ms) in enumerate(spins.components))
