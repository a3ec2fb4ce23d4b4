"""The trajectories of a SHNITSEL file: a group each, or several in one group, stacked along ``frame`` or layered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from mlff.data.importers.shnitsel.netcdf import Rows, TrajectoryGroup, axes_of, trajectory_groups
from mlff.data.schema import DAMAGE

_LAYERS = ("trajectory", "trajid")  # axes along which trajectories are layered
_IDENTITIES = ("atrajectory", "trajid", "trajectory")  # variables with the number of each frame's trajectory


@dataclass(frozen=True)
class Member:
    """One trajectory: the name of its group, and which part of the group it is."""

    group: str
    rows: Rows

    def open(self, file: h5py.File, label: str) -> TrajectoryGroup:
        """Its variables."""
        return TrajectoryGroup(file[self.group], label, self.rows)


def members(file: h5py.File, lost: list[str], problems: list[str]) -> list[Member]:
    """Every trajectory of a file in its order.

    The names of damaged groups go to ``lost``, a sentence for each whose trajectories cannot be told apart to ``problems``.
    """
    found: list[Member] = []
    for group in trajectory_groups(file, lost):
        name = str(group.name)
        try:
            found += [Member(name, rows) for rows in _parts(group)]
        except DAMAGE as error:
            problems.append(f"{name}: {error}")
    return found


def _parts(group: h5py.Group) -> Iterator[Rows]:
    axes = axes_of(group["atXYZ"])
    layer = next((axis for axis in _LAYERS if axis in axes), None)
    if layer is not None:
        yield from _layered(group, layer)
    elif "frame" in axes:
        yield from _stacked(group)
    else:
        yield Rows()


def _layered(group: h5py.Group, layer: str) -> Iterator[Rows]:
    """Trajectories of different lengths are filled up with NaN at their ends."""
    axes = axes_of(group["atXYZ"])
    count = group["atXYZ"].shape[axes.index(layer)]
    identities = _numbers(group, layer, count)
    for k in range(count):
        whole = Rows(
            fixed={layer: k}, identity=str(k) if identities is None else str(identities[k]), number=k, of=count
        )
        positions = TrajectoryGroup(group, "", whole).read("atXYZ", ("time", "atom", "direction"))
        known = np.flatnonzero(np.isfinite(positions).any(axis=(1, 2))) if positions is not None else np.zeros(0, int)
        if len(known):
            yield Rows("time", tuple(range(int(known[-1]) + 1)), whole.fixed, whole.identity, k, count)


def _stacked(group: h5py.Group) -> Iterator[Rows]:
    """Frames of several trajectories one after another, told apart by a number each."""
    length = group["atXYZ"].shape[axes_of(group["atXYZ"]).index("frame")]
    numbers = next((each for name in _IDENTITIES if (each := _numbers(group, name, length)) is not None), None)
    if numbers is None:
        times = TrajectoryGroup(group, "", Rows("frame")).read("time", ("time",)) if "time" in group else None
        if times is None or len(times) != length or not (np.diff(times) > 0).all():
            raise ValueError(
                "its frames are of several trajectories and no variable `atrajectory` or `trajid` says of which each is"
            )
        yield Rows("frame")
        return
    order = list(dict.fromkeys(numbers.tolist()))
    for k, identity in enumerate(order):
        yield Rows("frame", tuple(np.flatnonzero(numbers == identity).tolist()), {}, str(identity), k, len(order))


def _numbers(group: h5py.Group, name: str, length: int) -> np.ndarray | None:
    """Whole numbers, ``length`` of them, or None."""
    node = group.get(name)
    if not isinstance(node, h5py.Dataset) or node.shape != (length,) or node.dtype.kind not in "iu":
        return None
    return np.asarray(node[()])
