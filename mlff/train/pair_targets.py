"""Reference values of couplings, dipoles and spin-orbit couplings, put in the order that a potential has them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlff.data import Batch, HDF5Dataset, System
from mlff.data.batch import PAIR_AXES
from mlff.potential.phases import Pairs

if TYPE_CHECKING:
    from mlff.potential.potential import PotentialConfig

Coupling = Literal["interstate_coupling", "nac"]


@dataclass(frozen=True)
class PairTargets:
    """Which quantities of pairs of states are compared with references; pairs are of the potential's states."""

    coupling: Coupling | None = None
    """What the references of couplings are given as."""
    nac_pairs: Pairs = ()
    dipole_pairs: Pairs = ()
    soc_pairs: Pairs = ()
    alike: Pairs = ()
    """Pairs of states of equal multiplicity."""
    shared_phases: bool = False
    """Whether couplings and dipoles come with the same signs of the states."""

    @property
    def any(self) -> bool:
        """Whether there is anything to compare."""
        return self.coupling is not None or bool(self.dipole_pairs or self.soc_pairs)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What is to be read of the data."""
        couplings = ("interstate_coupling", "nac") if self.coupling is not None else ()
        return (*couplings, *["dipole"] * bool(self.dipole_pairs), *["soc_magnitude"] * bool(self.soc_pairs))

    @classmethod
    def of(cls, config: PotentialConfig, systems: Sequence[System]) -> PairTargets:
        """All that the potential predicts and some of the systems has.

        Couplings are compared as the potential learns them: as interstate couplings, which are smooth where states come
        close, unless it predicts nonadiabatic couplings directly.
        """
        held = {name for system in systems for name in PAIR_AXES if system.has(name)}
        coupling: Coupling = "nac" if config.couplings == "direct" else "interstate_coupling"
        spins = config.multiplicities or (1,) * config.num_states
        alike = tuple((i, j) for j in range(config.num_states) for i in range(j) if spins[i] == spins[j])
        return cls(
            coupling=coupling if config.nac_pairs and held & {"nac", "interstate_coupling"} else None,
            nac_pairs=tuple(config.nac_pairs),
            dipole_pairs=tuple(config.dipole_pairs) if "dipole" in held else (),
            soc_pairs=tuple(config.soc_pairs) if "soc_magnitude" in held else (),
            alike=alike,
            shared_phases=phases_are_consistent(systems),
        )

    def read(self, batch: Batch, states: Sequence[int] | None) -> dict[str, tuple[np.ndarray, np.ndarray, Pairs]]:
        """Values, masks of each value and pairs, by quantity; couplings under the name of ``coupling`` alone.

        Interstate couplings that data lack are made of their nonadiabatic couplings and gaps, ``h_ij = d_ij (E_j - E_i)``, and
        the other way round.

        Args:
            batch: frames with what ``quantities`` names.
            states: the data's state behind each of the potential's; the same numbers by default.
        """
        found: dict[str, tuple[np.ndarray, np.ndarray, Pairs]] = {}
        if self.coupling is not None:
            found[self.coupling] = self._couplings(batch, states)
        for name, pairs in (("dipole", self.dipole_pairs), ("soc_magnitude", self.soc_pairs)):
            if pairs:
                found[name] = (*_taken(batch, name, pairs, states), pairs)
        return found

    def _couplings(self, batch: Batch, states: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray, Pairs]:
        assert self.coupling is not None
        values, known = _taken(batch, self.coupling, self.nac_pairs, states)
        other, other_known = _taken(batch, "nac" if self.coupling != "nac" else "interstate_coupling", self.nac_pairs, states)
        if (other_known & ~known).any() and batch.energy is not None:
            columns = np.array(self.nac_pairs).T if states is None else np.asarray(states)[np.array(self.nac_pairs).T]
            energy = np.where(batch.energy_valid, batch.energy, np.nan)
            gap = (energy[:, columns[1]] - energy[:, columns[0]])[batch.batch][:, :, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                made = other * gap if self.coupling == "interstate_coupling" else other / gap
            values = np.where(known, values, made)
            known = known | (other_known & np.isfinite(made))
        return values, known, self.nac_pairs


def phases_are_consistent(systems: Sequence[System]) -> bool:
    """Whether the signs of couplings and dipoles in a frame are those of one set of wave functions.

    Data say so by ``phase``: "tracked" along trajectories or "aligned" to a reference. Of "raw" output that is not known:
    programs compute couplings and transition dipoles in steps that may each choose signs.
    """
    return bool(systems) and all(system.phase in ("tracked", "aligned") for system in systems)


def _taken(batch: Batch, name: str, pairs: Pairs, states: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values and masks of each value for these pairs of the potential's states; NaN and false for those that data lack."""
    per_atom = name in ("nac", "interstate_coupling")
    shape = (len(batch.positions) if per_atom else batch.num_frames, len(pairs), *(() if name == "soc_magnitude" else (3,)))
    values, known = np.full(shape, np.nan), np.zeros(shape, bool)
    held = batch.of_pairs.get(name)
    for column, pair in enumerate(pairs):
        i, j = pair if states is None else (states[pair[0]], states[pair[1]])
        if held is None or (min(i, j), max(i, j)) not in held.pairs:
            continue
        source = held.pairs.index((min(i, j), max(i, j)))
        sign = -1.0 if name == "nac" and i > j else 1.0  # antisymmetric, where states were chosen in another order
        values[:, column] = sign * held.values[:, source]
        valid = held.valid[batch.batch, source] if per_atom else held.valid[:, source]
        known[:, column] = valid.reshape(-1, *[1] * (known.ndim - 2)) & np.isfinite(values[:, column])
    return values, known


def frames_with(dataset: HDF5Dataset, indices: np.ndarray, name: str, pair: tuple[int, int]) -> int:
    """In how many frames the data have a quantity for a pair of their states."""
    owners, rows = dataset.locate(indices)
    pair = (min(pair), max(pair))
    count = 0
    for k in np.unique(owners):
        system = dataset.systems[k]
        own = {"dipole": system.dipole_pairs, "soc_magnitude": system.soc_pairs}.get(name, system.nac_pairs)
        if system.has(name) and pair in own:
            mask = f"{name}_valid"
            values = system.read(mask if system.has(mask) else name, rows[owners == k])[:, own.index(pair)]
            count += int((values if values.dtype == bool else np.isfinite(values)).sum())
    return count
