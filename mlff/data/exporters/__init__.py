"""Exporters: from the native file to what other programs read. A new format is one file and one line in FORMATS."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlff.data.dataset import HDF5Dataset
from mlff.data.exporters.ase_db import write_ase_db
from mlff.data.exporters.extxyz import write_extxyz
from mlff.data.exporters.h5md import write_h5md
from mlff.data.exporters.selection import Piece, Told, choose
from mlff.data.exporters.shnitsel import write_shnitsel
from mlff.data.rewrite import beside, removed_on_error
from mlff.data.schema import SPLIT_PARTS

__all__ = ["FORMATS", "ExportReport", "Exporter", "export_frames"]


@dataclass(frozen=True)
class Exporter:
    """One format. ``write`` fills an empty file and says what the format could not hold.

    It takes the pieces, the path, the state that stands for the others where the format knows one only, and a
    function to be told how many frames are done. ValueError where the frames do not go into the format at all.
    """

    write: Callable[[Sequence[Piece], Path, int, Callable[[int], None]], Told]
    suffix: str
    one_state: bool = False  #: whether it puts one state before the others, which ``state`` chooses
    one_system: bool = False  #: whether each system needs a file of its own


FORMATS: dict[str, Exporter] = {
    "h5md": Exporter(write_h5md, ".h5md", one_state=True),
    "extxyz": Exporter(write_extxyz, ".xyz", one_state=True),
    "ase-db": Exporter(write_ase_db, ".db", one_system=True),
    "shnitsel": Exporter(write_shnitsel, ".nc"),
}  #: format -> exporter


@dataclass
class ExportReport:
    """The files that were written, each with its number of frames, and sentences on what they do not hold."""

    files: list[tuple[Path, int]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def export_frames(
    dataset: HDF5Dataset,
    output: str | os.PathLike[str] | None = None,
    *,
    to: str,
    split: str | None = None,
    part: str | None = None,
    trajectories: Sequence[str] = (),
    state: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Write the frames of a native file in another format; files appear only when all of them are whole.

    ``output`` defaults to the data file's stem with the format's suffix, in the working folder. ``split`` alone writes
    a file for each part, named STEM_train, STEM_val and STEM_test; with ``part`` it writes that part. ``trajectories``
    are names; empty: all. Several systems become a file each, named STEM-SYSTEM, where the format cannot hold them
    together. ``state`` (0-based; 0 if not given) is the one that `energy` and `forces` stand for in formats that know
    one only. Frames are held two megabytes at a time. ``progress`` is called with the frames written and all.

    Raises:
        ValueError: an option that does not fit the data or the format, no frame chosen, or a file that exists already.
        FileNotFoundError: the folder of ``output`` does not exist.
    """
    if to not in FORMATS:
        raise ValueError(f"`to` is {to!r}; one of {', '.join(FORMATS)} was expected")
    exporter = FORMATS[to]
    if part is not None and split is None:
        raise ValueError(f"`--part {part}` needs `--split NAME`: the split that it is a part of")
    if part is not None and part not in SPLIT_PARTS:
        raise ValueError(f"`part` is {part!r}; one of {', '.join(SPLIT_PARTS)} was expected")
    if state is not None and not exporter.one_state:
        raise ValueError(f"`--state` has no effect on {to} files, which hold all states alike; leave it out")
    output = Path(f"{dataset.path.stem}{exporter.suffix}") if output is None else Path(output)
    report, targets = ExportReport(), dict[Path, list[Piece]]()
    parts: tuple[str | None, ...] = SPLIT_PARTS if split is not None and part is None else (part,)
    for each in parts:
        pieces = choose(dataset, split=split, part=each, trajectories=trajectories)
        named = output if each == part else output.with_name(f"{output.stem}_{each}{output.suffix}")
        if not pieces and each != part:
            report.lines.append(f"{named.name} was not written: the part {each} has no frame that was chosen")
        targets |= _files(named, pieces, exporter.one_system)
    if not targets:
        raise ValueError(f"no frame of {dataset.path} is in the split, part and trajectories that were named")
    _check_state(state or 0, [piece for pieces in targets.values() for piece in pieces])
    _check_paths(dataset, targets, overwrite=overwrite)
    several = len({piece.system.name for pieces in targets.values() for piece in pieces}) > 1
    total = sum(len(piece) for pieces in targets.values() for piece in pieces)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    whole: list[tuple[Path, Path]] = []
    try:
        for target, pieces in targets.items():
            aside = beside(target)
            whole.append((aside, target))
            with removed_on_error(aside, target):
                sentences, left_out = exporter.write(pieces, aside, state or 0, advance)
                with aside.open("rb") as written:
                    os.fsync(written.fileno())
            owner = f"{pieces[0].system.name}: " if exporter.one_system and several else ""
            report.lines += [owner + each for each in sentences if owner + each not in report.lines]
            report.files.append((target, sum(len(piece) for piece in pieces) - left_out))
        for aside, target in whole:
            os.replace(aside, target)
    finally:
        for aside, _ in whole:
            with suppress(FileNotFoundError):
                aside.unlink()
    return report


def _files(output: Path, pieces: Sequence[Piece], one_system: bool) -> dict[Path, list[Piece]]:
    """The files to write, each with its pieces."""
    systems = {piece.system.name: None for piece in pieces}
    if not one_system or len(systems) < 2:
        return {output: list(pieces)} if pieces else {}
    return {
        output.with_name(f"{output.stem}-{name}{output.suffix}"): [each for each in pieces if each.system.name == name]
        for name in systems
    }


def _check_state(state: int, pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        if not 0 <= state < piece.system.num_states:
            raise ValueError(
                f"`--state` is {state}; system {piece.system.name} has {piece.system.num_states} states, counted from 0"
            )


def _check_paths(dataset: HDF5Dataset, targets: dict[Path, list[Piece]], *, overwrite: bool) -> None:
    for target in targets:
        if not target.parent.is_dir():
            raise FileNotFoundError(f"the folder {target.parent} does not exist; make it first")
        if target.is_dir():
            raise ValueError(f"{target} is a folder; the name of a file was expected")
        if target.exists() and target.samefile(dataset.path):
            raise ValueError(f"{target} is the data file itself; choose another name with `-o`")
        if target.exists() and not overwrite:
            raise ValueError(f"{target} exists already; choose another name or give `--overwrite`")
