"""Importers: from files that others wrote to the native file. A new format is one file and one line in FORMATS."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from mlff.data.dataset import HDF5Dataset
from mlff.data.importers.append import Earlier
from mlff.data.importers.assemble import Assembler
from mlff.data.importers.h5md.file import H5MD
from mlff.data.importers.md17 import MD17
from mlff.data.importers.mudslide.trace import MUDSLIDE
from mlff.data.importers.newtonx.run import NEWTON_X
from mlff.data.importers.pyrai2md.log import PYRAI2MD_LOG
from mlff.data.importers.pyrai2md.training_data import PYRAI2MD_JSON
from mlff.data.importers.reading import read_all, short
from mlff.data.importers.report import ImportReport, Row
from mlff.data.importers.sharc.run import SHARC
from mlff.data.importers.shnitsel.file import SHNITSEL
from mlff.data.importers.spainn_db.database import SPAINN_DB
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts
from mlff.data.importers.xyz.sets import ASE, EXTXYZ, FOLDER, XXMD
from mlff.data.rewrite import refuse_source
from mlff.data.schema import is_native
from mlff.data.writer import HDF5Writer, check_name

__all__ = [
    "FORMATS",
    "ImportOptions",
    "ImportReport",
    "ImportedTrajectory",
    "Importer",
    "SystemFacts",
    "import_sources",
    "recognise",
]

FORMATS: dict[str, Importer] = {
    "sharc": SHARC,
    "spainn-db": SPAINN_DB,
    "newton-x": NEWTON_X,
    "pyrai2md-log": PYRAI2MD_LOG,
    "pyrai2md-json": PYRAI2MD_JSON,
    "mudslide": MUDSLIDE,
    "shnitsel": SHNITSEL,
    "h5md": H5MD,
    "md17": MD17,
    "extxyz": EXTXYZ,
    "xxmd": XXMD,
    "ase": ASE,
    "folder": FOLDER,  # any folder: the last to be asked
}  #: format -> importer, in the order in which they are asked whether a path is theirs


def recognise(path: Path) -> str:
    """The format of a source, or a sentence that says which there are."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    for name, importer in FORMATS.items():
        if importer.matches(path):
            return name
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    if is_native(path):
        raise ValueError(
            f"{path} is a native file already; commands that take data take several of them, so it need not be imported"
        )
    known = "; ".join(f"{name}: {each.description}" for name, each in FORMATS.items())
    raise ValueError(f"the format of {path} is not known; name it with `--format` if it is one of these: {known}")


