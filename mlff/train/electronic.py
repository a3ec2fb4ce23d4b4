"""What a run learns of several electronic states: settings of the potential from the configuration and from what data have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlff.data import System
from mlff.potential.phases import Pairs
from mlff.potential.potential import PotentialConfig
from mlff.train.pair_errors import pair_name
from mlff.train.pair_targets import PairTargets, frames_with

if TYPE_CHECKING:
    from mlff.train.config import TrainConfig
    from mlff.train.potential_config import PotentialSection
    from mlff.train.prepare import RunData

ORDER_TOLERANCE = 1e-6
"""eV by which states of a diabatic potential may be out of order in the data."""


def electronic_settings(section: PotentialSection, data: RunData) -> dict[str, Any]:
    """The settings of a `PotentialConfig` that tell of its states and of what it predicts for pairs of them.

    Raises:
        ValueError: a quantity that the data lack, systems that disagree, or states that a diabatic matrix cannot have.
    """
    if data.noise is not None:
        return {}
    systems = used_systems(data)
    spins = _multiplicities(section, data, systems)
    settings: dict[str, Any] = {"multiplicities": spins, "state_labels": data.state_labels, "surfaces": section.surfaces}
    if section.labelled_atoms:
        settings["labelled_atoms"] = _one_molecule(data, systems)
    if section.parities is not None:
        if len(section.parities) != len(data.states):
            raise ValueError(f"`potential.parities` is {list(section.parities)}, but {len(data.states)} states are learned; "
                             f"give 1 or -1 for each")
        settings["parities"] = section.parities
    if section.surfaces == "diabatic":
        if len(data.states) < 2:
            raise ValueError("`potential.surfaces` is `diabatic`, a matrix of several states, but one state is learned; choose "
                             "two or more with `data.states` (--states 2), or leave `diabatic` out")
        _check_order(data, spins)
    if section.couplings is not None:
        pairs = _pairs_of(data, systems, ("interstate_coupling", "nac"), spins)
        if not pairs:
            raise _missing("potential.couplings", "--nac", "couplings between the states", data)
        if section.surfaces == "separate":
            settings |= {"couplings": section.couplings, "nac_pairs": pairs}
    if section.dipoles:
        settings["dipole_pairs"] = _pairs_of(data, systems, ("dipole",), spins)
        if not settings["dipole_pairs"]:
            raise _missing("potential.dipoles", "--dipoles", "dipoles of the states", data)
        charges = sorted({system.charge for system in systems})
        if len(charges) > 1:
            raise ValueError(f"dipoles are to be learned, but the systems of `{data.dataset.files}` have different charges "
                             f"({', '.join(f'{charge:+g}' for charge in charges)} e), on which they depend; train on one of "
                             f"them (`data.filter.system=NAME`)")
        settings["total_charge"] = charges[0]
    if section.soc:
        held = _pairs_of(data, systems, ("soc_magnitude",), None)
        if not held:
            raise _missing("potential.soc", "--soc", "spin-orbit couplings of the states", data)
        if spins is None:
            raise ValueError(f"spin-orbit couplings are to be learned, but `{data.dataset.files}` does not say the "
                             f"multiplicities of the states; give one for each, such as `potential.multiplicities=[1,1,3,3]`")
        settings["soc_pairs"] = tuple(
            (i, j) for i, j in held if abs(spins[i] - spins[j]) in (0, 2) and (spins[i], spins[j]) != (1, 1)
        )
        if not settings["soc_pairs"]:
            raise ValueError(f"spin-orbit couplings are to be learned, but none of the chosen states, of the multiplicities "
                             f"{list(spins)}, are connected by them; choose states of more multiplicities with `data.states`")
    return settings


def trained_pairs(config: TrainConfig, potential: PotentialConfig, data: RunData) -> PairTargets:
    """What is compared with the data in training: that which ``potential`` asks for and ``loss`` has a weight for."""
    section, loss = config.potential, config.loss
    every = PairTargets.of(potential, used_systems(data))
    return replace(
        every,
        coupling=every.coupling if section.couplings is not None and loss.couplings > 0 else None,
        dipole_pairs=every.dipole_pairs if section.dipoles and loss.dipoles > 0 else (),
        soc_pairs=every.soc_pairs if section.soc and loss.soc > 0 else (),
    )


def learned_lines(potential: PotentialConfig, pairs: PairTargets, data: RunData) -> list[str]:
    """Sentences that tell which states are learned, which pairs of them, and how many training frames know each."""
    if data.noise is not None or (len(data.states) == 1 and data.dataset.num_states == 1):
        return []
    labels, total = data.state_labels, len(data.train)
    kind = " as eigenvalues of a diabatic matrix" if potential.surfaces == "diabatic" else ""
    states = ", ".join(f"{state} ({label})" for state, label in zip(data.states, labels))
    lines = [f"Learns the energies of {_states(len(labels))} of the data{kind}: {states}"]
    known = _known_forces(data)
    if known is not None and len(labels) > 1:
        lines.append(f"  forces: known in {_counts(dict(zip(labels, known)), total)}")
    coupling = {"interstate_coupling": "interstate couplings", "nac": "nonadiabatic couplings, directly"}
    for title, of, names in (
        (coupling.get(pairs.coupling or "", ""), pairs.nac_pairs, ("interstate_coupling", "nac")),
        ("dipoles", pairs.dipole_pairs, ("dipole",)),
        ("spin-orbit couplings", pairs.soc_pairs, ("soc_magnitude",)),
    ):
        if of and title and (title in ("dipoles", "spin-orbit couplings") or pairs.coupling is not None):
            counts = {
                pair_name((i, j), labels): max(
                    frames_with(data.dataset, data.train, name, (data.states[i], data.states[j])) for name in names
                )
                for i, j in of
            }
            lines.append(f"  {title}: known in {_counts(counts, total)}")
    return lines


def used_systems(data: RunData) -> list[System]:
    """The systems that training frames are of."""
    return [data.dataset.systems[k] for k in np.unique(data.dataset.locate(data.train)[0])]


def _one_molecule(data: RunData, systems: Sequence[System]) -> tuple[int, ...]:
    """Atomic numbers of the one molecule in the data, in order."""
    found = {tuple(int(z) for z in system.atomic_numbers) for system in systems}
    if len(found) > 1:
        raise ValueError(f"`potential.labelled_atoms` tells the atoms of one molecule apart by their place, but "
                         f"`{data.dataset.files}` has {len(found)} molecules, or orders of their atoms; leave it out, or train "
                         f"on one of them (`data.filter.system=NAME`)")
    return found.pop()


def _multiplicities(section: PotentialSection, data: RunData, systems: Sequence[System]) -> tuple[int, ...] | None:
    """Of the states that are learned; None where the data do not say."""
    if section.multiplicities is not None:
        if len(section.multiplicities) != len(data.states):
            raise ValueError(f"`potential.multiplicities` is {list(section.multiplicities)}, but {len(data.states)} states are "
                             f"learned; give one for each")
        return section.multiplicities
    found: dict[int, set[int]] = {state: set() for state in data.states}
    for system in systems:
        for state in data.states:
            if state < system.num_states and system.multiplicities[state] > 0:
                found[state].add(system.multiplicities[state])
    for state, spins in found.items():
        if len(spins) > 1:
            raise ValueError(f"state {state} has the multiplicities {sorted(spins)} in different systems of "
                             f"`{data.dataset.files}`, so it is not one state; choose systems with `data.filter.system`")
    if not all(found.values()):
        return None
    return tuple(next(iter(found[state])) for state in data.states)


def _pairs_of(data: RunData, systems: Sequence[System], names: Sequence[str], spins: Sequence[int] | None) -> Pairs:
    """Pairs of the learned states that some system has a quantity for, of equal multiplicity where `spins` say it."""
    axes = {"dipole": "dipole_pairs", "soc_magnitude": "soc_pairs"}
    held = {
        pair
        for system in systems
        for name in names
        if system.has(name)
        for pair in getattr(system, axes.get(name, "nac_pairs"))
    }
    place = {state: k for k, state in enumerate(data.states)}
    pairs = {tuple(sorted((place[i], place[j]))) for i, j in held if i in place and j in place}
    return tuple(sorted((i, j) for i, j in pairs if spins is None or spins[i] == spins[j]))


def _check_order(data: RunData, spins: Sequence[int] | None) -> None:
    from mlff.train.prepare import read_energies

    energies = read_energies(data.dataset, data.train)[:, list(data.states)]
    given = spins or (1,) * len(data.states)
    for spin in dict.fromkeys(given):
        block = [k for k, each in enumerate(given) if each == spin]
        for lower, upper in zip(block[:-1], block[1:]):
            wrong = int((energies[:, upper] < energies[:, lower] - ORDER_TOLERANCE).sum())
            if wrong:
                hint = "; or say which is which with `potential.multiplicities`" if spins is None else ""
                raise ValueError(f"a diabatic potential orders its states by energy, but in {wrong} of {len(energies)} "
                                 f"training frames {data.state_labels[upper]} lies below {data.state_labels[lower]}; take "
                                 f"`potential.surfaces=separate`, or name the states in the order of their energies with "
                                 f"`data.states`{hint}")


def _missing(key: str, option: str, what: str, data: RunData) -> ValueError:
    held = sorted({name for system in used_systems(data) for name in system.names if not name.endswith("_valid")})
    return ValueError(f"`{key}` ({option}) is set, but the training frames of `{data.dataset.files}` have no {what} "
                      f"{', '.join(data.state_labels)}; they have {', '.join(held)}. Leave it out, or import the data again "
                      f"with them")


def _known_forces(data: RunData) -> list[int] | None:
    """In how many training frames the forces of each learned state are known."""
    owners, rows = data.dataset.locate(data.train)
    counts = np.zeros(len(data.states), np.int64)
    for k in np.unique(owners):
        system = data.dataset.systems[k]
        if system.has("forces_valid"):
            mask = system.read("forces_valid", rows[owners == k])
            counts += [int(mask[:, state].sum()) if state < system.num_states else 0 for state in data.states]
    return counts.tolist() if counts.any() else None


def _counts(counts: dict[str, int], total: int) -> str:
    """``280 (S0-S1), 260 (S0-S2) of 300 training frames``, in a word where all have all."""
    if all(count == total for count in counts.values()):
        return f"all {total} training frames ({', '.join(counts)})"
    return f"{', '.join(f'{count} ({name})' for name, count in counts.items())} of {total} training frames"


def _states(number: int) -> str:
    return f"{number} state{'s' * (number > 1)}"
