"""SHARC's spin-resolved states and atomic units become S states (roots) and the package's units.

SHARC orders states by multiplicity, then M_S, then root, so a triplet appears three times; its components share energy,
gradient and couplings, and become one state with its ``spin_states`` kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlff.data.importers.sharc.raw import SharcFrames, SharcHeader
from mlff.data.importers.trajectory import SystemFacts, hops
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, ELECTRON_MASS, HARTREE

_UNSET = 100.0  # overlaps that SHARC has not computed are -123
_ANTISYMMETRIC = 1e-6  # of the largest coupling


@dataclass(frozen=True)
class SpinStates:
    """The S states behind M spin components, and the pairs of states of one multiplicity."""

    multiplicity: tuple[int, ...]  #: [S]
    root: tuple[int, ...]  #: [S]
    components: tuple[tuple[int, int], ...]  #: [M], (state, 2 M_S)

    @classmethod
    def of(cls, states_per_multiplicity: tuple[int, ...]) -> SpinStates:
        """In SHARC's order."""
        multiplicity: list[int] = []
        root: list[int] = []
        components: list[tuple[int, int]] = []
        for k, count in enumerate(states_per_multiplicity):
            first = len(multiplicity)
            multiplicity += [k + 1] * count
            root += range(count)
            for twice_ms in range(-k, k + 1, 2):
                components += [(first + each, twice_ms) for each in range(count)]
        return cls(tuple(multiplicity), tuple(root), tuple(components))

    @property
    def num_states(self) -> int:
        """Number of states, S."""
        return len(self.multiplicity)

    @property
    def resolved(self) -> bool:
        """Whether any state has more than one component."""
        return len(self.components) > self.num_states

    def of_state(self, state: int) -> list[int]:
        """The components of a state."""
        return [k for k, (owner, _) in enumerate(self.components) if owner == state]

    def pairs(self, *, equal: bool = False) -> list[tuple[int, int]]:
        """States i < j (i <= j if ``equal``) of one multiplicity."""
        return [
            (i, j)
            for i in range(self.num_states)
            for j in range(i if equal else i + 1, self.num_states)
            if self.multiplicity[i] == self.multiplicity[j]
        ]

    def soc_pairs(self) -> list[tuple[int, int]]:
        """States i < j that spin-orbit coupling can mix: multiplicities equal or two apart, not two singlets."""
        m = self.multiplicity
        pairs = [(i, j) for i in range(self.num_states) for j in range(i + 1, self.num_states)]
        return [(i, j) for i, j in pairs if abs(m[i] - m[j]) in (0, 2) and m[i] + m[j] > 2]


def convert(
    header: SharcHeader, frames: SharcFrames, charge: float | None
) -> tuple[SystemFacts, dict[str, np.ndarray], list[str]]:
    """Facts of the system, columns in the package's units, and what is doubtful about them."""
    spins = SpinStates.of(header.states_per_multiplicity)
    first = [spins.of_state(state)[0] for state in range(spins.num_states)]
    problems: list[str] = []
    columns: dict[str, np.ndarray] = {
        "positions": frames.positions * BOHR,
        "step": frames.step,
        "time": frames.time * ATOMIC_TIME,
    }
    soc_pairs: list[tuple[int, int]] = []
    if frames.hamiltonian is not None:
        diagonal = np.einsum("faa->fa", frames.hamiltonian)
        columns["energy"] = (diagonal[:, first].real + header.ezero) * HARTREE
        coupling = frames.hamiltonian - np.einsum("fa,ab->fab", diagonal, np.eye(diagonal.shape[1]))
        if np.nan_to_num(coupling).any():
            soc_pairs = spins.soc_pairs()
            columns["soc"] = coupling * HARTREE
            columns["soc_magnitude"] = soc_magnitudes(columns["soc"], spins, soc_pairs)
            if (largest := np.nanmax(np.abs(coupling - coupling.conj().swapaxes(1, 2)))) > 1e-10:
                problems.append(f"the Hamiltonian is not hermitian (by {largest:.1e} hartree)")
    if frames.velocities is not None:
        columns["velocities"] = frames.velocities * ATOMIC_VELOCITY
    if frames.kinetic_energy is not None:
        columns["kinetic_energy"] = frames.kinetic_energy * HARTREE
    if frames.mch_state is not None:
        columns |= _active(frames.mch_state, spins, problems)
    if frames.diagonal_state is not None:
        columns["active_diagonal_state"] = _known(frames.diagonal_state, "diagonal", len(spins.components), problems)
    if frames.hopping_probability is not None:
        began = (frames.step == 0) & ~frames.hopping_probability.any(axis=1)  # zeros before the first step
        columns["hopping_probability"] = np.where(began[:, None], np.nan, frames.hopping_probability)
    if frames.gradients is not None:
        gradients = _computed([frames.gradients[:, spins.of_state(s)] for s in range(spins.num_states)])
        columns["forces"] = -gradients.transpose(0, 2, 1, 3) * (HARTREE / BOHR)
    nac_pairs = spins.pairs()
    if frames.nac is not None and nac_pairs:
        columns["nac"] = _couplings(frames.nac, spins, nac_pairs, problems) / BOHR
    else:
        nac_pairs = []
    dipole_pairs = spins.pairs(equal=True) if frames.dipole is not None else []
    if frames.dipole is not None:
        i, j = np.array(dipole_pairs).T
        dipoles = frames.dipole[:, :, np.array(first)[i], np.array(first)[j]].real
        columns["dipole"] = dipoles.transpose(0, 2, 1) * BOHR
    if frames.overlap is not None:
        unset = (np.abs(frames.overlap) > _UNSET).any(axis=(1, 2)) | ~frames.overlap.any(axis=(1, 2))
        columns["overlap"] = np.where(unset[:, None, None], np.nan, frames.overlap)
    if frames.coefficients is not None and frames.transformation is not None:
        columns["coefficients"] = np.einsum("fab,fb->fa", frames.transformation, frames.coefficients)
    facts = SystemFacts(
        header.atomic_numbers,
        num_states=spins.num_states,
        masses=tuple(mass * ELECTRON_MASS for mass in header.masses),
        charge=charge,
        multiplicity=spins.multiplicity,
        root=spins.root,
        spin_states=spins.components,
        nac_pairs=tuple(nac_pairs),
        dipole_pairs=tuple(dipole_pairs),
        soc_pairs=tuple(soc_pairs),
        program=f"SHARC {header.version}",
    )
    return facts, columns, problems


