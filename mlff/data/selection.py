"""Selection: criteria that frames meet or not, checked in words and tried on many frames at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from mlff.data.system import System

if TYPE_CHECKING:
    from mlff.data.dataset import HDF5Dataset

_BLOCK_BYTES = 1 << 24  # of one quantity read at a time

Test = Callable[[System, np.ndarray], np.ndarray]
"""System and rows of it -> bool, whether each meets a criterion."""


@dataclass(frozen=True)
class Criteria:
    """What frames are asked for; None asks for nothing. `mlff.data.view.Frames.select` says what each means."""

    system: str | Sequence[str] | None = None
    trajectories: str | Sequence[str] | None = None
    time: tuple[float | None, float | None] | None = None
    active_state: int | Sequence[int] | None = None
    states: int | Sequence[int] | None = None
    forces_of: int | Sequence[int] | None = None
    gap: tuple[int, int, float] | None = None
    energy_window: tuple[float | None, float | None] | None = None
    max_force: float | None = None

    def tests(self, dataset: HDF5Dataset) -> list[Test]:
        """A test for each criterion given, the quick ones first.

        Raises:
            ValueError: a name, state or quantity that the dataset does not have, or a value that is none.
        """
        return [
            getattr(self, f"_{each.name}")(dataset) for each in fields(self) if getattr(self, each.name) is not None
        ]

    def _system(self, dataset: HDF5Dataset) -> Test:
        names = known_names("system", _several(self.system), [system.name for system in dataset.systems], dataset)
        return lambda system, rows: np.full(len(rows), system.name in names)

    def _trajectories(self, dataset: HDF5Dataset) -> Test:
        held = [each.name for each in dataset.trajectories]
        names = known_names("trajectory", _several(self.trajectories), [name for name in held if name], dataset)
        wanted = np.flatnonzero([name in names for name in held])
        return lambda system, rows: np.isin(system.read("trajectory", rows) + system.first_trajectory, wanted)

    def _time(self, dataset: HDF5Dataset) -> Test:
        first, last = _window("time", self.time, "fs")
        _needed(dataset, "time", "time")

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            values = system.read("time", rows)
            return (values >= first) & (values <= last)

        return _where_known("time", test)

    def _active_state(self, dataset: HDF5Dataset) -> Test:
        states = _states("active_state", self.active_state, dataset)
        _needed(dataset, "active_state", "active_state")
        return _where_known("active_state", lambda system, rows: np.isin(system.read("active_state", rows), states))

    def _states(self, dataset: HDF5Dataset) -> Test:
        return _all_known("states", "energy", self.states, dataset)

    def _forces_of(self, dataset: HDF5Dataset) -> Test:
        return _all_known("forces_of", "forces", self.forces_of, dataset)

    def _gap(self, dataset: HDF5Dataset) -> Test:
        given = tuple(self.gap or ())
        if len(given) != 3 or given[0] == given[1] or not given[2] >= 0:
            raise ValueError(
                f"`gap` is {list(given)}; two different states and the largest difference of their energies in eV were "
                f"expected, such as 0, 1, 0.5"
            )
        i, j = _states("gap", given[:2], dataset)
        _needed(dataset, "energy", "gap")

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            if max(i, j) >= system.num_states:
                return np.zeros(len(rows), bool)
            energy = _energies(system, rows)
            return np.less_equal(np.abs(energy[:, i] - energy[:, j]), given[2])

        return _where_known("energy", test)

    def _energy_window(self, dataset: HDF5Dataset) -> Test:
        lowest, highest = _window("energy_window", self.energy_window, "eV")
        wanted = None if self.states is None else _states("states", self.states, dataset)
        _needed(dataset, "energy", "energy_window")

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            energy = _energies(system, rows)[:, _columns(wanted, system)] - _zero(system)
            outside = (energy < lowest) | (energy > highest)
            return np.logical_and(np.isfinite(energy).any(axis=1), ~outside.any(axis=1))

        return _where_known("energy", test)

    def _max_force(self, dataset: HDF5Dataset) -> Test:
        limit = self.max_force
        if limit is None or not limit >= 0:
            raise ValueError(f"`max_force` is {limit}; the longest force on an atom in eV/angstrom was expected, such as 20")
        wanted = None if self.states is None else _states("states", self.states, dataset)
        _needed(dataset, "forces", "max_force")

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            columns = _columns(wanted, system)
            met = np.zeros(len(rows), bool)
            for block in _blocks(system, "forces", len(rows)):
                forces = system.read("forces", rows[block])[:, :, columns].astype(np.float64)
                valid = system.read("forces_valid", rows[block])[:, columns]
                longest = np.sqrt(np.einsum("fasx,fasx->fas", forces, forces)).max(1)
                met[block] = (np.where(valid, longest, 0.0) <= limit).all(1) & valid.any(1)
            return met

        return _where_known("forces", test)


def matching(dataset: HDF5Dataset, indices: np.ndarray, criteria: Criteria) -> np.ndarray:
    """Whether each of the frames at these global indices meets all criteria: bool ``[len(indices)]``."""
    tests = criteria.tests(dataset)
    owner, rows = dataset.locate(indices)
    met = np.zeros(len(indices), bool)
    for k in np.unique(owner):
        places = np.flatnonzero(owner == k)
        places = places[np.argsort(rows[places], kind="stable")]  # files are read fastest in their order
        for test in tests:
            places = places[test(dataset.systems[k], rows[places])]
        met[places] = True
    return met


def known_names(kind: str, wanted: Sequence[str], held: Sequence[str], dataset: HDF5Dataset) -> set[str]:
    """The wanted names, if the dataset holds them all; else a ValueError that says what it holds."""
    for name in wanted:
        if name in held:
            continue
        if same := [each for each in dict.fromkeys(held) if each.startswith(f"{name}@")]:
            raise ValueError(f"several files have a {kind} {name!r}; name the one that is meant: {_some(same)}")
        raise ValueError(f"{dataset.files} has no {kind} {name!r}; it has: {_some(held)}")
    return set(wanted)


def _some(names: Iterable[str]) -> str:
    each = list(dict.fromkeys(names))
    return (", ".join(each[:8]) or "none") + (f" and {len(each) - 8} more" if len(each) > 8 else "")


def _several(value: str | Sequence[str] | None) -> Sequence[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value or ()]


def _states(name: str, value: int | Sequence[float] | None, dataset: HDF5Dataset) -> list[int]:
    """States that some system has."""
    states = [value] if isinstance(value, (int, np.integer)) else list(value or ())
    if not states or not all(isinstance(state, (int, np.integer)) and state >= 0 for state in states):
        raise ValueError(f"`{name}` is {value!r}; states were expected, whole numbers from 0 on, such as 0 or [0, 1]")
    if max(states) >= dataset.num_states:
        raise ValueError(
            f"`{name}` asks for state {max(states)}, but {dataset.files} has {dataset.num_states} state(s), counted from 0"
        )
    return [int(state) for state in states]


def _window(name: str, value: Sequence[float | None] | None, unit: str) -> tuple[float, float]:
    given = list(value or ())
    ends = [end if each is None else each for each, end in zip(given, (-np.inf, np.inf))]
    if len(given) != 2 or not ends[0] <= ends[1]:
        raise ValueError(
            f"`{name}` is {given}; the lowest and the highest value in {unit} were expected, such as 0, 10 (None: no end)"
        )
    return float(ends[0]), float(ends[1])


def _needed(dataset: HDF5Dataset, quantity: str, criterion: str) -> None:
    if not any(system.has(quantity) for system in dataset.systems):
        raise ValueError(f"`{criterion}` asks for `{quantity}`, which no frame of {dataset.files} has")


def _where_known(quantity: str, test: Test) -> Test:
    """The test where the system has the quantity; false where it has not."""
    return lambda system, rows: test(system, rows) if system.has(quantity) else np.zeros(len(rows), bool)


def _all_known(name: str, quantity: str, value: int | Sequence[int] | None, dataset: HDF5Dataset) -> Test:
    """Whether the quantity is known in all of the states."""
    states = _states(name, value, dataset)
    _needed(dataset, quantity, name)

    def test(system: System, rows: np.ndarray) -> np.ndarray:
        if max(states) >= system.num_states:
            return np.zeros(len(rows), bool)
        return np.all(system.read(f"{quantity}_valid", rows)[:, states], axis=1)

    return _where_known(quantity, test)


def _columns(wanted: list[int] | None, system: System) -> list[int]:
    return [state for state in range(system.num_states) if wanted is None or state in wanted]


def _energies(system: System, rows: np.ndarray | slice) -> np.ndarray:
    """Energies in eV ``[F,S]``, NaN where unknown."""
    return np.where(system.read("energy_valid", rows), system.read("energy", rows), np.nan)


def _zero(system: System) -> float:
    """Lowest energy of state 0 among all frames of the system, eV; NaN where none is known."""
    energy = _energies(system, slice(None))[:, 0]
    known = energy[~np.isnan(energy)]
    return float(known.min()) if known.size else np.nan


def _blocks(system: System, quantity: str, num_rows: int) -> Iterator[slice]:
    size = max(1, _BLOCK_BYTES // max(1, system.frame_bytes(quantity)))
    return (slice(first, first + size) for first in range(0, num_rows, size))
