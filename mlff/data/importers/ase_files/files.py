"""Frames of ASE's files: forces as the calculator gave them (constraints are not applied), and nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlff.data.frame import ENERGY_KEYS, FORCES_KEYS
from mlff.data.importers.ase_files.images import DAMAGE, AseImages
from mlff.data.importers.xyz.frame_block import FrameBlock, lacking
from mlff.units import ASE_VELOCITY

if TYPE_CHECKING:
    from ase import Atoms

_BLOCK = 256  # frames of one block at most
_TRAJECTORY_KEYS = ("trajectory", "traj", "trajectory_id", "traj_id")
_SCALARS = (("time", float), ("step", int), ("active_state", int), ("hop", int), ("kinetic_energy", float))


class AseReader:
    """Iterating gives the frames of a file, or every ``every``-th of them, as blocks; afterwards ``problems`` says what
    was dropped or is missing."""

    def __init__(self, path: Path, *, energy_key: str | None, forces_key: str | None, every: int = 1) -> None:
        self.problems: list[str] = []
        self.unread: dict[str, None] = {}
        self.energy_key, self.forces_key = energy_key, forces_key
        self.num_frames = 0
        self._images = AseImages(path, energy_key, forces_key)
        self._every = every
        self._given = energy_key, forces_key
        self._lacking = {"energy": 0, "forces": 0}

    def __iter__(self) -> Iterator[FrameBlock]:
        try:
            yield from self._blocks()
        except ValueError as error:
            self.problems.append(f"cannot be read: {error}")
        self.problems += self._images.problems
        for what, count in self._lacking.items():
            if count:
                self.problems.append(f"{what} missing in {count} of {self.num_frames} frames: masked")

    def _blocks(self) -> Iterator[FrameBlock]:
        held: list[tuple[Any, ...]] = []
        for number, atoms in enumerate(self._images):
            if number % self._every:
                continue
            try:
                one = self._converted(atoms)
            except DAMAGE as error:
                self.problems.append(f"image {number}: dropped, a value cannot be read ({error})")
                continue
            self.num_frames += 1
            if held and (len(held) == _BLOCK or one[0] != held[0][0]):
                yield self._block(held)
                held = []
            held.append(one)
        if held:
            yield self._block(held)

    @property
    def fraction(self) -> float:
        """How much of the file has been read."""
        return self._images.fraction

    def names(self) -> list[str]:
        """Which names energy and forces were read from, for people."""
        found = (("energy", self.energy_key), ("forces", self.forces_key))
        return [f"{what} from `{key}`" for what, key in found if key]

    def _converted(self, atoms: Atoms) -> tuple[Any, ...]:
        """What frames of one block share, the columns of this frame, and its trajectory."""
        results = dict(atoms.calc.results) if atoms.calc is not None else {}
        columns = {"positions": atoms.positions * self._images.units["positions"], "pbc": atoms.pbc.copy()}
        if not np.isfinite(columns["positions"]).all():
            raise ValueError("a position is NaN or infinite")
        if not len(atoms) or not ((atoms.numbers >= 1) & (atoms.numbers <= 118)).all():
            raise ValueError("its atoms are no elements")
        if atoms.cell.array.any():
            columns["cell"] = atoms.cell.array * self._images.units["positions"]
        energy = self._chosen("energy", results, atoms.info, ENERGY_KEYS)
        if energy is not None:
            columns["energy"] = (
                np.atleast_1d(np.asarray(energy, dtype=float)).reshape(-1) * self._images.units["energy"]
            )
        forces = self._chosen("forces", results, atoms.arrays, FORCES_KEYS)
        if forces is not None:
            array = np.asarray(forces, dtype=float)
            if array.shape != (len(atoms), 3):
                raise ValueError(f"the forces have shape {array.shape}, ({len(atoms)}, 3) was expected")
            columns["forces"] = array[:, None, :] * self._images.units["forces"]
        stress = results.get("stress")
        if stress is not None and np.size(stress) in (6, 9):
            full = np.asarray(stress, dtype=float).reshape(-1)
            columns["stress"] = (
                full[None, [0, 4, 8, 5, 2, 1] if full.size == 9 else slice(None)] * self._images.units["stress"]
            )
        if atoms.has("momenta"):
            columns["velocities"] = atoms.get_velocities() * ASE_VELOCITY
        for name, kind in _SCALARS:
            if name in atoms.info:
                columns[name] = np.asarray(kind(atoms.info[name]))
        trajectory = next((str(atoms.info[key]) for key in _TRAJECTORY_KEYS if key in atoms.info), self._images.name)
        charge = atoms.info.get("charge")
        if charge is None and atoms.has("initial_charges"):
            total = float(atoms.get_initial_charges().sum())
            charge = round(total) if abs(total - round(total)) < 1e-3 else None  # partial charges that go out
        masses = tuple(atoms.get_masses().tolist()) if atoms.has("masses") else None
        facts = (
            tuple(atoms.numbers.tolist()),
            masses,
            None if charge is None else float(charge),
            str(atoms.info.get("level_of_theory", "")),
            tuple((name, values.shape) for name, values in columns.items()),
        )
        self._note_unread(atoms)
        return facts, columns, trajectory

    def _chosen(self, what: str, results: Mapping[str, Any], held: Mapping[str, Any], names: tuple[str, ...]) -> Any:
        """The value under the key asked for; else the calculator's; else under the first known name."""
        given = self._given[what == "forces"]
        if given is not None:
            return held.get(given, results.get(given))
        value = results.get(what)
        key = what if value is not None else next((name for name in names if name in held), None)
        if key is not None:
            setattr(self, f"{what}_key", getattr(self, f"{what}_key") or key)
        return held[key] if value is None and key is not None else value

    def _note_unread(self, atoms: Atoms) -> None:
        known = {*_TRAJECTORY_KEYS, *(name for name, _ in _SCALARS), "charge", "level_of_theory"}
        known |= {"numbers", "positions", "momenta", "masses", "initial_charges", "tags"}
        known |= {str(self.energy_key), str(self.forces_key)}
        self.unread |= {str(key): None for key in (*atoms.info, *atoms.arrays) if key not in known}

    def _block(self, held: list[tuple[Any, ...]]) -> FrameBlock:
        numbers, masses, charge, theory, shapes = held[0][0]
        columns = {name: np.array([one[1][name] for one in held]) for name, _ in shapes}
        for what in self._lacking:
            self._lacking[what] += int(lacking(columns, what).sum())
        return FrameBlock(np.array(numbers, dtype=np.int16), columns, [one[2] for one in held], masses, charge, theory)
