"""What the keys and columns of extended xyz are: from their texts to columns of the native file.

Besides the common names there are those that tell electronic states apart: ``energy_0``, ``energy_1``, ... and the columns
``forces_0``, ``forces_1``, ..., or one key ``energies`` with the energies of all states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from ase.data import atomic_masses

from mlff.data.frame import ENERGY_KEYS, FORCES_KEYS
from mlff.data.importers.xyz.comment import POSITIONS, lattice, numbers_in, periodicity, voigt_stress
from mlff.units import ASE_VELOCITY

_TRAJECTORY_KEYS = ("trajectory", "traj", "trajectory_id", "traj_id")
_TIME_KEYS = ("time", "time_fs", "Time")
_STEP_KEYS = ("step", "md_step")
_SCALARS = ("kinetic_energy", "active_state", "hop")
_OTHER_KEYS = ("Properties", "Lattice", "pbc", "stress", "virial", "charge", "level_of_theory")
_MOST_STATES = 100
_NUMBERED = re.compile(r"(energy|forces|stress)_(\d{1,2})")

Values = Sequence[tuple[str, ...]]


class Quantities:
    """Reads the quantities of frames; the first whole frame with any decides which names hold energy and forces."""

    def __init__(self, energy_key: str | None, forces_key: str | None) -> None:
        self.energy_key = energy_key
        self.forces_key = forces_key
        self.several = False  #: energies and forces of numbered states are read
        self.unread: dict[str, None] = {}
        self._given = energy_key, forces_key

    def names(self) -> list[str]:
        """Which names energy and forces were read from, for people."""
        return [f"{what} from `{key}`" for what, key in self._found() if key]

    def key_of(self, what: str) -> str | None:
        """The name that ``energy`` or ``forces`` is read from."""
        return dict(self._found())[what]

    def read(self, keys: tuple[str, ...], values: Values, table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Columns of F frames with the same keys, from their values and the arrays ``[F, N, width]`` of their atoms.

        Beside the native columns there are ``masses`` [F,N] and ``charge`` [F] where the frames say them. Raises
        ValueError where a value cannot be read; then nothing has been chosen.
        """
        before = self.energy_key, self.forces_key, self.several, dict(self.unread)
        try:
            return self._read(keys, values, table)
        except ValueError:
            self.energy_key, self.forces_key, self.several, self.unread = before
            raise

    def _read(self, keys: tuple[str, ...], values: Values, table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        where = {key: k for k, key in enumerate(keys)}

        def texts(key: str) -> list[str]:
            return [value[where[key]] for value in values]

        self._choose(where, table, texts)
        known = {*_TRAJECTORY_KEYS, *_TIME_KEYS, *_STEP_KEYS, *_OTHER_KEYS}
        known_columns = {"species", "Z", *POSITIONS, "momenta", "masses", "velocities"}
        columns = {"positions": _vectors(table, next(name for name in POSITIONS if name in table))}
        if not np.isfinite(columns["positions"]).all():
            raise ValueError("a position is NaN or infinite")
        cell = _each(texts("Lattice"), lattice) if "Lattice" in where else None
        if cell is not None:
            columns["cell"] = cell
        pbc = texts("pbc") if "pbc" in where else [None] * len(values)
        columns["pbc"] = _each(pbc, lambda text: np.array(periodicity(text, has_cell=cell is not None)))
        columns |= self._states(where, texts, table, cell)
        for name, candidates in (("time", _TIME_KEYS), ("step", _STEP_KEYS)):
            key = next((key for key in candidates if key in where), None)
            if key is not None:
                read = [float(text) for text in texts(key)]
                columns[name] = np.array(read) if name == "time" else np.array(read).astype(np.int64)
        for key in _SCALARS:
            if key in where:
                try:
                    columns[key] = np.array([float(text) for text in texts(key)])
                    known.add(key)
                except ValueError:  # another program's key of this name
                    continue
                if key != "kinetic_energy":
                    columns[key] = columns[key].astype(np.int64)
        if "active_state" in columns:
            self._cover(columns, known)
        if "charge" in where:
            columns["charge"] = np.array([float(text) for text in texts("charge")])
        if "masses" in table:
            columns["masses"] = table["masses"][:, :, 0]
        if "velocities" in table:
            columns["velocities"] = _vectors(table, "velocities")
        elif "momenta" in table:
            columns["momenta"] = _vectors(table, "momenta")
        if self.several:
            known -= {"stress", "virial"}
        self._note_unread(where.keys() - known, table.keys() - known_columns)
        return columns

    # -- energies and forces ------------------------------------------------------------------------------------------

    def _choose(self, where: dict[str, int], table: dict[str, np.ndarray], texts: Callable[[str], list[str]]) -> None:
        if self._given == (None, None) and not self.several and self.energy_key is None and self.forces_key is None:
            states = [int(m[2]) for name in (*where, *table) if (m := _NUMBERED.fullmatch(name)) and m[1] != "stress"]
            plain = any(key in where for key in ENERGY_KEYS) or any(key in table for key in FORCES_KEYS)
            again = any(
                ("energy" in where and f"energy_{k}" in where and texts("energy") == texts(f"energy_{k}"))
                or ("forces" in table and np.array_equal(table["forces"], table.get(f"forces_{k}", ()), equal_nan=True))
                for k in states
            )
            self.several = bool(states) and (0 in states or again or not plain)
        if self.several:
            return
        if self.energy_key is None and "energies" in where:
            energies = [numbers_in(text) for text in texts("energies")]
            own = texts("energy") if "energy" in where else []
            if all(float(one) in of_states for one, of_states in zip(own, energies)):  # else they are something else
                self.energy_key = "energies"
        if self.energy_key is None:
            self.energy_key = next((key for key in ENERGY_KEYS if key in where), None)
        if self.forces_key is None:
            self.forces_key = next((key for key in FORCES_KEYS if key in table), None)

    def _found(self) -> list[tuple[str, str | None]]:
        if self.several:
            return [("energy", "energy_0, energy_1, ..."), ("forces", "forces_0, forces_1, ...")]
        return [("energy", self.energy_key), ("forces", self.forces_key)]

    def _states(
        self,
        where: dict[str, int],
        texts: Callable[[str], list[str]],
        table: dict[str, np.ndarray],
        cell: np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """Energy [F,S], forces [F,N,S,3] and stress [F,S,6], where the frames have them."""
        energies: dict[int, np.ndarray] = {}
        forces: dict[int, np.ndarray] = {}
        stresses: dict[int, np.ndarray] = {}
        numbered = [(m[1], int(m[2]), m[0]) for key in (*where, *table) if (m := _NUMBERED.fullmatch(key))]
        for what, state, key in numbered if self.several else ():
            if what == "energy" and key in where:
                energies[state] = np.array([float(text) for text in texts(key)])
            elif what == "stress" and key in where:
                stresses[state] = _stresses(texts(key), "stress", None)
            elif what == "forces" and key in table:
                forces[state] = _vectors(table, key)
        if not self.several and self.energy_key in where:
            energies = _energies(texts(str(self.energy_key)))
        if not self.several and self.forces_key in table:
            forces[0] = _vectors(table, str(self.forces_key))
        if not stresses and not self.several:  # with several states nothing says of which it is
            if "stress" in where:
                stresses[0] = _stresses(texts("stress"), "stress", None)
            elif "virial" in where and cell is not None:
                stresses[0] = _stresses(texts("virial"), "virial", cell)
        columns: dict[str, np.ndarray] = {}
        num_states = 1 + max((*energies, *forces, *stresses), default=0)
        for name, held in (("energy", energies), ("forces", forces), ("stress", stresses)):
            if held:
                absent = np.full_like(next(iter(held.values())), np.nan)
                axis = 2 if name == "forces" else 1
                columns[name] = np.stack([held.get(state, absent) for state in range(num_states)], axis=axis)
        return columns

    def _cover(self, columns: dict[str, np.ndarray], known: set[str]) -> None:
        """Have as many states as ``active_state`` names, where states are numbered; else it is of other states."""
        num_states = 1 + int(columns["active_state"].max())
        if self.several and num_states > _MOST_STATES:
            raise ValueError(f"active_state={num_states - 1}, below {_MOST_STATES} was expected")
        held = columns.get("energy", np.full((len(columns["active_state"]), 0), np.nan))
        if self.several:
            more = np.full((len(held), max(0, num_states - held.shape[1])), np.nan)
            columns["energy"] = np.concatenate([held, more], axis=1)
        elif num_states > max(1, held.shape[1]):
            for key in ("active_state", "hop"):
                known.discard(key)
                columns.pop(key, None)

    def _note_unread(self, keys: set[str], columns: set[str]) -> None:
        read: set[str | None] = {self.energy_key, self.forces_key}
        if self.several:
            numbered = {name for name in (*keys, *columns) if _NUMBERED.fullmatch(name)}
            read |= numbered | {"energy", "forces"}  # of one of the states, said again for other readers
        self.unread |= {key: None for key in keys if key not in read}
        self.unread |= {f"column {name}": None for name in columns if name not in read}


def trajectory_names(keys: tuple[str, ...], values: Values) -> list[str | None]:
    """The trajectory that each frame says it is of."""
    at = next((keys.index(key) for key in _TRAJECTORY_KEYS if key in keys), None)
    return [None if at is None else value[at] for value in values]


def velocities_of(momenta: np.ndarray, numbers: np.ndarray, masses: np.ndarray | None) -> np.ndarray:
    """Velocities [F,N,3] in angstrom/fs from momenta in ASE's unit; masses [F,N] in amu, else the standard ones."""
    return momenta / (atomic_masses[numbers] if masses is None else masses)[..., None] * ASE_VELOCITY


def _energies(texts: list[str]) -> dict[int, np.ndarray]:
    try:
        return {0: np.array([float(text) for text in texts])}
    except ValueError:
        rows = [numbers_in(text) for text in texts]
        if not min(map(len, rows)):
            raise
    most = max(map(len, rows))
    return dict(enumerate(np.array([row + [np.nan] * (most - len(row)) for row in rows]).T))


def _stresses(texts: list[str], key: str, cell: np.ndarray | None) -> np.ndarray:
    cells = [None] * len(texts) if cell is None else cell
    return np.array([voigt_stress(text, virial=key == "virial", cell=own) for text, own in zip(texts, cells)])


def _vectors(table: dict[str, np.ndarray], name: str) -> np.ndarray:
    if table[name].shape[-1] != 3:
        raise ValueError(f"`{name}` has {table[name].shape[-1]} columns, 3 were expected")
    return table[name]


def _each(texts: Sequence[str | None], parse: Callable[..., np.ndarray]) -> np.ndarray:
    """``parse`` of every text, called once for those that are the same."""
    parsed = {text: parse(text) for text in dict.fromkeys(texts)}
    return np.array([parsed[text] for text in texts])
