"""Structure files: read one structure, and write results whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms
from ase.io.formats import UnknownFileTypeError, filetype, get_ioformat

from .aside import written_aside


def read_structure(path: str | os.PathLike[str]) -> Atoms:
    """The structure in a file of any format that ASE reads; of several frames the last, or ``FILE@INDEX``."""
    found = read_structures(path)
    if len(found) != 1:
        file = os.fspath(path).rpartition("@")[0]
        raise ValueError(f"`{path}` names {len(found)} structures; name one, such as {file}@-1")
    return found[0]


def read_structures(path: str | os.PathLike[str]) -> list[Atoms]:
    """As `read_structure`, and of ``FILE@START:STOP`` (``FILE@:`` for all) every one."""
    text = os.fspath(path)
    file = Path(text if Path(text).exists() else text.rpartition("@")[0] or text)
    if not file.is_file():
        raise ValueError(f"there is no structure file `{file}`")
    try:
        found = ase.io.read(text)
    except Exception as error:  # each of ASE's readers raises its own kinds
        reason = str(error) or type(error).__name__
        raise ValueError(f"`{text}` could not be read as a structure (any format of ASE, such as .xyz, .extxyz, .cif, "
                         f".traj): {reason}") from error
    structures = [found] if isinstance(found, Atoms) else list(found)
    if any(len(atoms) == 0 for atoms in structures):
        raise ValueError(f"`{text}` holds a structure without atoms")
    return structures


def check_outputs(paths: Sequence[Path], *, inputs: Sequence[str] = (), overwrite: bool) -> None:
    """Raise ValueError where results would replace an input, each other, or (unless `overwrite`) any file."""
    taken = {Path(name).resolve() for name in inputs}
    for path in paths:
        if path.resolve() in taken:
            raise ValueError(f"the output `{path}` is given twice or is the input itself; give another name")
        taken.add(path.resolve())
        _check_output(path, overwrite)


def _check_output(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise ValueError(f"the output `{path}` is a folder; give a file")
    if path.exists() and not overwrite:
        raise ValueError(f"the output `{path}` exists already; give another name or allow overwriting (--overwrite)")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of the output `{path}` does not exist; make it first")


def structure_format(path: str | os.PathLike[str]) -> str:
    """ASE's name of the format that a structure file of this name is written in, or a ValueError."""
    try:
        name = filetype(os.fspath(path), read=False)
        known = get_ioformat(name)
        writable = known.can_write and known.can_read  # pictures are no results
    except UnknownFileTypeError:
        writable = False
    if not writable:
        raise ValueError(f"`{path}` has a suffix that no structure is written to; use .xyz, .extxyz, .traj or .cif")
    return name


def write_structure(path: str | os.PathLike[str], atoms: Atoms) -> None:
    """Write a structure with its results, aside first and then renamed."""
    path = Path(path)
    with written_aside(path) as aside:
        ase.io.write(aside, atoms, format=structure_format(path))
