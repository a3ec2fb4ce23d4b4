"""Statistics of the training frames: least-squares atomic reference energies, and the root mean square force."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from mlff.data.dataset import HDF5Dataset
from mlff.data.view import HDF5View

_BLOCK = 4096  # frames read at a time


class AtomicEnergies(dict[int, float]):
    """Atomic number -> reference energy in eV.

    ``determined`` tells whether the compositions fix every energy by itself (they fix the sums in any case), and
    ``residual_rms`` what the reference energies leave, in eV per frame.
    """

    def __init__(self, energies: dict[int, float], *, determined: bool, residual_rms: float) -> None:
        super().__init__(energies)
        self.determined = determined
        self.residual_rms = residual_rms


def fit_atomic_energies(numbers: Sequence[np.ndarray], energies: np.ndarray) -> AtomicEnergies:
    """Least-squares energies of the elements, in float64, from total energies.

    ``numbers`` are the atomic numbers of each frame, ``energies`` its total energies in eV, ``[B]`` or ``[B,S]``: one
    set for all states; NaN entries are left out. Where the compositions do not determine the energies of the elements
    (one molecule: only one sum is known) the solution of minimum norm is taken, and a warning says so.
    """
    table = np.asarray(energies, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if len(numbers) != len(table):
        raise ValueError(f"{len(numbers)} compositions were given for {len(table)} energies")
    groups: dict[bytes, list[int]] = {}
    for index, each in enumerate(numbers):
        groups.setdefault(np.asarray(each, dtype=np.int64).tobytes(), []).append(index)
    compositions = [np.frombuffer(key, dtype=np.int64) for key in groups]
    return _solve(compositions, [table[rows] for rows in groups.values()])


def fit_dataset(dataset: HDF5Dataset | HDF5View, indices: np.ndarray | None = None) -> AtomicEnergies:
    """``fit_atomic_energies`` for frames of a file (all of them, or the given indices): its training frames, say."""
    dataset, chosen = _resolve(dataset, indices)
    owner, rows = dataset.locate(chosen)
    compositions, tables = [], []
    for k in np.unique(owner):
        system = dataset.systems[k]
        if not system.has("energy"):
            continue
        own = rows[owner == k]
        compositions.append(system.atomic_numbers.astype(np.int64))
        tables.append(np.where(system.read("energy_valid", own), system.read("energy", own), np.nan))
    return _solve(compositions, tables)


def force_rms(dataset: HDF5Dataset | HDF5View, indices: np.ndarray | None = None) -> float:
    """Root mean square of the force components in eV/angstrom over frames (all, or the given indices) and states.

    Masked forces are left out; without any force it is a ValueError.
    """
    dataset, chosen = _resolve(dataset, indices)
    owner, rows = dataset.locate(chosen)
    total, count = 0.0, 0
    for k in np.unique(owner):
        system = dataset.systems[k]
        if not system.has("forces"):
            continue
        own = np.sort(rows[owner == k])
        for first in range(0, len(own), _BLOCK):
            block = own[first : first + _BLOCK]
            valid = system.read("forces_valid", block)
            forces = system.read("forces", block).astype(np.float64).transpose(0, 2, 1, 3)[valid]
            total += float(np.einsum("fax,fax->", forces, forces))
            count += forces.size
    if not count:
        raise ValueError(
            f"none of the {len(chosen)} frames of {dataset.files} has forces, so they have no RMS; "
            f"import them again with `--forces-key`"
        )
    return float(np.sqrt(total / count))


def _resolve(dataset: HDF5Dataset | HDF5View, indices: np.ndarray | None) -> tuple[HDF5Dataset, np.ndarray]:
    """The file, and global indices in it."""
    if isinstance(dataset, HDF5View):
        return dataset.dataset, dataset.indices if indices is None else dataset.indices[np.asarray(indices)]
    return dataset, np.arange(len(dataset)) if indices is None else np.asarray(indices)


def _solve(compositions: list[np.ndarray], tables: list[np.ndarray]) -> AtomicEnergies:
    """Weighted least squares over distinct compositions: the same as over all frames, without their number."""
    kept = [(numbers, table[np.isfinite(table)]) for numbers, table in zip(compositions, tables, strict=True)]
    kept = [(numbers, values) for numbers, values in kept if values.size]
    if not kept:
        raise ValueError(
            "no frame has an energy, so reference energies cannot be fitted; give them, or import the data "
            "again with `--energy-key`"
        )
    elements = np.unique(np.concatenate([numbers for numbers, _ in kept]))
    counts = np.array([[(numbers == z).sum() for z in elements] for numbers, _ in kept], dtype=np.float64)
    weights = np.sqrt([values.size for _, values in kept])
    means = np.array([values.mean() for _, values in kept])
    solution, _, rank, _ = np.linalg.lstsq(counts * weights[:, None], means * weights, rcond=None)
    determined = int(rank) == len(elements)
    if not determined:
        warnings.warn(
            f"{len(kept)} composition{'s' * (len(kept) > 1)} cannot determine the reference energies of the elements "
            f"Z = {', '.join(map(str, elements))}; the least-squares solution of minimum norm is used: the totals of "
            f"these compositions are right, those of others and of single atoms are not",
            stacklevel=3,
        )
    left = [values - row @ solution for (_, values), row in zip(kept, counts, strict=True)]
    rms = float(np.sqrt(np.mean(np.concatenate(left) ** 2)))
    return AtomicEnergies(
        {int(z): float(e) for z, e in zip(elements, solution, strict=True)}, determined=determined, residual_rms=rms
    )
