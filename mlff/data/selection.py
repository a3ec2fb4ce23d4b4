"""Selection: criteria that frames meet or not, checked in words and tried on many frames at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlff.data.system import System

if TYPE_CHECKING:
    from mlff.data.dataset import HDF5Dataset

_BLOCK_BYTES = 1 << 24  # of the largest quantity that criteria look at, read at a time

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
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return [getattr(self, f"_{name}")(dataset, value) for name, value in given.items() if value is not None]

    def _system(self, dataset: HDF5Dataset, value: object) -> Test:
        names = known_names("system", _values(value), [system.name for system in dataset.systems], dataset)
        return lambda system, rows: np.full(len(rows), system.name in names)

    def _trajectories(self, dataset: HDF5Dataset, value: object) -> Test:
        held = [each.name for each in dataset.trajectories]
        names = known_names("trajectory", _values(value), [name for name in held if name], dataset)
        wanted = np.flatnonzero([name in names for name in held])
        return lambda system, rows: np.isin(system.read("trajectory", rows) + system.first_trajectory, wanted)

    def _time(self, dataset: HDF5Dataset, value: object) -> Test:
        first, last = _window("time", value, "fs")
        _needed(dataset, "time", "time")

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            values = system.read("time", rows)
            return (values >= first) & (values <= last)

        return _where_known("time", test)

    def _active_state(self, dataset: HDF5Dataset, value: object) -> Test:
        states = _states("active_state", value, dataset)
        _needed(dataset, "active_state", "active_state")
        return _where_known("active_state", lambda system, rows: np.isin(system.read("active_state", rows), states))

    def _states(self, dataset: HDF5Dataset, value: object) -> Test:
        return _all_known("states", "energy", value, dataset)

    def _forces_of(self, dataset: HDF5Dataset, value: object) -> Test:
        return _all_known("forces_of", "forces", value, dataset)

    def _gap(self, dataset: HDF5Dataset, value: object) -> Test:
        given = _values(value)
        if len(given) != 3 or given[0] == given[1] or not (_is_number(given[2]) and given[2] >= 0):
            raise ValueError(
                f"`gap` is {given}; two different states and the largest difference of their energies in eV were "
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

    def _energy_window(self, dataset: HDF5Dataset, value: object) -> Test:
        lowest, highest = _window("energy_window", value, "eV")
        wanted = None if self.states is None else _states("states", self.states, dataset)
        _needed(dataset, "energy", "energy_window")
        zero = cache(_lowest_energy)

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            energy = _energies(system, rows)[:, _columns(wanted, system)] - zero(system)
            outside = (energy < lowest) | (energy > highest)
            return np.logical_and(np.isfinite(energy).any(axis=1), ~outside.any(axis=1))

        return _where_known("energy", test)

    def _max_force(self, dataset: HDF5Dataset, value: float) -> Test:
        if not (_is_number(value) and value >= 0):
            raise ValueError(f"`max_force` is {value!r}; the longest force on an atom in eV/angstrom was expected, such as 20")
        wanted = None if self.states is None else _states("states", self.states, dataset)
        _needed(dataset, "forces", "max_force")

        def test(system: System, rows: np.ndarray) -> np.ndarray:
            columns = _columns(wanted, system)
            forces = system.read("forces", rows)[:, :, columns].astype(np.float64)
            valid = system.read("forces_valid", rows)[:, columns]
            longest = np.sqrt(np.einsum("fasx,fasx->fas", forces, forces)).max(1)
            return np.logical_and((np.where(valid, longest, 0.0) <= value).all(axis=1), valid.any(axis=1))

        return _where_known("forces", test)


def matching(dataset: HDF5Dataset, indices: np.ndarray, criteria: Criteria) -> np.ndarray:
    """Whether each of the frames at these global indices meets all criteria: bool ``[len(indices)]``."""
    tests = criteria.tests(dataset)
    owner, rows = dataset.locate(indices)
    met = np.zeros(len(indices), bool)
    for k in np.unique(owner):
        places = np.flatnonzero(owner == k)
        places = places[np.argsort(rows[places], kind="stable")]  # files are read fastest in their order
        size = _block_size(dataset.systems[k])
        for first in range(0, len(places), size):
            left = places[first : first + size]
            for test in tests:
                left = left[test(dataset.systems[k], rows[left])]
            met[left] = True
    return met


def spread(indices: np.ndarray, count: int | None) -> np.ndarray:
    """`count` of the indices, evenly spaced; all of them where it is None or larger."""
    if count is None or count >= len(indices):
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(np.int64)]


def known_names(kind: str, wanted: Iterable[object], held: Iterable[str], dataset: HDF5Dataset) -> set[str]:
    """The wanted names, if the dataset holds them all; else a ValueError that says what it holds."""
    names, held = {str(name) for name in wanted}, dict.fromkeys(held)
    for name in sorted(names - set(held)):
        if same := [each for each in held if each.startswith(f"{name}@")]:
            raise ValueError(f"several files have a {kind} {name!r}; name the one that is meant: {_some(same)}")
        raise ValueError(f"{dataset.files} has no {kind} {name!r}; it has: {_some(held)}")
    return names


def _some(names: Iterable[str]) -> str:
    each = list(names)
    return (", ".join(each[:8]) or "none") + (f" and {len(each) - 8} more" if len(each) > 8 else "")


def _values(value: object) -> list[Any]:
    """One value or several as a list."""
    return [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and value == value


def _states(name: str, value: object, dataset: HDF5Dataset) -> list[int]:
    """States that some system has."""
    states = _values(value)
    if not states or not all(isinstance(state, (int, np.integer)) and state >= 0 for state in states):
        raise ValueError(f"`{name}` is {value!r}; states were expected, whole numbers from 0 on, such as 0 or [0, 1]")
    if max(states) >= dataset.num_states:
        raise ValueError(
            f"`{name}` asks for state {max(states)}, but {dataset.files} has {dataset.num_states} state(s), counted from 0"
        )
    return [int(state) for state in states]


def _window(name: str, value: object, unit: str) -> tuple[float, float]:
    """Lowest and highest value, infinite where None."""
    given = _values(value)
    ends = [end if each is None else each for each, end in zip(given, (-np.inf, np.inf))]
    if len(given) != 2 or not all(map(_is_number, ends)) or ends[0] > ends[1]:
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


def _all_known(name: str, quantity: str, value: object, dataset: HDF5Dataset) -> Test:
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


def _lowest_energy(system: System) -> float:
    """Of state 0 among all frames of the system, eV; NaN where none is known."""
    size, lowest = _block_size(system), np.nan
    for first in range(0, system.num_frames, size):
        energy = _energies(system, slice(first, min(first + size, system.num_frames)))[:, 0]
        lowest = float(np.fmin(lowest, np.fmin.reduce(energy)))
    return lowest


def _block_size(system: System) -> int:
    """Frames whose largest quantity is read at a time."""
    largest = max((system.frame_bytes(name) for name in ("energy", "forces") if system.has(name)), default=1)
    return max(1, _BLOCK_BYTES // max(1, largest))
