"""How far the members of a committee are apart on structures, and what kind of structures these are to a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mlff.data.frame import Frame
from mlff.graph import build_graph, collate
from mlff.potential.potential import Potential

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Disagreement:
    """Of the members of a committee on F structures in S states; standard deviations have M - 1 of M members."""

    forces: Floats
    """eV/angstrom ``[F, S]``: the largest over the atoms of the standard deviation of its force vector."""
    energy: Floats
    """eV ``[F, S]``, of the energy."""
    gap: Floats
    """eV ``[F, S - 1]``, of the gap between a state and the next."""
    descriptors: Floats
    """``[F, D]``: the first member's features, averaged over the atoms of each element; zero for one that is not there."""


def check_committee(members: Sequence[Potential]) -> None:
    """Raise ValueError where potentials are no committee: fewer than two, or of other elements or numbers of states."""
    if len(members) < 2:
        raise ValueError("one model cannot disagree with itself; give the folder of a committee (`mlff train --committee 4`), "
                         "or several models")
    kinds = {(each.species, each.num_states) for each in members}
    if len(kinds) > 1:
        raise ValueError(f"the members of a committee must know the same elements and states; these know {sorted(kinds)} "
                         f"(atomic numbers, number of states)")


def measure(
    frames: Sequence[Frame],
    members: Sequence[Potential],
    *,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> Disagreement:
    """The disagreement on structures, all members looking at a batch after the other.

    Where a result is not a finite number, all of a structure's numbers are NaN.

    Args:
        frames: at least one structure, of finite positions; labels that they have are not looked at.
        members: on one device.
        batch_size: structures computed at once.
        progress: called with the number of structures done after each batch.

    Raises:
        ValueError: no committee (see ``check_committee``), or an element that its members do not know.
    """
    check_committee(members)
    species = members[0].species
    unknown = sorted({int(z) for frame in frames for z in frame.atomic_numbers} - set(species))
    if unknown:
        raise ValueError(f"the models were not trained on {', '.join(chemical_symbols[z] for z in unknown)}; they know "
                         f"{', '.join(chemical_symbols[z] for z in species)}")
    parts = []
    for start in range(0, len(frames), batch_size):
        parts.append(_measure(frames[start : start + batch_size], members))
        if progress is not None:
            progress(min(start + batch_size, len(frames)))
    return Disagreement(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _measure(frames: Sequence[Frame], members: Sequence[Potential]) -> tuple[Floats, ...]:
    """The columns of `Disagreement` of a batch."""
    cutoff, device = max(each.cutoff for each in members), next(members[0].parameters()).device
    graphs = [
        build_graph(each.positions, each.atomic_numbers, cutoff, cell=each.cell, pbc=each.pbc, device=device) for each in frames
    ]
    graph = collate(graphs)
    results = [each(graph, properties=False) for each in members]
    energies = torch.stack([each["energy"] for each in results]).cpu().numpy()  # [M, F, S]
    forces = torch.stack([each["forces"] for each in results]).double().cpu().numpy()  # [M, N, S, 3]
    owner = graph.batch.cpu().numpy()
    with np.errstate(invalid="ignore"):
        lengths = np.sqrt(forces.var(axis=0, ddof=1).sum(axis=2))  # [N, S]
        largest = np.full(energies.shape[1:], -np.inf)
        np.maximum.at(largest, owner, lengths)
        spread, gaps = energies.std(axis=0, ddof=1), np.diff(energies, axis=2).std(axis=0, ddof=1)
    with torch.no_grad():
        features = members[0].descriptors(graph).double().cpu().numpy()
    columns = (largest, spread, gaps, _means(features, graph.atomic_numbers.cpu().numpy(), owner, members[0].species))
    bad = ~np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in columns])
    for values in columns:
        values[bad] = np.nan
    return columns


def _means(features: Floats, numbers: NDArray[np.int64], owner: NDArray[np.int64], species: Sequence[int]) -> Floats:
    """Means over the atoms of each element, ``[F, E * features]``."""
    count = int(owner.max()) + 1
    found = np.zeros((count, len(species), features.shape[1]))
    for k, element in enumerate(species):
        its = numbers == element
        np.add.at(found[:, k], owner[its], features[its])
        found[:, k] /= np.maximum(np.bincount(owner[its], minlength=count), 1)[:, None]
    return found.reshape(count, -1)
