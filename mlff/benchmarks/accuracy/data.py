"""The data sets of a comparison as native files with a split: those that are not are imported, once, beside the runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms
from ase.io import write

from mlff.data import HDF5Dataset, HDF5Writer, splits
from mlff.data.importers import import_sources
from mlff.data.schema import is_native
from mlff.datasets import EMBEDDED
from mlff.train.filtering import filter_parts
from mlff.train.prepare import choose_split, open_dataset

from .spec import DataEntry


def native_paths(entry: DataEntry, folder: Path, tell: Callable[[str], object]) -> tuple[str, ...]:
    """The native files of a data set (or words for those inside the package); what is not native is imported into `folder`.

    Raises:
        ValueError, OSError: a file that cannot be read, or has no split that could be used.
    """
    if len(entry.paths) > 1 or entry.paths[0] in EMBEDDED:
        if entry.divide is not None:
            raise ValueError(f"`divide` of the data set {entry.label} goes with one file of yours; divide these with "
                             f"`mlff data split`, or leave it out")
        return entry.paths
    source = Path(entry.paths[0])
    native = source.is_file() and is_native(source)
    if native and entry.divide is None:
        return entry.paths
    target = folder / "data" / f"{entry.label}.h5"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            aside = Path(scratch) / target.name
            if native:
                shutil.copyfile(source, aside)
            else:
                tell(f"importing {source}")
                import_sources([source], aside)
            if entry.divide is not None:
                _divide(aside, entry)
            os.replace(aside, target)
    return (str(target),)


def _divide(path: Path, entry: DataEntry) -> None:
    """Store the split that the entry asks for, called as its kind unless the entry names it."""
    dataset = HDF5Dataset(path)
    name = entry.split or str(entry.divide)
    if name in dataset.splits:
        return
    if entry.divide == "time":
        split = splits.by_time(dataset, entry.fractions)
    elif entry.divide == "trajectory":
        split = splits.by_trajectory(dataset, entry.fractions, seed=entry.divide_seed)
    else:
        split = splits.random(dataset, entry.fractions, seed=entry.divide_seed)
    drawn = entry.divide != "time"
    with HDF5Writer(path, "a") as writer:
        seed = entry.divide_seed if drawn else None
        writer.add_split(name, split, kind=str(entry.divide), seed=seed, fractions=entry.fractions)


def write_structure(entry: DataEntry, paths: Sequence[str], target: Path) -> Path:
    """The first frame of test (of val, where there is no test) as an xyz file: what MD steps are timed with."""
    if not target.is_file():
        dataset = open_dataset(*paths)
        split = dataset.split(choose_split(dataset, entry.split or entry.divide))
        parts, _ = filter_parts(dataset, split, entry.filter)
        chosen = parts["test"] if len(parts["test"]) else parts["val"]
        frame = dataset[int(chosen[0])]
        atoms = Atoms(frame.atomic_numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}")
        write(aside, atoms, format="extxyz")
        aside.replace(target)
    return target
