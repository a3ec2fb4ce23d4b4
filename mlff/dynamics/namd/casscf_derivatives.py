"""Gradients and couplings of a state-averaged CASSCF wave function, several of them for the price of little more than one.

PySCF solves for the wave function and gives its response equations; its own gradients and couplings make the derivative
integrals anew for every state and every pair, which is most of their cost. Here the densities of all that is asked for
are contracted with them in one pass. Atomic units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

TOLERANCE = 1e-7  #: of the response equations, relative
_SLOTS = ((0, 1, 2, 3), (1, 0, 2, 3), (0, 1, 3, 2), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 0, 1), (2, 3, 1, 0), (3, 2, 1, 0))


class ResponseError(RuntimeError):
    """The response equations did not converge."""


@dataclass(frozen=True)
class Densities:
    """Of the o occupied orbitals: ``one`` ``[o, o]`` and ``two`` ``[o, o, o, o]``, in the order of (pq|rs), with its symmetry.

    They stand for sum h_pq one_pq + 1/2 sum (pq|rs) two_pqrs.
    """

    one: np.ndarray
    two: np.ndarray

    @classmethod
    def of(cls, one: np.ndarray, two: np.ndarray, num_core: int, *, core: bool) -> Densities:
        """From those of the active orbitals and a closed core, which a transition (``core=False``) has only around it."""
        size = num_core + len(one)
        active = slice(num_core, size)
        inner, outer = np.zeros((size, size)), np.zeros((size, size))
        outer[active, active] = 0.5 * (one + one.T)
        inner[np.arange(num_core), np.arange(num_core)] = 2.0
        pairs = _product(inner, outer) + (0.5 * _product(inner, inner) if core else 0.0)
        pairs[active, active, active, active] += two
        return cls(outer + inner if core else outer, np.mean([pairs.transpose(slots) for slots in _SLOTS], axis=0))

    def __add__(self, other: Densities) -> Densities:
        return Densities(self.one + other.one, self.two + other.two)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Coulomb and exchange of two one-electron densities as a two-electron one."""
    coulomb = np.einsum("pq,rs->pqrs", a, b) + np.einsum("pq,rs->pqrs", b, a)
    return coulomb - 0.5 * (np.einsum("ps,rq->pqrs", a, b) + np.einsum("ps,rq->pqrs", b, a))


