"""Columns: the frames of one trajectory as arrays, checked against their system, as the writer stores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlff.data.frame import Frame
from mlff.data.schema import FRAME_DATASETS
from mlff.properties import PROPERTIES

_MASKED = tuple(each for each in PROPERTIES.values() if each.mask)


def stack(frames: Sequence[Frame]) -> dict[str, np.ndarray]:
    """Frames of one system as arrays ``name -> [F, ...]``; what some of the frames lack is masked there."""
    if not frames:
        raise ValueError("a trajectory needs at least one frame; none was given")
    num_states = max(frame.num_states for frame in frames)
    num_atoms = frames[0].num_atoms
    columns: dict[str, np.ndarray] = {"positions": np.stack([frame.positions for frame in frames])}
    shapes = {
        "energy": (num_states,),
        "forces": (num_atoms, num_states, 3),
        "stress": (num_states, 6),
        "velocities": (num_atoms, 3),
        "population": (num_states,),
    }
    for name, shape in shapes.items():
        values = [getattr(frame, name) for frame in frames]
        if all(value is None for value in values):
            continue
        absent = np.full(shape, np.nan)
        columns[name] = np.stack([absent if value is None else value for value in values])
    for name in ("nac", "interstate_coupling", "dipole", "soc_magnitude", "soc", "overlap", "coefficients",
                 "hopping_probability"):  # fmt: skip
        values = [getattr(frame, name) for frame in frames]
        present = next((value for value in values if value is not None), None)
        if present is not None:
            columns[name] = np.stack([np.full_like(present, np.nan) if value is None else value for value in values])
    for name in ("energy_valid", "forces_valid"):
        if name.removesuffix("_valid") in columns:
            columns[name] = np.stack([getattr(frame, name) for frame in frames])
    if any(frame.cell is not None for frame in frames):
        columns["cell"] = np.stack([np.zeros((3, 3)) if frame.cell is None else frame.cell for frame in frames])
    columns["pbc"] = np.stack([frame.pbc for frame in frames])
    optional = {
        "active_state": np.array([frame.active_state for frame in frames]),
        "active_spin_state": np.array([frame.active_spin_state for frame in frames]),
        "active_diagonal_state": np.array([frame.active_diagonal_state for frame in frames]),
        "kinetic_energy": np.array([np.nan if f.kinetic_energy is None else f.kinetic_energy for f in frames]),
        "step": np.array([-1 if frame.step is None else frame.step for frame in frames]),
        "time": np.array([np.nan if frame.time is None else frame.time for frame in frames]),
    }
    columns |= {name: values for name, values in optional.items() if (values >= 0).any()}
    if "active_state" in columns or any(frame.hop for frame in frames):
        columns["hop"] = np.array([frame.hop for frame in frames])
    return columns


def checked(columns: Mapping[str, np.ndarray], sizes: dict[str, int], owner: str) -> dict[str, np.ndarray]:
    """The columns with the stored types and shapes, masks completed: missing is NaN and masked, never zero."""
    unknown = sorted(set(columns) - set(FRAME_DATASETS) | {"trajectory"} & set(columns))
    if unknown:
        raise ValueError(
            f"{owner}: no frame quantity is called `{'`, `'.join(unknown)}`; "
            f"known: {', '.join(name for name in FRAME_DATASETS if name != 'trajectory')}"
        )
    if "positions" not in columns:
        raise ValueError(f"{owner}: `positions` are missing")
    num_frames = len(columns["positions"])
    result: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        dtype = np.dtype(FRAME_DATASETS[name][0])
        if name in PROPERTIES:
            shape = (num_frames, *PROPERTIES[name].shape(sizes))
        else:
            shape = (num_frames, *PROPERTIES[name.removesuffix("_valid")].mask_shape(sizes))
        array = np.asarray(values)
        if array.shape != shape:
            raise ValueError(f"{owner}: `{name}` has shape {array.shape}; {shape} was expected")
        if array.dtype.kind not in ("b" if dtype.kind == "b" else "biufc"):
            raise ValueError(f"{owner}: `{name}` has type {array.dtype}; {dtype} was expected")
        result[name] = np.ascontiguousarray(array, dtype=dtype)
    if not np.isfinite(result["positions"]).all():
        raise ValueError(f"{owner}: `positions` hold NaN or infinite values; leave those frames out")
    for each in _MASKED:
        if each.name not in result:
            continue
        finite = np.isfinite(result[each.name])
        letters = [axis for axis in each.axes if axis in (each.mask_axes or ())]
        reduced = tuple(1 + k for k, axis in enumerate(each.axes) if axis not in letters)
        valid = finite.all(axis=reduced) if reduced else finite
        assert each.mask is not None
        if each.mask in result:
            valid = valid & result[each.mask]
        result[each.mask] = np.ascontiguousarray(valid)
        _blank(result, each.name, each.axes, letters, valid)
    return result


def _blank(
    result: dict[str, np.ndarray], name: str, axes: tuple[str, ...], letters: list[str], valid: np.ndarray
) -> None:
    """Put NaN where the mask is false, so that no number is left to be read by mistake."""
    if valid.all():
        return
    shape = [len(valid)] + [
        size if axis in letters else 1 for axis, size in zip(axes, result[name].shape[1:], strict=True)
    ]
    result[name] = np.where(valid.reshape(shape), result[name], np.array(np.nan, dtype=result[name].dtype))
