"""Additions: trajectories on their way into a growing file, whose frames are written first and whose rows commit them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import h5py
import numpy as np

from mlff.data.rewrite import grow_dataset
from mlff.data.schema import FRAME_DATASETS, TRAJECTORY_COLUMNS


@dataclass(frozen=True)
class Addition:
    """One trajectory: the arrays of its frames, as they are stored, and its row of /trajectories, the ``number``-th."""

    number: int
    system: str
    first: int  #: its first row among the system's frames
    columns: Mapping[str, np.ndarray]
    row: Mapping[str, object]


def new_columns(file: h5py.File, additions: Sequence[Addition]) -> Callable[[h5py.File], None] | None:
    """What makes the datasets that the additions need and the file has not; None where it has them all."""
    lacking: dict[str, dict[str, tuple[tuple[int, ...], np.dtype]]] = {}
    for each in additions:
        held = file[f"systems/{each.system}/frames"]
        for key, values in each.columns.items():
            if key not in held:
                lacking.setdefault(each.system, {})[key] = (values.shape[1:], values.dtype)
    if not lacking:
        return None
    rows = {each.system: each.first for each in reversed(additions)}

    def make(changed: h5py.File) -> None:
        for system, columns in lacking.items():
            for key, (shape, dtype) in columns.items():  # rows before them read as missing
                made = grow_dataset(changed[f"systems/{system}/frames"], key, shape, dtype)
                made.resize(rows[system], axis=0)

    return make


def commit(file: h5py.File, additions: Sequence[Addition]) -> None:
    """Write trajectories of consecutive numbers; a kill leaves each of them whole or not there."""
    number = additions[0].number
    for system, group in groupby(sorted(additions, key=_system), key=_system):  # sorting keeps the order within a system
        _write_frames(file[f"systems/{system}/frames"], list(group))
    file.flush()
    for key in TRAJECTORY_COLUMNS:
        if key == "source_sha256":
            file.flush()  # a row counts once every column has it: this last one commits it
        dataset = file[f"trajectories/{key}"]
        dataset.resize((number + len(additions),))
        dataset[number:] = np.array([each.row[key] for each in additions], dtype=dataset.dtype)
    file.flush()


def _system(addition: Addition) -> str:
    return addition.system


def _write_frames(frames: h5py.Group, additions: Sequence[Addition]) -> None:
    first = additions[0].first
    counts = [len(each.columns["positions"]) for each in additions]
    for key, dataset in frames.items():
        written = len(dataset)
        dataset.resize(first + sum(counts), axis=0)
        if any(key in each.columns for each in additions):
            dataset[first:] = _joined(key, dataset, additions, counts)
        elif written > first:  # by a trajectory that failed before it was committed
            dataset[first:] = FRAME_DATASETS[key][1]


def _joined(key: str, dataset: h5py.Dataset, additions: Sequence[Addition], counts: Iterable[int]) -> np.ndarray:
    missing = FRAME_DATASETS[key][1]
    pieces = [
        each.columns[key] if key in each.columns else np.full((count, *dataset.shape[1:]), missing, dataset.dtype)
        for each, count in zip(additions, counts, strict=True)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
