"""select: of many structures those to label next, where the members of a committee disagree and which are unlike each other."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from ase.io.extxyz import write_xyz
from numpy.typing import NDArray

from mlff.data.rewrite import beside, refuse_source, removed_on_error
from mlff.label.disagreement import Disagreement, check_committee, measure
from mlff.label.structures import Source, Structure, read_structures
from mlff.potential.potential import Potential

Criterion = Literal["forces", "energy", "gap"]
UNITS = {"forces": "eV/Å", "energy": "eV", "gap": "eV"}
POOL = 10
ALIKE = 1e-3
"""Structures nearer than this, in units of the spread of all, are one."""


@dataclass(frozen=True)
class Selection:
    """K structures that were picked among many, in the order in which they were."""

    structures: tuple[Structure, ...]
    disagreement: Disagreement
    """Of these structures."""
    distances: NDArray[np.float64]
    """``[K]``: of the descriptors to those of the nearest structure picked before, in units of the spread of all looked at;
    infinite for the first."""
    by: Criterion
    values: NDArray[np.float64]
    """``[K]``: the criterion, the largest over the states that were asked about."""
    all_values: NDArray[np.float64]
    """``[F]``: the same of all structures; NaN where a member gave no finite number."""
    below: int
    """Structures under the window ..."""
    above: int
    """... and over it, or without a finite number."""


def select(
    structures: Sequence[Source],
    members: Sequence[Potential],
    *,
    count: int,
    by: Criterion = "forces",
    states: Sequence[int] | None = None,
    min_disagreement: float = 0.0,
    max_disagreement: float | None = None,
    pool: int = POOL,
    every: int = 1,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Pick structures to label next.

    Of those whose disagreement is inside the window the ``pool * count`` with the largest are kept. The one with the largest
    of all is picked first, then always the one that is farthest from all that are picked (farthest-point sampling: Eldar,
    Lindenbaum, Porat and Zeevi, IEEE Trans. Image Process. 6, 1305, 1997), by the features of the first member, averaged over
    the atoms of each element. Structures that are alike are picked once, so fewer than ``count`` may come out.

    Args:
        structures: files or Atoms, as `mlff.label.label` takes them.
        members: of a committee, on one device.
        count: how many to pick.
        by: ``forces``: the largest standard deviation of the force on an atom (eV/angstrom); ``energy``; or ``gap``: that
            of the difference between neighbouring states (eV).
        states: whose forces, energies or gaps count; all by default.
        min_disagreement, max_disagreement: the window; what is above it is taken for broken chemistry.
        pool: how many times ``count`` structures diversity chooses from.
        every: look at every so-many-th structure of each source.
        batch_size: structures computed at once.
        progress: called with the structures done and all of them.

    Raises:
        ValueError: arguments out of range, no committee, structures that cannot be read or that its members do not know, or
            none inside the window.
    """
    _check(members, count, by, states, min_disagreement, max_disagreement, pool, every, batch_size)
    found = list(read_structures(structures, every=every))
    finite = np.array([np.isfinite(each.frame.positions).all() for each in found], dtype=bool)
    if not finite.any():
        raise ValueError(f"there is nothing to choose from: none of {len(found)} structures has finite positions")
    whole = [each for each, fine in zip(found, finite, strict=True) if fine]
    told = None if progress is None else lambda done: progress(done, len(whole))
    measured = measure([each.frame for each in whole], members, batch_size=batch_size, progress=told)
    values = criterion(measured, by, states)
    top = math.inf if max_disagreement is None else max_disagreement
    inside = np.flatnonzero((values >= min_disagreement) & (values <= top))
    below = int((values < min_disagreement).sum())
    if not len(inside):
        known = values[np.isfinite(values)]
        reach = f"they reach from {known.min():.3g} to {known.max():.3g}" if len(known) else "none has a finite one"
        raise ValueError(f"no disagreement of the {len(values)} structures is between {min_disagreement:g} and {top:g} "
                         f"{UNITS[by]}: {reach}")
    kept = inside[np.argsort(-values[inside], kind="stable")[: pool * count]]
    descriptors = measured.descriptors[inside]
    spread = float(np.sqrt(((descriptors - descriptors.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0
    order, distances = farthest_points(measured.descriptors[kept] / spread, count, nearest=ALIKE)
    picked = kept[order]
    return Selection(
        tuple(whole[k] for k in picked),
        Disagreement(measured.forces[picked], measured.energy[picked], measured.gap[picked], measured.descriptors[picked]),
        distances, by, values[picked], np.concatenate([values, np.full((~finite).sum(), np.nan)]), below,
        len(found) - below - len(inside),
    )  # fmt: skip


def criterion(measured: Disagreement, by: Criterion, states: Sequence[int] | None = None) -> NDArray[np.float64]:
    """``[F]``: the largest over the states; of the gaps, of those to a neighbour that one of the states has."""
    values = getattr(measured, by)
    if states is not None:
        chosen = {k for state in states for k in ((state - 1, state) if by == "gap" else (state,))}
        values = values[:, sorted(k for k in chosen if 0 <= k < values.shape[1])]
    return np.asarray(values.max(axis=1))


def farthest_points(
    points: NDArray[np.float64], count: int, *, nearest: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of ``points`` ``[F, D]``, the first row first, then always the one farthest from all before it; and how far it was.

    Ends after ``count`` rows, or where all that are left are within ``nearest`` of one that was taken.
    """
    rows, distances = [0], [math.inf]
    to_nearest = np.linalg.norm(points - points[0], axis=1)
    while len(rows) < count:
        farthest = int(to_nearest.argmax())
        if to_nearest[farthest] <= nearest:
            break
        rows.append(farthest)
        distances.append(float(to_nearest[farthest]))
        to_nearest = np.minimum(to_nearest, np.linalg.norm(points - points[farthest], axis=1))
    return np.array(rows, dtype=np.int64), np.array(distances)


def write_selection(path: str | os.PathLike[str], selection: Selection) -> None:
    """Write the structures as extended xyz, which `mlff label` reads: where each is from, and the disagreement there.

    In the comment line: ``source`` and ``place`` (number in it, from 0), what is known of ``trajectory``, ``step``, ``time``,
    ``charge`` and ``multiplicity``, and ``forces_disagreement``, ``energy_disagreement`` and ``gap_disagreement`` of each
    state (of each gap).

    Raises:
        ValueError: another ending than .xyz or .extxyz.
    """
    path = Path(path)
    check_output(path)
    measured = selection.disagreement
    aside = beside(path)
    with removed_on_error(aside, path):
        with open(aside, "w", encoding="utf-8") as file:
            for k, each in enumerate(selection.structures):
                atoms = each.frame.to_ase()
                atoms.info |= {"source": Path(each.source).name, "place": each.place}
                if each.multiplicity is not None:
                    atoms.info["multiplicity"] = each.multiplicity
                for name in ("forces", "energy", "gap"):
                    if getattr(measured, name).shape[1]:
                        atoms.info[f"{name}_disagreement"] = np.round(getattr(measured, name)[k], 6)
                write_xyz(file, atoms)
        os.replace(aside, path)


def check_output(path: Path, *, overwrite: bool = True, sources: Sequence[str] = ()) -> None:
    """Raise ValueError where a selection cannot be written."""
    if path.suffix not in (".xyz", ".extxyz"):
        raise ValueError(f"`{path}` does not end in .xyz or .extxyz, the format that a selection is written in")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already; choose another name, or give `--overwrite`")
    refuse_source(path, sources)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; make it first")


def _check(
    members: Sequence[Potential], count: int, by: str, states: Sequence[int] | None, lowest: float, highest: float | None,
    pool: int, every: int, batch_size: int,
) -> None:  # fmt: skip
    for name, value in (("count", count), ("pool", pool), ("every", every), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` is {value}; give a whole number, 1 or more")
    if by not in get_args(Criterion):
        raise ValueError(f"`by` is {by!r}; choose one of {', '.join(get_args(Criterion))}")
    if not (math.isfinite(lowest) and lowest >= 0):
        raise ValueError(f"the smallest disagreement is {lowest}; give 0 or more")
    if highest is not None and not highest > lowest:
        raise ValueError(f"the window of disagreement ends at {highest:g}, not above its beginning, {lowest:g}")
    check_committee(members)
    num_states = members[0].num_states
    if by == "gap" and num_states < 2:
        raise ValueError("the models have one electronic state and so no gap; choose by forces or energy")
    if states is not None and (not states or not all(0 <= state < num_states for state in states)):
        raise ValueError(f"`states` are {list(states)}; the models have the states 0 to {num_states - 1}")
