"""The data sets of a comparison as native files with a split: those that are not are imported, once, beside the runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
    there = target.is_file()
    if there and source.is_file() and source.stat().st_mtime > target.stat().st_mtime:
        tell(f"{source} is newer than {target}, which was made of it and is used; for the new one give another `name` or -o")
    if not there or (entry.divide is not None and _split_name(entry) not in HDF5Dataset(target).splits):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            aside = Path(scratch) / target.name
            if there or native:
                shutil.copyfile(target if there else source, aside)
            else:
                tell(f"importing {source}")
                import_sources([source], aside)
            if entry.divide is not None:
                _divide(aside, entry)
            elif not HDF5Dataset(aside).splits:
                raise ValueError(f"{source} has no split into train, val and test; say how to make one: "
                                 f"`data: {{path: {source}, divide: time}}` (or trajectory, or random)")
            os.replace(aside, target)
    if entry.divide is not None:
        _check_division(target, entry)
    return (str(target),)


def _split_name(entry: DataEntry) -> str:
    """The split that the entry asks for: called as its kind unless the entry names it."""
    return entry.split or str(entry.divide)


def _division(entry: DataEntry) -> dict[str, Any]:
    """How a split that the entry asks for is made, as the native file tells it."""
    seed = None if entry.divide == "time" else entry.divide_seed
    return {"kind": str(entry.divide), "seed": seed, "fractions": tuple(entry.fractions)}


def _divide(path: Path, entry: DataEntry) -> None:
    """Store the split that the entry asks for, where the file has none of its name."""
    dataset = HDF5Dataset(path)
    name = _split_name(entry)
    if name in dataset.splits:
        return
    if entry.divide == "time":
        split = splits.by_time(dataset, entry.fractions)
    elif entry.divide == "trajectory":
        split = splits.by_trajectory(dataset, entry.fractions, seed=entry.divide_seed)
    else:
        split = splits.random(dataset, entry.fractions, seed=entry.divide_seed)
    with HDF5Writer(path, "a") as writer:
        writer.add_split(name, split, **_division(entry))


def _check_division(path: Path, entry: DataEntry) -> None:
    """Refuse a split of that name which tells that it was made otherwise than the entry asks."""
    name = _split_name(entry)
    asked = _division(entry)
    told: dict[str, Any] = HDF5Dataset(path).split_attrs(name)
    made = {key: value for key, value in asked.items() if key in told}
    made |= {key: told[key] if np.ndim(told[key]) == 0 else tuple(np.asarray(told[key]).tolist()) for key in made}
    if any(made[key] != asked[key] for key in made):
        old, new = (", ".join(f"{key} {each[key]}" for key in made) for each in (made, asked))
        raise ValueError(f"the split `{name}` of {path} was made with {old}, and `data` asks for {new}; "
                         f"call the new one otherwise (`split: NAME`), or leave `divide` out")


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
