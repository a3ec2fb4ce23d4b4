"""Importers: from files that others wrote to the native file. A new format is one file and one line in FORMATS."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlff.data.checks import check
from mlff.data.dataset import HDF5Dataset
from mlff.data.importers.assemble import Assembler, SourceFrame
from mlff.data.importers.extxyz import parse_extxyz
from mlff.data.importers.members import XYZ_SUFFIXES, Member, folder_members, sha256, xyz_members, zip_members
from mlff.data.importers.report import ImportReport
from mlff.data.writer import HDF5Writer

__all__ = ["FORMATS", "ImportReport", "import_sources", "recognise"]

FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Iterator[Member]]]] = {
    "extxyz": (lambda path: path.is_file() and path.suffix.lower() in XYZ_SUFFIXES, xyz_members),
    "xxmd": (lambda path: path.is_file() and path.suffix.lower() == ".zip", zip_members),
    "folder": (lambda path: path.is_dir(), folder_members),
}  #: format -> (whether a path is of it, its xyz files)


def recognise(path: Path) -> str:
    """The format of a source, or a sentence that says which there are."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    for name, (matches, _) in FORMATS.items():
        if matches(path):
            return name
    raise ValueError(
        f"the format of {path} is not known; an extended xyz file ({', '.join(XYZ_SUFFIXES)}), a zip of "
        f"them, or a folder of either was expected; name it with `--format {'|'.join(FORMATS)}`"
    )


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
    strict: bool = False,
    overwrite: bool = False,
) -> ImportReport:
    """Read the sources and write ``output``, which appears only when it is whole.

    Files whose names differ in train, val, test only are one set with a given split, stored as ``split_name``.
    ``every`` keeps every so-many-th frame within each file, so within each given split. ``strict`` refuses a source
    from which anything was dropped or masked, or that fails a check (mlff.data.checks). ``level_of_theory`` is what the
    energies are of, which such files do not say.
    """
    output = Path(output)
    if every < 1:
        raise ValueError(f"`every` is {every}; 1 (all frames) or more was expected")
    if not sources:
        raise ValueError("no source was given; name at least one file, zip or folder")
    if output.exists() and not overwrite:
        raise ValueError(f"{output} exists already; choose another name or give `--overwrite`")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"the folder {output.parent} does not exist; make it first")
    if format is not None and format not in FORMATS:
        raise ValueError(f"`format` is {format!r}; one of {', '.join(FORMATS)} was expected")
    groups: dict[str, list[Member]] = {}
    for source in map(Path, sources):
        for member in FORMATS[recognise(source) if format is None else format][1](source):
            if member in groups.setdefault(member.group, []):
                raise ValueError(f"{member.name} was given twice")
            groups[member.group].append(member)
    report = ImportReport()
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        growing = Path(folder) / "frames.h5"
        with HDF5Writer(growing, durable=False) as writer:
            hashes: dict[str, str] = {}
            assembler = Assembler(writer, report, hashes, level_of_theory)
            for group, members in groups.items():
                frames: list[SourceFrame] = []
                for member in members:
                    hashes.setdefault(str(member.path), sha256(member.path))
                    frames += _read_member(member, energy_key, forces_key, every, report)
                assembler.add_group(frames, Path(group).name)
            if not report.num_frames:
                why = "; ".join(report.problems[:3]) or "the sources are empty"
                raise ValueError(f"no whole frame was found, nothing was written: {why}")
            given = assembler.given_split()
            if given is not None:
                split, kind = given
                writer.add_split(split_name, split, kind=kind, note="given by the names of the source files")
                sizes = ", ".join(f"{part} {len(rows)}" for part, rows in split.items())
                report.lines.append(f"split {split_name!r} ({kind}): {sizes}")
        report.problems += check(HDF5Dataset(growing))
        if strict and report.problems:
            raise ValueError(
                f"`--strict` was given and the sources have {len(report.problems)} problems, nothing was written; "
                f"the first: {'; '.join(report.problems[:3])}"
            )
        os.replace(growing, output)
    return report


def _read_member(
    member: Member, energy_key: str | None, forces_key: str | None, every: int, report: ImportReport
) -> list[SourceFrame]:
    data, damage = member.read()
    parsed = parse_extxyz(data, energy_key=energy_key, forces_key=forces_key, every=every)
    if damage is not None:
        report.problems.append(f"{member.name}: {damage}")
    if not data.strip():
        report.problems.append(f"{member.name}: the file is empty")
    report.problems += [f"{member.name}: {problem}" for problem in parsed.problems]
    for key, what in ((energy_key, "energy"), (forces_key, "forces")):
        lacking = [f for f in parsed.frames if (f.forces is not None if what == "forces" else f.energy == f.energy)]
        if key is not None and parsed.frames and not lacking:
            raise ValueError(f"no frame of {member.name} has the {what} key {key!r}")
    found = [
        f"{what} from `{key}`" for what, key in (("energy", parsed.energy_key), ("forces", parsed.forces_key)) if key
    ]
    unread = f"; not read: {', '.join(sorted(parsed.unread))}" if parsed.unread else ""
    report.lines.append(
        f"{member.name}: {len(parsed.frames)} frames, {', '.join(found) or 'no energy, no forces'}{unread}"
    )
    report.num_frames += len(parsed.frames)
    return [SourceFrame(frame, member) for frame in parsed.frames]