class Derivatives:
    """Of the energies and between the states of a converged state-averaged CASSCF of PySCF with equal weights.

    A gradient is that of the Lagrangian whose multipliers keep orbitals and states those of the average (Staalring,
    Bernhardsson and Lindh, Mol. Phys. 99, 103, 2001); the coupling of two states is the same of their transition densities
    (Lischka et al., J. Chem. Phys. 120, 7322, 2004). What a coupling gets from basis functions that move along with their
    atoms, which is there even where the whole molecule moves, is left out: that is the effect of electron translation
    factors (Fatehi and Subotnik, J. Phys. Chem. Lett. 3, 2039, 2012). What is left sums to zero over the atoms.
    """

    def __init__(self, solver: Any) -> None:
        from pyscf import ao2mo

        self.solver, self.mol = solver, solver.mol
        self.num_core, self.num_active = solver.ncore, solver.ncas
        self.num_states = len(solver.ci)
        self.orbitals = solver.mo_coeff
        self.occupied = self.orbitals[:, : self.num_core + self.num_active]
        self._average = self._of_states([(k, k) for k in range(self.num_states)], [1 / self.num_states] * self.num_states)
        every, some = self.orbitals, self.occupied
        size, part = every.shape[1], some.shape[1]
        integrals = solver._scf._eri
        self._core = every.T @ solver.get_hcore() @ every
        self._coulomb = ao2mo.general(integrals, (every, every, some, some), compact=False).reshape(size, size, part, part)
        self._exchange = ao2mo.general(integrals, (every, some, every, some), compact=False).reshape(size, part, size, part)

    def __call__(self, states: list[int], pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of ``states`` ``[K, N, 3]``, hartree/bohr, and <i|dH/dR|j> of ``pairs`` ``[P, N, 3]``.

        Raises:
            ResponseError: the response equations did not converge.
        """
        gradient, coupling = self.solver.nuc_grad_method(), self.solver.nac_method()
        operator, diagonal = gradient.get_Aop_Adiag(state=0)
        wanted: list[tuple[Any, Any, Densities]]
        wanted = [(gradient, state, self._of_states([(state, state)], [1.0])) for state in states]
        wanted += [(coupling, (j, i), self._of_states([(i, j)], [1.0])) for i, j in pairs]
        found = [self._relaxed(method, operator, diagonal, state, own) for method, state, own in wanted]
        derivatives = self._contracted([each[0] for each in found], [each[1] for each in found])
        derivatives[: len(states)] += gradient.grad_nuc(self.mol)
        return derivatives[: len(states)], derivatives[len(states) :]

    def _of_states(self, pairs: list[tuple[int, int]], weights: list[float]) -> Densities:
        """The weighted sum of densities of states (i, i) and transitions (i, j)."""
        ci = self.solver.ci
        return self._summed([(ci[i], ci[j]) for i, j in pairs], weights, core=all(i == j for i, j in pairs))

    def _summed(self, vectors: list[tuple[np.ndarray, np.ndarray]], weights: list[float], *, core: bool) -> Densities:
        from pyscf.fci import direct_spin1

        found = [direct_spin1.trans_rdm12(bra, ket, self.num_active, self.solver.nelecas) for bra, ket in vectors]
        one = sum(weight * each[0] for weight, each in zip(weights, found, strict=True))
        two = sum(weight * each[1] for weight, each in zip(weights, found, strict=True))
        return Densities.of(np.asarray(one), np.asarray(two), self.num_core, core=core)

    def _relaxed(self, method: Any, operator: Any, diagonal: Any, state: Any, own: Densities) -> tuple[Densities, np.ndarray]:
        """Densities with the response of the states in them, and the orbitals' multipliers ``[n, n]``."""
        right = -method.get_wfn_response(state=state)
        precondition = method.get_lagrange_precond(diagonal, level_shift=method.level_shift)
        shape = (len(right), len(right))
        found, failed = cg(LinearOperator(shape, operator, dtype=float), right, precondition(right), rtol=TOLERANCE, atol=1e-10,
                           maxiter=200, M=LinearOperator(shape, precondition, dtype=float))
        if failed or not np.isfinite(found).all():
            raise ResponseError(f"the response of the wave function to {state} did not converge")
        rotation, changes = method.unpack_uniq_var(found)
        vectors = list(zip(changes, self.solver.ci, strict=True))
        weights = [2 / self.num_states] * self.num_states  # twice: and its adjoint
        return own + self._summed(vectors, weights, core=False), rotation

    def _contracted(self, bases: list[Densities], rotations: list[np.ndarray]) -> np.ndarray:
        """Derivatives ``[K, N, 3]`` of energies: of each base, and of the average's densities turned by its rotation."""
        from pyscf import lib

        mol, some, average = self.mol, self.occupied, self._average
        size, part = some.shape
        turned = [self.orbitals @ each[:, :part] for each in rotations]
        one = np.stack([some @ base.one @ some.T + 2 * _symmetric(each @ average.one @ some.T)
                        for base, each in zip(bases, turned, strict=True)])  # fmt: skip
        weighted = np.stack([self._energy_weighted(base, each) for base, each in zip(bases, rotations, strict=True)])
        core = self.solver._scf.nuc_grad_method().hcore_generator(mol)
        overlap = -mol.intor("int1e_ipovlp", comp=3)
        quarter = np.tensordot(some, average.two, axes=(1, 0))  # [n, o, o, o]
        half = np.einsum("vq,mqrs->mvrs", some, quarter)
        halves = np.stack([np.einsum("mp,vq,pqrs->mvrs", some, some, base.two, optimize=True) for base in bases])
        result = np.empty((len(bases), mol.natm, 3))
        for atom, (first, last, low, high) in enumerate(mol.aoslice_by_atom()):
            every = (0, mol.nbas)
            packed = mol.intor("int2e_ip1", comp=3, aosym="s2kl", shls_slice=(first, last, *every, *every, *every))
            block = (3, high - low, size, size, part)
            inner = (lib.unpack_tril(packed.reshape(-1, packed.shape[-1])).reshape(-1, size) @ some).reshape(block)
            outer = np.tensordot(inner, some, axes=(3, 0))  # two of four places in occupied orbitals
            two = np.einsum("xmvsr,kmvrs->kx", outer, halves[:, low:high], optimize=True)
            # The rotation in the first place of the average's density, in the second, and in the last two.
            left = np.tensordot(outer, quarter, axes=([2, 3, 4], [0, 2, 3]))  # [3, A, o]
            right = np.tensordot(outer, quarter[low:high], axes=([1, 3, 4], [0, 2, 3]))  # [3, n, o]
            behind = 2 * np.tensordot(inner, half[low:high], axes=([1, 2, 4], [0, 1, 3])) + right
            two += np.stack([np.einsum("xmp,mp->x", left, each[low:high]) + np.einsum("xlr,lr->x", behind, each)
                             for each in turned])  # fmt: skip
            result[:, atom] = np.einsum("xij,kij->kx", core(atom), one) - 2 * two
            result[:, atom] -= 2 * np.einsum("xij,kij->kx", overlap[:, low:high], weighted[:, low:high])
        return result

    def _energy_weighted(self, base: Densities, rotation: np.ndarray) -> np.ndarray:
        """What the derivative of the overlaps is contracted with, ``[n, n]`` in the basis functions."""
        part = base.one.shape[0]
        fock = np.zeros_like(rotation)
        fock[:, :part] = self._fock(base)
        average = self._average
        fock += self._fock(average) @ rotation[:, :part].T
        # The rotation in the density's other places, moved to the integrals.
        fock[:, :part] += self._core @ rotation[:, :part] @ average.one
        fock[:, :part] += np.einsum("pxrs,xa,qars->pq", self._coulomb, rotation[:, :part], average.two, optimize=True)
        fock[:, :part] += 2 * np.einsum("prxs,xa,qras->pq", self._exchange, rotation[:, :part], average.two, optimize=True)
        return np.asarray(self.orbitals @ _symmetric(fock) @ self.orbitals.T)

    def _fock(self, densities: Densities) -> np.ndarray:
        """The generalised Fock matrix ``[n, o]``."""
        part = len(densities.one)
        fock = self._core[:, :part] @ densities.one
        return np.asarray(fock + np.einsum("prst,qrst->pq", self._coulomb[:, :part], densities.two, optimize=True))


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return 0.5 * (matrix + matrix.T)