def import_sources(
    sources: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    split_name: str = "given",
    every: int = 1,
    energy_key: str | None = None,
    forces_key: str | None = None,
    level_of_theory: str = "",
    charge: float | None = None,
    strict: bool = False,
    overwrite: bool = False,
    append: bool = False,
    workers: int = 1,
    progress: Callable[[float, int], None] | None = None,
) -> ImportReport:
    """Read the sources and write ``output``, which appears, or changes, only when it is whole.

    A source is a file or folder of one of FORMATS, or a folder of such folders. Trajectories are written one at a time,
    so memory is bounded by the longest. Files whose names differ in train, val, test only are one set with a given
    split, stored as ``split_name``. ``every`` keeps every so-many-th frame of each trajectory (of each file, so within
    each given split, where the source is xyz). ``level_of_theory`` and ``charge`` (e) are stored where the source does
    not say them. ``strict`` refuses a source from which anything was dropped or masked, or that fails a check
    (mlff.data.checks). ``append`` adds to ``output``, where it exists: to the systems whose facts are equal, with its
    splits as they are, and without what is in it already. ``workers`` processes read runs, or the files of a set, side
    by side (a script that asks for more than one needs ``if __name__ == "__main__":``); ``progress`` is called with the
    number of sources read, a fraction for the part of one, and of all.
    """
    output = Path(output)
    if output.is_dir():
        raise ValueError(f"{output} is a folder; the name of a file was expected")
    check_name("split", split_name)
    if every < 1:
        raise ValueError(f"`every` is {every}; 1 (all frames) or more was expected")
    if workers < 1:
        raise ValueError(f"`workers` is {workers}; 1 or more was expected")
    if charge is not None and not math.isfinite(charge):
        raise ValueError(f"`charge` is {charge}; a number in units of the elementary charge was expected")
    if not sources:
        raise ValueError("no source was given; name at least one file, zip or folder")
    if append and overwrite:
        raise ValueError("give either `--append` (keep what the output holds) or `--overwrite` (replace it), not both")
    if output.exists() and not (overwrite or append):
        raise ValueError(f"{output} exists already; choose another name, or give `--append` or `--overwrite`")
    refuse_source(output, sources)
    if not output.parent.is_dir():
        raise FileNotFoundError(f"the folder {output.parent} does not exist; make it first")
    if format is not None and format not in FORMATS:
        raise ValueError(f"`format` is {format!r}; one of {', '.join(FORMATS)} was expected")
    options = ImportOptions(energy_key=energy_key, forces_key=forces_key, every=every)
    found = _found([Path(source) for source in sources], format)
    for name, _ in found:
        for option in ("energy_key", "forces_key"):
            if getattr(options, option) is not None and option not in FORMATS[name].options:
                raise ValueError(f"`--{option.replace('_', '-')}` has no effect on {name} data; leave it out")
    report = ImportReport()
    adding = append and output.exists()
    with (
        HDF5Writer(output, "a" if adding else "x", overwrite=overwrite, durable=False) as writer,
        tempfile.TemporaryDirectory(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent) as scratch,
        ExitStack() as closed,
    ):
        options = replace(options, scratch=Path(scratch), workers=workers)
        earlier = Earlier(HDF5Dataset(output) if adding else None)
        assembler = Assembler(writer, level_of_theory=level_of_theory, charge=charge, earlier=earlier)
        reading = read_all([(FORMATS[name], path) for name, path in found], options, report.problems, workers, progress)
        for trajectory in closed.enter_context(closing(reading)):
            if earlier.has(trajectory):
                report.problems[:0] = earlier.told(trajectory)
                continue
            problems, notes = trajectory.problems, trajectory.notes
            if trajectory.num_frames:
                report.num_frames += trajectory.num_frames
                stored = assembler.add(trajectory, trajectory.checks)
                if stored is not None and trajectory.name is not None and stored != trajectory.name:
                    problems = [each.replace(trajectory.name, stored, 1) for each in problems]
                    notes = [each.replace(trajectory.name, stored, 1) for each in notes]
                called, status = (stored, trajectory.status) if stored else (short(trajectory.source), "unordered")
                report.rows.append(Row(called, trajectory.num_frames, status, trajectory.checks))
            report.notes += notes
            report.problems += problems
        if not report.num_frames:
            why = "; ".join(report.problems[:3]) or "the sources are empty"
            raise ValueError(f"no whole frame was found, nothing was written: {why}")
        report.lines += assembler.notes
        given = assembler.given_split()
        if given is not None:
            split, kind, joined = earlier.joined(split_name, *given)
            note = "given by the names of the source files"
            writer.add_split(split_name, split, kind=kind, note=note, overwrite=joined)
            sizes = ", ".join(f"{part} {len(rows)}" for part, rows in split.items())
            report.lines.append(f"split {split_name!r} ({kind}): {sizes}")
        report.lines += earlier.notes(report.num_frames, None if given is None else split_name)
        writer.add_report(report.problems)
        if strict and report.problems:
            count = f"{len(report.problems)} problem{'s' * (len(report.problems) > 1)}"
            raise ValueError(
                f"`--strict` was given and the sources have {count}, nothing was written; "
                f"the first: {'; '.join(report.problems[:3])}"
            )
    return report


def _found(sources: Sequence[Path], format_: str | None) -> list[tuple[str, Path]]:
    """(format, path) of every source; a folder that is of no format itself stands for those in it."""
    found: list[tuple[str, Path]] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"there is no file or folder {source}")
        name = recognise(source) if format_ is None else format_
        within = _within(source, format_) if name == "folder" or not FORMATS[name].matches(source) else []
        found += within or [(name, source)]
    seen: set[Path] = set()
    for _, path in found:
        if path.resolve() in seen:
            raise ValueError(f"{path.name} was given twice")
        seen.add(path.resolve())
    return found


def _within(folder: Path, format_: str | None) -> list[tuple[str, Path]]:
    """The folders and files below that are of a format (of ``format_``), those of xyz files left out."""
    found: list[tuple[str, Path]] = []
    if not folder.is_dir():
        return found
    names = [name for name, each in FORMATS.items() if (not each.together or each is XXMD) and format_ in (None, name)]
    for path in sorted(folder.iterdir()):
        possible = [each for each in names if path.is_dir() or FORMATS[each] is not XXMD]
        name = next((each for each in possible if FORMATS[each].matches(path)), None)
        if name is not None:
            found.append((name, path))
        elif path.is_dir() and not path.is_symlink():
            found += _within(path, format_)
    return found
