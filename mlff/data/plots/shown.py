"""Shown: the frames of one system that a picture is about, and how they are sampled where they are too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlff.data.dataset import HDF5Dataset
from mlff.data.system import System, Trajectory

_LONGEST = 2000  # frames of a trajectory that are drawn, and hops besides


class NothingToDraw(ValueError):
    """The frames lack what the picture needs; the message says what."""


@dataclass(frozen=True)
class Shown:
    """Frames of ``system``: all of them, or those of the trajectories that were named."""

    dataset: HDF5Dataset
    system: System
    trajectories: tuple[Trajectory, ...]  #: with a name, in the file's order
    chosen: bool  #: whether trajectories were named

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return sum(each.count for each in self.trajectories) if self.chosen else self.system.num_frames

    def rows(self, most: int) -> np.ndarray:
        """Rows of all frames, or of ``most`` evenly spaced ones where there are more: i64, ascending."""
        total = self.num_frames
        places = np.arange(total) if total <= most else np.linspace(0, total - 1, most).astype(np.int64)
        if not self.chosen:
            return places
        counts = np.array([each.count for each in self.trajectories], dtype=np.int64)
        firsts = np.array([each.first for each in self.trajectories], dtype=np.int64)
        ends = np.cumsum(counts)
        owner = np.searchsorted(ends, places, side="right")
        return np.sort(firsts[owner] + places - (ends - counts)[owner])

    def sampled(self, rows: np.ndarray) -> str:
        """``all 201 frames`` or ``20,000 of 80,400 frames, evenly spaced``."""
        total = self.num_frames
        if len(rows) < total:
            return f"{len(rows):,} of {total:,} frames, evenly spaced"
        return f"all {total:,} frames" if total > 1 else "one frame"

    def some_trajectories(self, most: int) -> tuple[Trajectory, ...]:
        """The named trajectories, or up to ``most`` spread evenly over the file where none were named."""
        held = self.trajectories
        if self.chosen or len(held) <= most:
            return held
        return tuple(held[k] for k in np.linspace(0, len(held) - 1, most).round().astype(int))

    def read_known(self, name: str, rows: np.ndarray) -> np.ndarray | None:
        """Values of the rows, or None where the system has no such quantity or all of it is missing."""
        if not self.system.has(name):
            return None
        values = self.system.read(name, rows)
        known = np.isfinite(values).any() if values.dtype.kind in "fc" else (values >= 0).any()
        return values if known else None

    def active_states(self, rows: np.ndarray) -> np.ndarray:
        """Active state of each row; 0 where there is one state only, -1 where it is not known."""
        if self.system.num_states == 1:
            return np.zeros(len(rows), dtype=np.int64)
        active = self.read_known("active_state", rows)
        return np.full(len(rows), -1) if active is None else active.astype(np.int64)

    def drawn_rows(self, trajectory: Trajectory) -> tuple[np.ndarray, int]:
        """Rows of a trajectory that are drawn, hops and the frames before them among them, and their stride."""
        stride = max(1, -(-trajectory.count // _LONGEST))
        places = [np.arange(0, trajectory.count, stride), np.array([trajectory.count - 1])]
        if stride > 1 and self.system.has("hop"):
            hops = np.flatnonzero(self.system.read("hop", slice(trajectory.first, trajectory.first + trajectory.count)))
            places += [hops, np.maximum(hops - 1, 0)]
        return trajectory.first + np.unique(np.concatenate(places)), stride


def select(dataset: HDF5Dataset, system: str | None = None, trajectories: Sequence[str] | None = None) -> Shown:
    """The frames of the system of that name (the only one where none is named), or of those trajectories of it."""
    names = [each.name for each in dataset.systems]
    if system is None and len(names) != 1:
        raise ValueError(f"{dataset.path} has {len(names)} systems; name one of them: {', '.join(names) or 'none'}")
    if system is not None and system not in names:
        raise ValueError(f"{dataset.path} has no system {system!r}; it has: {', '.join(names) or 'none'}")
    index = 0 if system is None else names.index(system)
    own = [each for each in dataset.trajectories if each.system == index and each.name is not None and each.count > 0]
    if trajectories is not None:
        unknown = [name for name in trajectories if name not in {each.name for each in own}]
        if unknown:
            held = ", ".join(str(each.name) for each in own[:8]) + (f" and {len(own) - 8} more" if len(own) > 8 else "")
            raise ValueError(
                f"system {names[index]!r} of {dataset.path} has no trajectory {unknown[0]!r}; it has: {held or 'none'}"
            )
        own = [each for each in own if each.name in set(trajectories)]
    shown = Shown(dataset, dataset.systems[index], tuple(own), trajectories is not None)
    if shown.num_frames == 0:
        raise NothingToDraw(f"system {names[index]!r} has no frames")
    return shown


def clocks(shown: Shown, rows: Sequence[np.ndarray]) -> tuple[list[np.ndarray], str]:
    """Horizontal axis of several trajectories and its label: times in fs, else frame numbers where one lacks a time."""
    if shown.system.has("time"):
        times = [shown.system.read("time", each) for each in rows]
        if all(np.isfinite(each).all() for each in times):
            return times, "Time (fs)"
    return [(each - each[0]).astype(np.float64) for each in rows], "Frame (no times known)"
