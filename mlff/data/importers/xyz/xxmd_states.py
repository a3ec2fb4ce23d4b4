"""Files of one electronic state each (xxMD: ``X_train_s0.xyz``, ``X_train_s1.xyz``, ...) become frames of all states.

Frames are the same where no coordinate differs by more than a tolerance. Candidates are found by projections: a weighted
mean of the coordinates cannot differ by more than the coordinates do, and numbers can be sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlff.data.importers.xyz.frame_block import FrameBlock
from mlff.data.importers.xyz.spill import Index, Spill

TOLERANCE = 1e-4  #: angstrom
_NUM_PROJECTIONS = 4
_CHUNK = 4096  # frames held at a time


@dataclass
class Merged:
    """Frames of all states in a spill of their own, and what was found on the way."""

    spill: Spill
    states: list[int]  #: state of the sources -> its place among the S
    problems: list[str] = field(default_factory=list)


def merge_states(spill: Spill, state: Sequence[int], part: Sequence[int], scratch: Path | None) -> Merged | None:
    """Bring together frames of equal geometry whose members (files) are of different states and the same part.

    ``state`` and ``part`` are of each member; the members of the result are the parts. None where no geometry is in the
    files of two states, so that the files are no states of one set of geometries.
    """
    index = spill.index()
    states = sorted(set(state))
    compositions: dict[bytes, int] = {}
    composition = np.array([compositions.setdefault(own.numbers, len(compositions)) for own in spill.owners])
    frame_state = np.searchsorted(states, np.array(state))[index.member]
    place = np.stack([np.array(part)[index.member], composition[index.owner]], axis=1)
    points = _projections(spill, index)
    found = np.full((0, len(states)), -1, dtype=np.int64)  # frame of each state, a row a geometry
    problems, num_shared = [], 0
    for k in range(len(states)):
        own = np.flatnonzero(frame_state == k)
        twins = np.unique([i for i, j in _equal(spill, index, points, place[:, 1:], own, own) if j < i])
        if len(twins):
            problems.append(f"state {states[k]}: {len(twins)} frames have the geometry of an earlier one")
        first = np.array([row[row >= 0][0] for row in found], dtype=np.int64)
        row_of = {int(frame): row for row, frame in enumerate(first)}
        left = dict.fromkeys(own.tolist())
        for i, j in _equal(spill, index, points, place, own, first):
            if i in left and found[row_of[j], k] < 0:
                found[row_of[j], k] = i
                del left[i]
                num_shared += 1
        new = np.full((len(left), len(states)), -1, dtype=np.int64)
        new[:, k] = list(left)
        found = np.concatenate([found, new])
    if not num_shared and len(states) > 1:
        return None
    for k in range(len(states)):
        if missing := int((found[:, k] < 0).sum()):
            problems.append(f"state {states[k]}: {missing} of {len(found)} geometries are not in its files: masked")
    merged = Spill(scratch)
    try:
        for number, block in _blocks(spill, index, found, np.array(part)):
            merged.add(block, number)
    except BaseException:
        merged.close()
        raise
    return Merged(merged.finish(), states, problems)


def _projections(spill: Spill, index: Index) -> np.ndarray:
    """f8 [F, K]: weighted means of the coordinates of each frame, with weights whose magnitudes sum to one."""
    result = np.empty((len(index), _NUM_PROJECTIONS))
    owners = list(spill.owners)
    for rows in _batches(index.owner):
        num_atoms = len(owners[index.owner[rows[0]]].numbers) // 2
        weights = np.random.default_rng(num_atoms).standard_normal((3 * num_atoms, _NUM_PROJECTIONS))
        weights /= np.abs(weights).sum(axis=0)
        result[rows] = spill.columns(index[rows], 1, ("positions",))["positions"].reshape(len(rows), -1) @ weights
    return result


def _equal(
    spill: Spill, index: Index, points: np.ndarray, place: np.ndarray, these: np.ndarray, those: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Pairs of frames, one of ``these`` and one of ``those``, with the same place and geometry; the order is theirs."""
    order = those[np.argsort(points[those, 0], kind="stable")]
    for start in range(0, len(these), _CHUNK):
        own = these[start : start + _CHUNK]
        low = np.searchsorted(points[order, 0], points[own, 0] - TOLERANCE)
        high = np.searchsorted(points[order, 0], points[own, 0] + TOLERANCE, side="right")
        counts = high - low
        i = np.repeat(own, counts)
        j = order[np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)]
        close = (np.abs(points[i] - points[j]) <= TOLERANCE).all(axis=1) & (i != j)
        close &= (place[i] == place[j]).all(axis=1)
        i, j = i[close], j[close]
        for first in range(0, len(i), _CHUNK):
            pairs = slice(first, first + _CHUNK)
            distance = _distances(spill, index, i[pairs], j[pairs])
            sure = np.lexsort((j[pairs], distance.round(6), i[pairs]))
            yield from ((int(i[pairs][k]), int(j[pairs][k])) for k in sure if distance[k] <= TOLERANCE)


def _distances(spill: Spill, index: Index, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Largest difference of a coordinate of frames of the same composition."""
    result = np.empty(len(i))
    for rows in _batches(np.array([index.owner[i], index.owner[j]]).T):
        a, b = (spill.columns(index[each[rows]], 1, ("positions",))["positions"] for each in (i, j))
        result[rows] = np.abs(a - b).reshape(len(rows), -1).max(axis=1)
    return result


def _blocks(spill: Spill, index: Index, found: np.ndarray, part: np.ndarray) -> Iterator[tuple[int, FrameBlock]]:
    """The merged frames as blocks, each with its part."""
    first = np.array([row[row >= 0][0] for row in found], dtype=np.int64)
    owners = list(spill.owners)
    num_states = found.shape[1]
    parts = part[index.member[first]]
    for rows in _batches(np.stack([index.owner[first], parts], axis=1)):
        owner = owners[index.owner[first[rows[0]]]]
        columns = spill.columns(index[first[rows]], 1)
        shapes = {
            "energy": (num_states,),
            "forces": (len(owner.numbers) // 2, num_states, 3),
            "stress": (num_states, 6),
        }
        states: dict[str, np.ndarray] = {}
        for k in range(num_states):
            has = np.flatnonzero(found[rows, k] >= 0)
            own = spill.columns(index[found[rows[has], k]], 1) if len(has) else {}
            for name in shapes.keys() & own.keys():
                target = states.setdefault(name, np.full((len(rows), *shapes[name]), np.nan))
                if name == "forces":
                    target[has, :, k] = own[name][:, :, 0]
                else:
                    target[has, k] = own[name][:, 0]
        block = FrameBlock(
            np.frombuffer(owner.numbers, dtype=np.int16),
            {name: values for name, values in columns.items() if name not in shapes} | states,
            [owner.trajectory] * len(rows),
            owner.masses,
            owner.charge,
            owner.level_of_theory,
        )
        yield int(parts[rows[0]]), block


def _batches(key: np.ndarray) -> Iterator[np.ndarray]:
    """Rows with equal keys, in their order, at most a chunk of them at a time."""
    if not len(key):
        return
    _, which = np.unique(key, axis=0, return_inverse=True)
    order = np.argsort(which, kind="stable")
    bounds = [0, *(np.flatnonzero(np.diff(which[order])) + 1).tolist(), len(order)]
    for start, stop in zip(bounds, bounds[1:]):
        for at in range(start, stop, _CHUNK):
            yield order[at : min(at + _CHUNK, stop)]
