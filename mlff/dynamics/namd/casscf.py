"""State-averaged CASSCF of PySCF as a multi-state potential: energies, forces, couplings and transition dipoles on the fly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from ase.data import atomic_masses, chemical_symbols

from ...units import BOHR, HARTREE
from .casscf_guesses import Guess, Guesses
from .surfaces import Surfaces, state_pairs

LEAST_OVERLAP = 0.5
"""An active orbital was exchanged for another where less of it is left after a step (smallest singular value)."""
LONGEST_STEP = 0.05
"""Angstrom that an atom moves from the geometry whose orbitals are the first guess; a longer way is gone in steps."""
_LARGEST_TABLE = 1000  # determinants
_MOST_GUESSES = 64  # beside those of one call


class CASSCFSurfaces:
    """Singlet states of one molecule by state-averaged CASSCF, for surface hopping (see ``MultiStatePotential``).

        potential = CASSCFSurfaces(atoms.numbers, atoms.positions, basis="6-31G*", charge=1, num_states=3,
                                   active_electrons=4, active_orbitals=[6, 7, 8])

    Every geometry begins from the orbitals of the nearest one seen before, so that the active space is carried along. Where the
    wave function or its response does not converge the geometry has NaN, its trajectory stops, and the reason is in
    ``failures``. Where an active orbital was exchanged for another, which makes the energies jump, ``exchanges`` has it:
    such trajectories are stopped by ``HoppingSettings.max_energy_jump``, or always with ``keep_active=True``, which
    counts an exchange as a failure. Signs of states are those of the eigensolver; surface hopping tracks them. Gradients
    and couplings: mlff/dynamics/namd/casscf_derivatives.py.

    Args:
        atomic_numbers: ``[N]``.
        positions: angstrom ``[N, 3]``: a geometry near the minimum of the ground state, whose Hartree-Fock orbitals are the
            first guess.
        basis: a name that PySCF knows.
        num_states: averaged with equal weights.
        active_electrons: an even number.
        active_orbitals: their number, then those about the gap are taken, or which of the Hartree-Fock orbitals, from 0.
        charge: of the molecule; the number of electrons must be even.
        masses: amu ``[N]``; by default those of the elements in their natural abundance.
        keep_active: whether a geometry fails where an active orbital was exchanged.
        memory: a file for the orbitals last found: one that is there is begun from, so that a run that goes on has the
            active space that it had.

    Raises:
        ValueError: a molecule or an active space that does not exist, a basis that PySCF does not know, a first wave function
            that does not converge.
        ImportError: PySCF is missing.
    """

    def __init__(
        self,
        atomic_numbers: Sequence[int] | np.ndarray,
        positions: np.ndarray,
        *,
        basis: str,
        num_states: int,
        active_electrons: int,
        active_orbitals: int | Sequence[int],
        charge: int = 0,
        masses: np.ndarray | None = None,
        keep_active: bool = False,
        memory: str | os.PathLike[str] | None = None,
    ) -> None:
        self.atomic_numbers = np.asarray(atomic_numbers, dtype=np.int64)
        self.masses = atomic_masses[self.atomic_numbers] if masses is None else np.asarray(masses, dtype=np.float64)
        self.num_states, self.basis, self.charge = num_states, basis, charge
        self.multiplicities = (1,) * num_states
        self.active_electrons = active_electrons
        self.num_active = active_orbitals if isinstance(active_orbitals, int) else len(active_orbitals)
        self.keep_active = keep_active
        self._spin_table: np.ndarray | None = None
        self.memory = None if memory is None else Path(memory)
        self.failures: list[str] = []
        """Why geometries have no energies, the newest last."""
        self.exchanges: list[tuple[np.ndarray, float]] = []
        """Geometries where an active orbital was exchanged, and what was left of it."""
        reference = np.asarray(positions, dtype=np.float64)
        self._check(reference)
        if self.memory is not None and self.memory.exists():
            self._guesses = self._remembered(self.memory)
        else:
            self._guesses = Guesses([self._first(reference, active_orbitals)])
            self._remember()

    @property
    def level_of_theory(self) -> str:
        """For the file of trajectories: ``SA3-CASSCF(4,3)/6-31G*``."""
        return f"SA{self.num_states}-CASSCF({self.active_electrons},{self.num_active})/{self.basis}"

    @property
    def program(self) -> str:
        """PySCF and its version."""
        return f"PySCF {_pyscf().__version__}"

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        """See ``MultiStatePotential.surfaces``; couplings have the effect of electron translation factors."""
        positions, states = np.asarray(positions, dtype=np.float64), np.asarray(states, dtype=np.int64)
        pairs = state_pairs(self.num_states)
        size, count, number = len(self.atomic_numbers), len(positions), len(pairs)
        energies = np.full((count, self.num_states), np.nan)
        forces, dipole = np.full((count, size, 3), np.nan), np.full((count, number, 3), np.nan)
        nac = np.full((count, size, number, 3), np.nan) if couplings else None
        for row, (place, state) in enumerate(zip(positions, states, strict=True)):
            try:
                solver = self._solved(place)
                found = np.array(solver.e_states)
                gradient, coupling = self._derivatives(solver, int(state), pairs if couplings else ())
            except _Failure as failure:
                self.failures.append(f"{failure}")
                continue
            energies[row] = found * HARTREE
            forces[row] = -gradient * HARTREE / BOHR
            dipole[row] = self._transition_dipoles(solver, pairs) * BOHR
            if nac is not None:
                gaps = np.array([found[j] - found[i] for i, j in pairs])
                nac[row] = (coupling / gaps[:, None, None]).swapaxes(0, 1) / BOHR
        self._guesses.forget(count + _MOST_GUESSES)
        self._remember()
        return Surfaces(energies=energies, forces=forces, nac=nac, dipole=dipole)

    def _check(self, positions: np.ndarray) -> None:
        electrons = int(self.atomic_numbers.sum()) - self.charge
        if positions.shape != (len(self.atomic_numbers), 3) or not np.isfinite(positions).all():
            raise ValueError(f"positions {positions.shape} do not fit {len(self.atomic_numbers)} atoms; give one geometry "
                             f"[{len(self.atomic_numbers)}, 3]")
        if self.masses.shape != self.atomic_numbers.shape:
            raise ValueError(f"{self.masses.shape} masses were given for {self.atomic_numbers.shape} atoms; give one an atom")
        if electrons % 2 or electrons < 2:
            raise ValueError(f"with the charge {self.charge:+d} the molecule has {electrons} electrons; singlets need an even "
                             f"number")
        if self.active_electrons % 2 or not 2 <= self.active_electrons <= min(electrons, 2 * self.num_active - 2):
            raise ValueError(f"{self.active_electrons} electrons in {self.num_active} orbitals are no active space of this "
                             f"molecule's singlets; give an even number, less than two an orbital")
        if self.num_states < 2:
            raise ValueError(f"`num_states` is {self.num_states}; surface hopping needs two or more")

    def _molecule(self, positions: np.ndarray) -> Any:
        pyscf = _pyscf()
        atoms = [(chemical_symbols[number], tuple(place)) for number, place in zip(self.atomic_numbers, positions, strict=True)]
        try:
            return pyscf.gto.M(atom=atoms, basis=self.basis, charge=self.charge, unit="Angstrom", verbose=0)
        except (KeyError, RuntimeError) as error:  # PySCF's words for a basis that it, or an element, has not
            raise ValueError(f"PySCF has no basis `{self.basis}` for these atoms: {error}") from error

    def _solver(self, molecule: Any, orbitals: np.ndarray) -> Any:
        """The CASSCF of a molecule, not solved yet; there is no Hartree-Fock in it."""
        pyscf = _pyscf()
        field = pyscf.scf.RHF(molecule)
        field.mo_coeff, field.mo_energy = orbitals, np.zeros(orbitals.shape[1])
        field.mo_occ = 2.0 * (np.arange(orbitals.shape[1]) < molecule.nelectron // 2)
        field._eri = molecule.intor("int2e", aosym="s8")
        solver = pyscf.mcscf.CASSCF(field, self.num_active, self.active_electrons)
        if min(self.active_electrons, 2 * self.num_active - self.active_electrons) < 4:
            solver.fcisolver = pyscf.fci.direct_spin0.FCI(molecule)  # even spins, of which there are only singlets
        else:
            solver.fix_spin_(ss=0)
            solver.fcisolver.contract_ss = self._spin_square
        solver = solver.state_average_([1 / self.num_states] * self.num_states)
        solver.conv_tol, solver.conv_tol_grad = 1e-9, 1e-5
        return solver

    def _spin_square(self, vector: np.ndarray, *_: Any) -> np.ndarray:
        """S^2 times a vector of the active space: a table, which for small spaces is faster than PySCF's own way."""
        if vector.size > _LARGEST_TABLE:
            return np.asarray(_pyscf().fci.spin_op.contract_ss(vector, self.num_active, self.active_electrons))
        if self._spin_table is None:
            basis = np.eye(vector.size).reshape(-1, *vector.shape)
            spin_op = _pyscf().fci.spin_op
            space = self.num_active, self.active_electrons
            self._spin_table = np.stack([spin_op.contract_ss(each, *space).ravel() for each in basis])
        return np.asarray(self._spin_table @ vector.ravel()).reshape(vector.shape)

    def _first(self, positions: np.ndarray, active: int | Sequence[int]) -> Guess:
        """The wave function at the reference geometry, from Hartree-Fock."""
        molecule = self._molecule(positions)
        field = _pyscf().scf.RHF(molecule).run()
        solver = self._solver(molecule, field.mo_coeff)
        start = field.mo_coeff
        if not isinstance(active, int):
            chosen = [int(each) for each in active]
            filled, most = molecule.nelectron // 2, start.shape[1]
            known = len(set(chosen)) == len(chosen) and all(0 <= each < most for each in chosen)
            if not known or 2 * sum(each < filled for each in chosen) != self.active_electrons:
                raise ValueError(f"`active_orbitals` are {chosen}; give different ones of 0 to {most - 1}, as many of them "
                                 f"below {filled} (which are filled) as hold the {self.active_electrons} electrons")
            start = solver.sort_mo(chosen, start, base=0)
        try:
            self._converge(solver, start, None)
        except _Failure as failure:
            raise ValueError(f"at the first geometry {failure}; give another active space or geometry") from failure
        return Guess(positions, solver.mo_coeff, np.array(solver.ci))

    def _solved(self, positions: np.ndarray) -> Any:
        """The wave function at a geometry, begun from the nearest known one, whose place it takes.

        A long way is gone in steps, so that the active space stays the same.
        """
        if not np.isfinite(positions).all():
            raise _Failure("positions are not finite")
        nearest, distance = self._guesses.nearest(positions)
        guess = self._guesses.found[nearest]
        steps = max(1, int(np.ceil(distance / LONGEST_STEP)))
        for place in np.linspace(guess.positions, positions, steps + 1)[1:]:
            solver = self._carried(guess, place)
            guess = Guess(place, solver.mo_coeff, np.array(solver.ci))
        self._guesses.replace(nearest, guess)
        return solver

    def _carried(self, guess: Guess, positions: np.ndarray) -> Any:
        """The wave function at a geometry from that at one nearby."""
        molecule, before = self._molecule(positions), self._molecule(guess.positions)
        overlap, other = molecule.intor("int1e_ovlp"), before.intor("int1e_ovlp")
        root, other_root = (np.real(scipy.linalg.sqrtm(each)) for each in (overlap, other))
        orbitals = scipy.linalg.solve(root, other_root @ guess.orbitals, assume_a="pos")
        solver = self._solver(molecule, orbitals)
        self._converge(solver, orbitals, list(guess.states))
        active = slice(solver.ncore, solver.ncore + solver.ncas)
        kept = np.linalg.svd(orbitals[:, active].T @ overlap @ solver.mo_coeff[:, active], compute_uv=False).min()
        if kept < LEAST_OVERLAP:
            if self.keep_active:
                raise _Failure(f"an active orbital was exchanged for another (overlap {kept:.2f})")
            self.exchanges.append((positions, float(kept)))
        return solver

    def _converge(self, solver: Any, orbitals: np.ndarray, states: list[np.ndarray] | None) -> None:
        """Solve in place, to second order where the first way does not lead there."""
        try:
            with warnings.catch_warnings(action="ignore"):
                solver.kernel(orbitals, ci0=states)
                if not solver.converged:
                    second = solver.newton()
                    second.max_cycle_macro = 100
                    second.kernel(orbitals, ci0=states)
                    for name in ("mo_coeff", "ci", "e_tot", "converged"):
                        setattr(solver, name, getattr(second, name))
                    solver.fcisolver.e_states = second.fcisolver.e_states
        except (ValueError, RuntimeError, np.linalg.LinAlgError) as error:  # PySCF's words for a wave function gone astray
            raise _Failure(f"the wave function did not converge ({error})") from error
        if not solver.converged or not np.isfinite(solver.e_states).all():
            raise _Failure("the wave function did not converge")

    def _derivatives(self, solver: Any, state: int, pairs: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        from .casscf_derivatives import Derivatives, ResponseError

        try:
            gradients, couplings = Derivatives(solver)([state], list(pairs))
        except ResponseError as error:
            raise _Failure(str(error)) from error
        return gradients[0], couplings

    def _transition_dipoles(self, solver: Any, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        """-<i|r|j>, ``[P, 3]`` in e bohr."""
        direct_spin1 = _pyscf().fci.direct_spin1
        active = solver.mo_coeff[:, solver.ncore : solver.ncore + solver.ncas]
        places = np.einsum("ap,xab,bq->xpq", active, solver.mol.intor("int1e_r", comp=3), active)
        densities = [direct_spin1.trans_rdm1(solver.ci[i], solver.ci[j], solver.ncas, solver.nelecas) for i, j in pairs]
        return -np.einsum("xpq,kpq->kx", places, np.stack(densities))

    def _remember(self) -> None:
        if self.memory is not None:
            self._guesses.save(self.memory)

    def _remembered(self, path: Path) -> Guesses:
        found = Guesses.load(path)
        first = found.found[0]
        size = self._molecule(first.positions).nao if first.positions.shape == (len(self.atomic_numbers), 3) else -1
        strings = comb(self.num_active, self.active_electrons // 2)
        if len(first.orbitals) != size or first.states.shape != (self.num_states, strings, strings):
            raise ValueError(f"the orbitals in `{path}` are not those of this molecule, basis, active space and "
                             f"number of states")
        return found


class _Failure(Exception):
    """Why a geometry has no energies."""


def _pyscf() -> Any:
    try:
        import pyscf
        import pyscf.fci
        import pyscf.gto
        import pyscf.mcscf
        import pyscf.scf
    except ImportError as error:
        raise ImportError('CASSCF needs PySCF: pip install "mlff[pyscf]"') from error
    return pyscf