def _active(mch_state: np.ndarray, spins: SpinStates, problems: list[str]) -> dict[str, np.ndarray]:
    owners = np.array([owner for owner, _ in spins.components])
    component = _known(mch_state, "MCH", len(owners), problems)
    active = np.where(component >= 0, owners[component], -1)
    return {"active_state": active, "active_spin_state": component, "hop": hops(active)}


def _known(state: np.ndarray, basis: str, num: int, problems: list[str]) -> np.ndarray:
    """States from 0; -1 where the number is none of the ``num``."""
    known = (state >= 1) & (state <= num)
    if not known.all():
        problems.append(f"the active {basis} state of {int((~known).sum())} frames is none of the {num}: unknown there")
    return np.where(known, state - 1, -1)


def _computed(by_state: list[np.ndarray]) -> np.ndarray:
    """``[F,S,N,3]`` from the components ``[F,c,N,3]`` of each state: the first that is not exactly zero, else NaN."""
    result = np.full((len(by_state[0]), len(by_state), *by_state[0].shape[2:]), np.nan)
    for k, values in enumerate(by_state):
        there: np.ndarray = np.any(values, axis=(2, 3))
        which = there.argmax(axis=1)
        chosen = values[np.arange(len(values)), which]
        result[:, k] = np.where(np.any(there, axis=1)[:, None, None], chosen, np.nan)
    return result


def _couplings(nac: np.ndarray, spins: SpinStates, pairs: list[tuple[int, int]], problems: list[str]) -> np.ndarray:
    """``[F,N,P,3]`` 1/bohr, of components with equal M_S."""
    by_pair = []
    worst = 0.0
    for i, j in pairs:
        both = list(zip(spins.of_state(i), spins.of_state(j), strict=True))
        by_pair.append(np.stack([nac[:, a, b] for a, b in both], axis=1))
        for a, b in both:
            there = np.any(nac[:, a, b], axis=(1, 2)) & np.any(nac[:, b, a], axis=(1, 2))
            sums = np.abs(nac[there, a, b] + nac[there, b, a])
            worst = max(worst, float(sums.max(initial=0.0) / max(np.abs(nac).max(), 1e-12)))
    if worst > _ANTISYMMETRIC:
        problems.append(f"the couplings of (i,j) and (j,i) are not opposite (by {worst:.1e} of the largest)")
    return _computed(by_pair).transpose(0, 2, 1, 3)


def soc_magnitudes(soc: np.ndarray, spins: SpinStates, pairs: list[tuple[int, int]]) -> np.ndarray:
    """``[F,R]``: root of the sum of |soc|^2 over the components of the two states."""
    result = np.empty((len(soc), len(pairs)))
    for k, (i, j) in enumerate(pairs):
        block = soc[:, spins.of_state(i)][:, :, spins.of_state(j)]
        result[:, k] = np.sqrt((np.abs(block) ** 2).sum(axis=(1, 2)))
    return result
