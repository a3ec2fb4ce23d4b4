"""Structures to be labelled, one at a time: from files of any format of ASE, from native files, or as ase.Atoms."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from mlff.data.dataset import HDF5Dataset
from mlff.data.frame import Frame
from mlff.datasets import EMBEDDED

Source = str | os.PathLike[str] | Atoms


@dataclass(frozen=True)
class Structure:
    """A geometry without labels, and where it is from."""

    frame: Frame
    source: str  #: the file, or empty
    place: int  #: number in the source, from 0
    multiplicity: int | None = None  #: 2S+1; None where the source does not say

    @property
    def called(self) -> str:
        """``water.xyz, structure 3 (H2O)``, with the trajectory after the formula where it has a name."""
        known = [Atoms(self.frame.atomic_numbers).get_chemical_formula()]
        if self.frame.trajectory is not None:
            known.append(self.frame.trajectory)
        return f"{Path(self.source).name + ', ' if self.source else ''}structure {self.place} ({', '.join(known)})"


def read_structures(
    sources: Sequence[Source], *, every: int = 1, charge: float | None = None, multiplicity: int | None = None
) -> Iterator[Structure]:
    """All structures in their order; of each file, and of the Atoms, every so-many-th.

    A source is a file that ASE reads (``FILE@INDEX`` for some of its frames), a native file, the name of a data set inside
    the package, or an ase.Atoms. ``charge`` (e) and ``multiplicity`` take the place of what the sources say.

    Raises:
        ValueError: a file that cannot be read as structures.
        FileNotFoundError: there is no such file.
    """
    number = 0
    for source in sources:
        if isinstance(source, Atoms):
            found: Iterator[Structure] = iter([Structure(_frame(source), "", number, _multiplicity(source))])
            number += 1
        else:
            found = _of_file(os.fspath(source))
        for each in found:
            if each.place % every == 0:
                frame = each.frame if charge is None else replace(each.frame, charge=float(charge))
                yield replace(each, frame=frame, multiplicity=multiplicity or each.multiplicity)


def survey(structures: Iterator[Structure]) -> tuple[int, str]:
    """Number of structures, and a hash of all that the labels depend on."""
    digest, count = hashlib.sha256(), 0
    for each in structures:
        frame = each.frame
        digest.update(repr((each.place, each.source, frame.charge, each.multiplicity, frame.trajectory)).encode())
        for values in (frame.atomic_numbers, frame.positions, frame.cell, frame.pbc):
            digest.update(b"-" if values is None else np.ascontiguousarray(values).tobytes())
        count += 1
    return count, digest.hexdigest()


def _of_file(text: str) -> Iterator[Structure]:
    path = Path(text)
    if text in EMBEDDED and not path.exists():
        return _of_dataset(EMBEDDED[text]())
    if not path.exists() and "@" in text:
        path = Path(text.rpartition("@")[0])
    if not path.exists():
        raise FileNotFoundError(f"there is no file {text}")
    if path.is_dir():
        raise ValueError(f"{text} is a folder; files with structures were expected")
    with path.open("rb") as stream:
        hdf5 = stream.read(8) == b"\x89HDF\r\n\x1a\n"
    return _of_dataset(HDF5Dataset(path)) if hdf5 else _of_ase(text)


def _of_dataset(dataset: HDF5Dataset) -> Iterator[Structure]:
    multiplicities = {system.name: system.multiplicities[0] or None for system in dataset.systems}
    for k in range(len(dataset)):
        frame = dataset.frame(k)
        bare = Frame(
            atomic_numbers=frame.atomic_numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc,
            velocities=frame.velocities, masses=frame.masses, charge=frame.charge, trajectory=frame.trajectory,
            step=frame.step, time=frame.time,
        )  # fmt: skip
        yield Structure(bare, str(dataset.path), k, multiplicities[frame.system])


def _of_ase(text: str) -> Iterator[Structure]:
    try:
        for k, atoms in enumerate(ase.io.iread(text, index=None if "@" in text else ":")):
            yield Structure(_frame(atoms), text, k, _multiplicity(atoms))
    except Exception as error:  # each of ASE's readers raises its own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"`{text}` could not be read as structures (any format of ASE, such as .xyz, .extxyz, .traj, .cif, "
                         f"or a native file): {reason}") from error


def _frame(atoms: Atoms) -> Frame:
    """The frame without whatever labels the atoms bring."""
    known = {key: atoms.info[key] for key in ("charge", "trajectory", "step", "time") if key in atoms.info}
    if "charge" not in known and atoms.has("initial_charges"):
        known["charge"] = float(atoms.get_initial_charges().sum())
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=known)
    for name in ("momenta", "masses"):
        if atoms.has(name):
            bare.set_array(name, atoms.arrays[name])
    return Frame.from_ase(bare)


def _multiplicity(atoms: Atoms) -> int | None:
    """2S+1 from ``info["multiplicity"]`` or ASE's initial magnetic moments, where they are there."""
    if "multiplicity" in atoms.info:
        return int(atoms.info["multiplicity"])
    return 1 + round(abs(float(atoms.get_initial_magnetic_moments().sum()))) if atoms.has("initial_magmoms") else None
