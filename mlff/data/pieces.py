"""Pieces: trajectories that were written a few frames at a time, side by side, put together into whole ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlff.data.dataset import HDF5Dataset
from mlff.data.system import System, Trajectory
from mlff.data.writer import HDF5Writer


def merge_pieces(
    paths: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    last_step: int | None = None,
    statuses: Mapping[str, str] | None = None,
    report: Sequence[str] | None = None,
) -> int:
    """Write a file in which the pieces of each trajectory, which bear its name, follow each other as one; their number.

    Trajectories that grow together are written in turns, so each has many rows in /trajectories. Here each gets one row
    with each of its steps once, in the order in which they first come. ``target`` may be one of the files; it is replaced
    when the new one is whole.

    Args:
        paths: native files, finalized or growing, of one system each, which must be the same one.
        target: path of the new file.
        last_step: leave out frames of later steps.
        statuses: complete, crashed or truncated, by the trajectory's name; that of its last piece where it is not named.
        report: sentences about what was lost; those of the files by default.

    Raises:
        ValueError: no native files, or files of different systems.
    """
    files = [HDF5Dataset(path) for path in paths]
    facts = [_facts(file) for file in files]
    for path, each in zip(paths, facts, strict=True):
        differing = [name for name, value in each.items() if not np.array_equal(value, facts[0][name])]
        if differing:
            raise ValueError(f"{path} and {paths[0]} are of different systems (see {', '.join(differing)}), so their "
                             f"trajectories cannot be put into one file")
    pieces: dict[str, list[tuple[System, Trajectory]]] = {}
    for file in files:
        for piece in file.trajectories:
            pieces.setdefault(piece.name or "", []).append((file.systems[0], piece))
    with HDF5Writer(target, overwrite=True, durable=False) as writer:
        name = str(facts[0].pop("name"))
        writer.add_system(name, **facts[0])
        for trajectory, held in pieces.items():
            columns = _columns(held, last_step)
            if len(columns["positions"]):
                last = held[-1][1]
                writer.add_trajectory(
                    name, columns, name=trajectory or None, dt=last.dt,
                    status=(statuses or {}).get(trajectory, last.status) if trajectory else "complete",  # type: ignore[arg-type]
                    source=last.source, source_sha256=last.source_sha256,
                )  # fmt: skip
        writer.add_report([line for file in files for line in file.report] if report is None else report)
    return len(pieces)


def _columns(held: Sequence[tuple[System, Trajectory]], last_step: int | None) -> dict[str, np.ndarray]:
    """All frames of a trajectory; of quantities that only some of its pieces have, none."""
    names = [name for name in held[0][0].names if name != "trajectory" and all(system.has(name) for system, _ in held)]
    rows = [slice(piece.first, piece.first + piece.count) for _, piece in held]
    columns = {
        name: np.concatenate([system.read(name, where) for (system, _), where in zip(held, rows, strict=True)])
        for name in names
    }
    steps = columns.get("step")
    if steps is None or (steps < 0).any():
        return columns
    kept = np.unique(steps, return_index=True)[1]  # a step that was made again, after a kill, is in there twice
    if last_step is not None:
        kept = kept[steps[kept] <= last_step]
    return {name: values[kept] for name, values in columns.items()}


def _facts(file: HDF5Dataset) -> dict[str, Any]:
    """What ``HDF5Writer.add_system`` takes."""
    if len(file.systems) != 1:
        raise ValueError(f"{file.path} holds {len(file.systems)} systems; a file with one was expected")
    system = file.systems[0]
    return {
        "name": system.name, "atomic_numbers": system.atomic_numbers, "num_states": system.num_states,
        "masses": system.masses, "charge": system.charge, "multiplicity": system.multiplicities, "root": system.roots,
        "label": system.state_labels, "level_of_theory": system.level_of_theory, "program": system.program,
        "phase": system.phase, "spin_states": system.spin_states, "nac_pairs": system.nac_pairs,
        "dipole_pairs": system.dipole_pairs, "soc_pairs": system.soc_pairs,
    }  # fmt: skip
