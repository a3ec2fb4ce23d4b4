"""Splits: which frames train, validate and test. Each function returns ``{"train", "val", "test"}`` of global indices.

A random split of trajectories leaks: neighbouring frames are nearly equal, so the test error says little about new
geometries. Prefer the splits by time and by trajectory.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from mlff.data.dataset import HDF5Dataset
from mlff.data.schema import SPLIT_PARTS
from mlff.data.system import Trajectory

Split = dict[str, np.ndarray]


def by_time(dataset: HDF5Dataset, fractions: Sequence[float] = (0.8, 0.1, 0.1)) -> Split:
    """The first part of every trajectory trains, the next validates, the last tests.

    Frames are put in the order of their times (of their rows where they have none), trajectory by trajectory, so that
    a trajectory that ends early is divided too.
    """
    fractions = _checked(fractions)
    parts: dict[str, list[np.ndarray]] = {part: [] for part in SPLIT_PARTS}
    for trajectory in _known(dataset, "by time"):
        indices, times = _frames(dataset, trajectory)
        if np.isfinite(times).all():
            indices = indices[np.argsort(times, kind="stable")]
        for part, piece in zip(SPLIT_PARTS, np.split(indices, _cuts(len(indices), fractions)), strict=True):
            parts[part].append(piece)
    return {part: _joined(pieces) for part, pieces in parts.items()}


def by_trajectory(
    dataset: HDF5Dataset,
    fractions: Sequence[float] | None = None,
    *,
    seed: int = 0,
    val: Sequence[str] = (),
    test: Sequence[str] = (),
) -> Split:
    """Whole trajectories, drawn at random by ``fractions``, or named in ``val`` and ``test`` (the others train)."""
    trajectories = _known(dataset, "by trajectory")
    names = sorted({str(each.name) for each in trajectories})
    if val or test:
        if fractions is not None:
            raise ValueError("give either the trajectories of `val` and `test`, or `fractions`, not both")
        unknown = sorted({*val, *test} - set(names))
        if unknown:
            raise ValueError(f"no trajectory is called {', '.join(unknown)}; the file has {_some(names)}")
        if both := sorted(set(val) & set(test)):
            raise ValueError(f"{', '.join(both)} cannot be in both `val` and `test`")
        if not set(names) - {*val, *test}:
            raise ValueError(f"`val` and `test` name all {len(names)} trajectories; leave at least one to train on")
        part_of = {name: "test" if name in test else "val" if name in val else "train" for name in names}
    else:
        fractions = _checked((0.8, 0.1, 0.1) if fractions is None else fractions)
        shuffled = np.random.default_rng(seed).permutation(len(names))
        part_of = {}
        for part, chosen in zip(SPLIT_PARTS, np.split(shuffled, _cuts(len(names), fractions)), strict=True):
            part_of |= {names[k]: part for k in chosen}
    parts: dict[str, list[np.ndarray]] = {part: [] for part in SPLIT_PARTS}
    for trajectory in trajectories:
        parts[part_of[str(trajectory.name)]].append(_frames(dataset, trajectory)[0])
    return {part: _joined(pieces) for part, pieces in parts.items()}


def random(dataset: HDF5Dataset, fractions: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0) -> Split:
    """Frames at random. A warning where they come from trajectories, whose future this leaks."""
    fractions = _checked(fractions)
    if any(trajectory.name is not None and trajectory.count > 1 for trajectory in dataset.trajectories):
        warnings.warn(
            "a random split of frames from trajectories leaks: test frames lie between training frames; "
            "split by time or by trajectory to measure errors on new geometries",
            stacklevel=2,
        )
    shuffled = np.random.default_rng(seed).permutation(len(dataset))
    pieces = np.split(shuffled, _cuts(len(dataset), fractions))
    return {part: np.sort(piece) for part, piece in zip(SPLIT_PARTS, pieces, strict=True)}


def given(dataset: HDF5Dataset, parts: Mapping[str, Sequence[int] | np.ndarray]) -> Split:
    """Checked indices that were made elsewhere: inside the file, each frame in one part at most."""
    if unknown := sorted(set(parts) - set(SPLIT_PARTS)):
        raise ValueError(f"a split has the parts {', '.join(SPLIT_PARTS)}; given: {', '.join(unknown)}")
    split = {part: np.asarray(parts.get(part, ()), dtype=np.int64).reshape(-1) for part in SPLIT_PARTS}
    everything = np.concatenate(list(split.values()))
    if everything.size and (everything.min() < 0 or everything.max() >= len(dataset)):
        raise ValueError(f"a frame index of the split is outside the {len(dataset)} frames of {dataset.files}")
    if len(np.unique(everything)) != len(everything):
        raise ValueError("a frame is in the split more than once; train, val and test must not overlap")
    return split


def _checked(fractions: Sequence[float]) -> tuple[float, float, float]:
    values = tuple(float(each) for each in fractions)
    if (
        len(values) != 3
        or not all(np.isfinite(values))
        or min(values) < 0
        or abs(sum(values) - 1) > 1e-6
        or not values[0]
    ):
        raise ValueError(
            f"`fractions` are {' '.join(f'{each:g}' for each in values)}; three numbers from 0 to 1 for train, "
            f"val and test, with the sum 1 and train above 0, were expected"
        )
    return values


def _cuts(count: int, fractions: tuple[float, float, float]) -> list[int]:
    """Where to cut ``count`` things; a part with a fraction above 0 gets at least one where there are three or more."""
    first, second = round(count * fractions[0]), round(count * (fractions[0] + fractions[1]))
    if count >= 3:
        least = [int(fraction > 0) for fraction in fractions]
        first = min(max(first, least[0]), count - least[1] - least[2])
        second = min(max(second, first + least[1]), count - least[2])
    return [first, second]


def _known(dataset: HDF5Dataset, how: str) -> list[Trajectory]:
    """The trajectories, if every frame is in one."""
    if not dataset.trajectories:
        raise ValueError(f"{dataset.files} has no frames to split")
    unordered = sum(each.count for each in dataset.trajectories if each.name is None)
    if unordered:
        raise ValueError(
            f"{unordered} of the {len(dataset)} frames of {dataset.files} do not say which trajectory they are "
            f"of, so they cannot be split {how}; split at random, or keep the given split"
        )
    return list(dataset.trajectories)


def _frames(dataset: HDF5Dataset, trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Global indices and times (fs, NaN unknown) of a trajectory's frames."""
    system = dataset.systems[trajectory.system]
    rows = slice(trajectory.first, trajectory.first + trajectory.count)
    indices = system.first + np.arange(trajectory.first, trajectory.first + trajectory.count)
    return indices, system.read("time", rows) if system.has("time") else np.full(trajectory.count, np.nan)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(pieces)) if pieces else np.zeros(0, dtype=np.int64)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
