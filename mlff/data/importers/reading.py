"""Reading: the trajectories of all sources in their order, checked and strided, by one process or by several."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import atomic_masses

from mlff.data.checks import check_trajectory
from mlff.data.importers.processes import reading_processes
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, hops, stride

_Progress = Callable[[float, int], None]  # sources that were read, with the part of one that is, and all
_Read = Callable[[Sequence[Path], ImportOptions], Iterator[ImportedTrajectory]]
_Item = tuple[Path, ImportedTrajectory | str | None]  # a trajectory, what was wrong, or None at the end of a source


def read_all(
    found: Sequence[tuple[Importer, Path]],
    options: ImportOptions,
    problems: list[str],
    workers: int = 1,
    progress: _Progress | None = None,
) -> Generator[ImportedTrajectory, None, None]:
    """The trajectories of all sources in their order; one that cannot be read is added to ``problems``, not the end.

    With several workers at most two sources a worker are in memory.
    """
    alone = [(importer.read, path) for importer, path in found if not importer.together]
    together = [(importer, path) for importer, path in found if importer.together]
    done = 0
    first_of: dict[str, Path] = {}  # hash of a file -> the source that had it first
    several = _in_processes(alone, options, workers) if workers > 1 and len(alone) > 1 else _here(alone, options)
    for path, trajectory in several:
        if isinstance(trajectory, str):
            problems.append(trajectory)
        elif trajectory is None:
            done += 1
            if progress is not None:
                progress(done, len(found))
        else:
            earlier = first_of.setdefault(trajectory.sha256, path) if trajectory.sha256 else path
            if earlier != path:
                trajectory.problems.append(f"{path}: the same file as {earlier}, so its frames are there twice")
            yield trajectory
    if together:
        if progress is not None:
            options = replace(options, progress=lambda part: progress(done + part * len(together), len(found)))
        for trajectory in together[0][0].read([path for _, path in together], options):
            yield _checked(trajectory)
        if progress is not None:
            progress(len(found), len(found))


def _here(sources: Sequence[tuple[_Read, Path]], options: ImportOptions) -> Iterator[_Item]:
    for read, path in sources:
        try:
            for trajectory in read([path], options):
                yield path, stride(_checked(trajectory), options.every)
        except OSError as error:
            where = f" ({error.filename})" if error.filename and str(error.filename) != str(path) else ""
            yield path, f"{path}: it cannot be read: {error.strerror or error}{where}"
        except ValueError as error:
            yield path, f"{path}: {error}"
        yield path, None


def _in_processes(sources: Sequence[tuple[_Read, Path]], options: ImportOptions, workers: int) -> Iterator[_Item]:
    """As ``_here``, in the same order; each worker reads a whole source."""
    with reading_processes(min(workers, len(sources))) as submit:
        waiting: deque[Future[list[_Item]]] = deque()
        for source in sources:
            waiting.append(submit(_whole, source, options))
            if len(waiting) >= 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _whole(source: tuple[_Read, Path], options: ImportOptions) -> list[_Item]:
    return list(_here([source], options))


def _checked(trajectory: ImportedTrajectory) -> ImportedTrajectory:
    """The trajectory with the figures of its checks, and what they found among its problems."""
    if not trajectory.num_frames:
        return trajectory
    trajectory = _finite(trajectory)
    if not trajectory.num_frames:
        return trajectory
    facts = trajectory.system
    masses = atomic_masses[list(facts.atomic_numbers)] if facts.masses is None else np.array(facts.masses)
    owner = f"trajectory {trajectory.name}" if trajectory.name is not None else short(trajectory.source)
    found = check_trajectory(
        trajectory.columns, masses, name=trajectory.name, owner=owner, labels=facts.label, pairs=facts.nac_pairs
    )
    return replace(trajectory, checks=found.figures, problems=[*trajectory.problems, *found.problems])


def _finite(trajectory: ImportedTrajectory) -> ImportedTrajectory:
    """Without the frames that have a position which is no number: they are no geometries."""
    whole = np.isfinite(trajectory.columns["positions"]).all(axis=(1, 2))
    if whole.all():
        return trajectory
    name = trajectory.name or short(trajectory.source)
    first = int(np.flatnonzero(~whole)[0])
    problem = (
        f"{name}: {int((~whole).sum())} frames dropped with positions that are NaN or infinite, first frame {first}"
    )
    columns = {key: values[whole] for key, values in trajectory.columns.items()}
    if "hop" in columns and "active_state" in columns:
        columns["hop"] = np.where(columns["hop"] == 2, 2, hops(columns["active_state"])).astype(np.uint8)
    parts = tuple(part for part, keep in zip(trajectory.parts, whole, strict=False) if keep)
    return replace(trajectory, columns=columns, parts=parts, problems=[*trajectory.problems, problem])


def short(source: str) -> str:
    """A source without the folders that it is in."""
    return Path(source).name if os.path.isabs(source) else source
