"""Frame: one geometry with everything known about it, in numpy; from and to ase.Atoms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlff.units import ASE_VELOCITY

if TYPE_CHECKING:
    from ase import Atoms

ENERGY_KEYS = ("energy", "REF_energy", "ref_energy", "dft_energy", "DFT_energy", "Energy", "total_energy")
FORCES_KEYS = ("forces", "force", "REF_forces", "ref_forces", "dft_forces", "DFT_forces", "Forces")

_PAIR_SHAPES: tuple[tuple[str, tuple[str | int, ...], type], ...] = (
    ("nac", ("N", "P", 3), np.float32),
    ("interstate_coupling", ("N", "P", 3), np.float32),
    ("dipole", ("Q", 3), np.float32),
    ("soc_magnitude", ("R",), np.float64),
    ("soc", ("M", "M"), np.complex128),
    ("overlap", ("M", "M"), np.complex128),
    ("coefficients", ("M",), np.complex128),
    ("hopping_probability", ("M",), np.float64),
)  # quantities of pairs and spin components, whose numbers the system knows


@dataclass(frozen=True, eq=False)
class Frame:
    """One geometry and its labels for S electronic states; N atoms.

    Units are eV, angstrom, fs, amu, e. ``energy`` is the absolute total energy, ``forces`` are -dE/dR, ``stress`` is
    dE/dstrain/V in Voigt order (xx, yy, zz, yz, xz, xy), the sign of ASE. A quantity that is not known is None, or,
    for some of the states, NaN with its mask false: never zero.
    """

    atomic_numbers: np.ndarray  #: i16 [N]
    positions: np.ndarray  #: f8 [N,3] angstrom
    cell: np.ndarray | None = None  #: f8 [3,3] angstrom, rows are the vectors
    pbc: np.ndarray = field(default_factory=lambda: np.zeros(3, dtype=bool))  #: bool [3]
    energy: np.ndarray | None = None  #: f8 [S] eV
    forces: np.ndarray | None = None  #: f4 [N,S,3] eV/angstrom
    stress: np.ndarray | None = None  #: f4 [S,6] eV/angstrom^3
    velocities: np.ndarray | None = None  #: f4 [N,3] angstrom/fs
    masses: np.ndarray | None = None  #: f8 [N] amu
    charge: float = 0.0  #: e
    energy_valid: np.ndarray | None = None  #: bool [S]; derived from NaN where not given
    forces_valid: np.ndarray | None = None  #: bool [S]; derived from NaN where not given
    active_state: int = -1  #: 0-based, -1 unknown
    active_spin_state: int = -1  #: 0-based, -1 unknown
    active_diagonal_state: int = -1  #: 0-based among the M diagonal states, -1 unknown
    hop: int = 0  #: 1 on the first frame after a hop, 2 frustrated hop, else 0
    kinetic_energy: float | None = None  #: eV
    nac: np.ndarray | None = None  #: f4 [N,P,3] 1/angstrom, <i|d/dR|j>, pairs as in the system
    interstate_coupling: np.ndarray | None = None  #: f4 [N,P,3] eV/angstrom, <i|dH/dR|j>
    dipole: np.ndarray | None = None  #: f4 [Q,3] e angstrom
    soc_magnitude: np.ndarray | None = None  #: f8 [R] eV
    soc: np.ndarray | None = None  #: c16 [M,M] eV, hermitian
    overlap: np.ndarray | None = None  #: c16 [M,M]
    coefficients: np.ndarray | None = None  #: c16 [M]
    hopping_probability: np.ndarray | None = None  #: f8 [M], of a hop into each diagonal state
    population: np.ndarray | None = None  #: f8 [S], quantum population of each state
    system: str = ""
    trajectory: str | None = None
    step: int | None = None
    time: float | None = None  #: fs

    def __post_init__(self) -> None:
        numbers = np.asarray(self.atomic_numbers, dtype=np.int16)
        num_atoms = len(numbers)
        put = object.__setattr__
        put(self, "atomic_numbers", numbers)
        put(self, "pbc", np.broadcast_to(np.asarray(self.pbc, dtype=bool), (3,)).copy())
        if self.energy is not None:
            put(self, "energy", np.atleast_1d(np.asarray(self.energy, dtype=np.float64)))
        num_states = self.num_states
        shapes = {
            "positions": ((num_atoms, 3), np.float64),
            "cell": ((3, 3), np.float64),
            "forces": ((num_atoms, num_states, 3), np.float32),
            "stress": ((num_states, 6), np.float32),
            "velocities": ((num_atoms, 3), np.float32),
            "masses": ((num_atoms,), np.float64),
            "population": ((num_states,), np.float64),
            "energy_valid": ((num_states,), np.bool_),
            "forces_valid": ((num_states,), np.bool_),
        }
        for name, (shape, dtype) in shapes.items():
            value = getattr(self, name)
            if value is None:
                continue
            array: np.ndarray = np.asarray(value, dtype=dtype)
            if array.shape != shape:
                raise ValueError(
                    f"`{name}` has shape {array.shape}; {shape} was expected for {num_atoms} atoms "
                    f"and {num_states} states"
                )
            put(self, name, array)
        for name, template, dtype in _PAIR_SHAPES:
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, dtype=dtype)
            wanted: tuple[str | int, ...] = tuple(num_atoms if each == "N" else each for each in template)
            if array.ndim != len(wanted) or any(isinstance(w, int) and w != n for w, n in zip(wanted, array.shape)):
                expected = ", ".join(str(each) for each in wanted)
                raise ValueError(f"`{name}` has shape {array.shape}; ({expected}) was expected for {num_atoms} atoms")
            put(self, name, array)
        energy_valid = np.zeros(num_states, bool) if self.energy is None else np.isfinite(self.energy)
        forces_valid = np.zeros(num_states, bool) if self.forces is None else np.isfinite(self.forces).all(axis=(0, 2))
        put(self, "energy_valid", energy_valid if self.energy_valid is None else energy_valid & self.energy_valid)
        put(self, "forces_valid", forces_valid if self.forces_valid is None else forces_valid & self.forces_valid)

    @property
    def num_atoms(self) -> int:
        """Number of atoms, N."""
        return len(self.atomic_numbers)

    @property
    def num_states(self) -> int:
        """Number of electronic states, S (1 where nothing says otherwise)."""
        if self.energy is not None:
            return int(np.size(self.energy))
        if self.forces is None and self.population is not None:
            return int(np.size(self.population))
        return int(np.shape(self.forces)[1]) if self.forces is not None and np.ndim(self.forces) == 3 else 1

    def to_ase(self, state: int = 0) -> Atoms:
        """An ase.Atoms with the energy, forces and stress of ``state`` in a SinglePointCalculator."""
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        if not 0 <= state < self.num_states:
            raise ValueError(f"`state` is {state} but the frame has {self.num_states} states, counted from 0")
        atoms = Atoms(
            self.atomic_numbers.astype(int), positions=self.positions, cell=self.cell, pbc=self.pbc, masses=self.masses
        )
        if self.velocities is not None:
            atoms.set_velocities(self.velocities.astype(np.float64) / ASE_VELOCITY)
        results: dict[str, object] = {}
        if self.energy is not None and self.energy_valid is not None and self.energy_valid[state]:
            results["energy"] = float(self.energy[state])
        if self.forces is not None and self.forces_valid is not None and self.forces_valid[state]:
            results["forces"] = self.forces[:, state].astype(np.float64)
        if self.stress is not None and np.isfinite(self.stress[state]).all():
            results["stress"] = self.stress[state].astype(np.float64)
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        for name in ("trajectory", "step", "time"):
            if getattr(self, name) is not None:
                atoms.info[name] = getattr(self, name)
        if self.charge:
            atoms.info["charge"] = self.charge
        return atoms

    @classmethod
    def from_ase(cls, atoms: Atoms, *, energy_key: str | None = None, forces_key: str | None = None) -> Frame:
        """The frame of an ase.Atoms, one state; labels come from its calculator, else from ``info`` and ``arrays``.

        Constraints are not applied: forces on fixed atoms are what the calculator gave, not zero. Nothing is computed:
        a calculator that holds no result for this geometry gives no label.
        """
        energy = forces = stress = None
        if atoms.calc is not None:
            energy, forces, stress = (_held(atoms, name) for name in ("energy", "forces", "stress"))
        energy = _chosen(atoms.info, energy_key, ENERGY_KEYS, energy, "info")
        forces = _chosen(atoms.arrays, forces_key, FORCES_KEYS, forces, "arrays")
        has_cell = bool(np.any(atoms.cell.array))
        moving = atoms.has("momenta")
        return cls(
            atomic_numbers=atoms.numbers,
            positions=atoms.positions.copy(),
            cell=atoms.cell.array.copy() if has_cell else None,
            pbc=atoms.pbc.copy(),
            energy=None if energy is None else np.array([energy], dtype=np.float64),
            forces=None if forces is None else np.asarray(forces)[:, None, :],
            stress=None if stress is None else np.asarray(stress, dtype=np.float64).reshape(1, 6),
            velocities=atoms.get_velocities() * ASE_VELOCITY if moving else None,
            masses=atoms.get_masses() if atoms.has("masses") else None,
            charge=float(atoms.info.get("charge", 0.0)),
            trajectory=None if "trajectory" not in atoms.info else str(atoms.info["trajectory"]),
            step=None if "step" not in atoms.info else int(atoms.info["step"]),
            time=None if "time" not in atoms.info else float(atoms.info["time"]),
        )


def _held(atoms: Atoms, name: str) -> object | None:
    """What the calculator already knows for this geometry, without computing and without constraints."""
    try:
        return atoms.calc.get_property(name, atoms, allow_calculation=False)
    except (NotImplementedError, RuntimeError):
        return None


def _chosen(held: dict, key: str | None, candidates: tuple[str, ...], result: object, where: str) -> object | None:
    """The value under ``key`` when one was asked for, else the calculator's, else the first known name's."""
    if key is not None:
        if key not in held and not (key in candidates[:1] and result is not None):
            raise ValueError(
                f"the key `{key}` is not in the atoms' {where}; there are: {', '.join(map(str, held)) or 'none'}"
            )
        return held.get(key, result)
    if result is not None:
        return result
    return next((held[name] for name in candidates if name in held), None)
