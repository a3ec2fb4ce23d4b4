"""What the frames of an H5MD particles group share: elements, and in our own files states, pairs and charge."""

from __future__ import annotations

import h5py
import numpy as np
from ase.data import atomic_masses, chemical_symbols
from ase.data import atomic_numbers as numbers_of

from mlff.data.importers.h5md.elements import ParticlesGroup, text
from mlff.data.importers.trajectory import SystemFacts


def stored_facts(group: h5py.Group, parts: ParticlesGroup) -> SystemFacts:
    """The facts of a file that `mlff data export` wrote."""

    def pairs(name: str) -> tuple[tuple[int, int], ...]:
        return tuple((int(i), int(j)) for i, j in group[name][:])

    species = parts.group["species"][:]
    multiplicity = tuple(int(each) for each in group["multiplicity"][:])
    label = tuple(text(each) for each in group["label"][:])
    phase = text(group.attrs["phase"])
    return SystemFacts(
        tuple(int(each) for each in species),
        num_states=len(multiplicity),
        masses=parts.masses(len(species)),
        charge=float(group.attrs["charge"]),
        multiplicity=multiplicity if any(multiplicity) else (),
        root=tuple(int(each) for each in group["root"][:]),
        label=label if any(label) else (),
        spin_states=pairs("spin_states"),
        nac_pairs=pairs("pairs/nac"),
        dipole_pairs=pairs("pairs/dipole"),
        soc_pairs=pairs("pairs/soc"),
        level_of_theory=text(group.attrs["level_of_theory"]),
        program=text(group.attrs["program"]),
        phase=phase if phase in ("raw", "tracked", "aligned") else "raw",  # type: ignore[arg-type]
    )


def atomic_numbers(parts: ParticlesGroup, num_atoms: int) -> tuple[int, ...]:
    """Elements of the atoms, from the species or the masses.

    Raises:
        ValueError: neither says them, or they contradict each other.
    """
    species, masses = parts.species(num_atoms), parts.masses(num_atoms)
    if species is None:
        if masses is None:
            raise ValueError(f"{parts.label}: it has neither species nor masses, so the elements are not known")
        parts.problems.append(f"{parts.label}: it has no species; the elements are those of the masses")
        return tuple(_element_of_mass(parts, mass) for mass in masses)
    names = parts.species_names()
    if names:
        numbers = [numbers_of.get(names.get(int(each), "").strip().capitalize(), 0) for each in species]
    else:
        numbers = [int(each) if 0 < each < 119 else 0 for each in species]
    if not all(numbers):
        odd = next(each for each, number in zip(species, numbers, strict=True) if not number)
        raise ValueError(f"{parts.label}: the species {names.get(int(odd), odd)!r} is no element nor an atomic number")
    off = None if masses is None else np.abs(np.array(masses) - atomic_masses[numbers])
    if off is not None and (off > 1.5).any():  # 1.5 amu: deuterium passes
        if names:
            at = int(off.argmax())
            raise ValueError(
                f"{parts.label}: an atom {chemical_symbols[numbers[at]]} has the mass {(masses or ())[at]:g} u"
            )
        parts.problems.append(
            f"{parts.label}: its species are types, not atomic numbers; the elements are those of the masses"
        )
        return tuple(_element_of_mass(parts, mass) for mass in masses or ())
    if not names and off is None:
        parts.problems.append(f"{parts.label}: its species are taken as atomic numbers")
    return tuple(numbers)


def _element_of_mass(parts: ParticlesGroup, mass: float) -> int:
    off = np.abs(atomic_masses[1:] - mass)
    number = int(off.argmin()) + 1
    if off.min() > 0.1:
        raise ValueError(f"{parts.label}: no element has the mass {mass:g} u")
    return number
