"""Sets of extended xyz files (files, zips, folders): their frames become trajectories, with the parts that names give.

Files whose names differ in train, val, test only are one set; frames of one trajectory are brought together, whichever
of the files they are in.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlff.data.importers.extxyz import ParsedFrame, parse_extxyz
from mlff.data.importers.members import XYZ_SUFFIXES, Member, folder_members, xyz_members, zip_members
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts, sha256, spacing


@dataclass(frozen=True)
class _SourceFrame:
    """A parsed frame with the member that it came from."""

    frame: ParsedFrame
    member: Member


def read_xyz_sets(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectories of every set among the paths, set by set."""
    groups: dict[str, list[Member]] = {}
    for path in paths:
        for member in _members(path):
            if member in groups.setdefault(member.group, []):
                raise ValueError(f"{member.name} was given twice")
            groups[member.group].append(member)
    hashes: dict[str, str] = {}
    for group, members in groups.items():
        frames: list[_SourceFrame] = []
        for member in members:
            hashes.setdefault(str(member.path), sha256(member.path))
            said = ImportedTrajectory(SystemFacts(()), {}, None, source=member.name)
            frames += _read_member(member, options, said)
            yield said
        yield from _trajectories(frames, Path(group).name, hashes)


def _members(path: Path) -> Iterator[Member]:
    if path.is_dir():
        return folder_members(path)
    return zip_members(path) if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path) else xyz_members(path)


def _read_member(member: Member, options: ImportOptions, said: ImportedTrajectory) -> list[_SourceFrame]:
    data, damage = member.read()
    parsed = parse_extxyz(data, energy_key=options.energy_key, forces_key=options.forces_key, every=options.every)
    if damage is not None:
        said.problems.append(f"{member.name}: {damage}")
    if not data.strip():
        said.problems.append(f"{member.name}: the file is empty")
    said.problems += [f"{member.name}: {problem}" for problem in parsed.problems]
    for key, what in ((options.energy_key, "energy"), (options.forces_key, "forces")):
        holding = [f for f in parsed.frames if (f.forces is not None if what == "forces" else f.energy == f.energy)]
        if key is not None and parsed.frames and not holding:
            raise ValueError(f"no frame of {member.name} has the {what} key {key!r}")
    found = [
        f"{what} from `{key}`" for what, key in (("energy", parsed.energy_key), ("forces", parsed.forces_key)) if key
    ]
    unread = f"; not read: {', '.join(sorted(parsed.unread))}" if parsed.unread else ""
    said.notes.append(
        f"{member.name}: {len(parsed.frames)} frames, {', '.join(found) or 'no energy, no forces'}{unread}"
    )
    return [_SourceFrame(frame, member) for frame in parsed.frames]


def _trajectories(frames: Sequence[_SourceFrame], group: str, hashes: dict[str, str]) -> Iterator[ImportedTrajectory]:
    """The frames of one set by trajectory, each in the order of its times; frames that say no trajectory are kept in
    the order of the file."""
    runs: dict[tuple[bytes, float, str | None, str], list[_SourceFrame]] = {}
    for each in frames:
        trajectory = each.frame.trajectory
        member = each.member.name if trajectory is None else ""
        key = (each.frame.numbers.tobytes(), each.frame.charge, trajectory, member)
        runs.setdefault(key, []).append(each)
    for (numbers, charge, name, _), run in runs.items():
        times, dt, problems = np.array([each.frame.time for each in run]), np.nan, []
        if name is not None and np.isfinite(times).all():
            order = np.argsort(times, kind="stable")
            run, times = [run[k] for k in order], times[order]
            if (repeated := int((np.diff(times) == 0).sum())) > 0:
                problems.append(f"trajectory {name}: {repeated} frames have the time of another frame")
            dt = spacing(times)
        members = {each.member.name: each.member for each in run}
        whole = len({member.path for member in members.values()}) == 1
        yield ImportedTrajectory(
            SystemFacts(tuple(np.frombuffer(numbers, dtype=np.int16).tolist()), charge=charge),
            _columns([each.frame for each in run]),
            name,
            dt=dt,
            source=", ".join(sorted(members)),
            sha256=hashes[str(run[0].member.path)] if whole else "",
            problems=problems,
            parts=tuple(each.member.part for each in run),
            group=group,
        )


def _columns(frames: list[ParsedFrame]) -> dict[str, np.ndarray]:
    """Columns of the native file, one state; what a frame lacks is NaN, which the writer masks."""
    num_frames, num_atoms = len(frames), len(frames[0].numbers)
    columns: dict[str, np.ndarray] = {
        "positions": np.stack([frame.positions for frame in frames]),
        "pbc": np.array([frame.pbc for frame in frames]),
    }
    time, step = np.array([frame.time for frame in frames]), np.array([frame.step for frame in frames])
    if np.isfinite(time).any():
        columns["time"] = time
    if (step >= 0).any():
        columns["step"] = step
    energy = np.array([frame.energy for frame in frames])[:, None]
    if np.isfinite(energy).any():
        columns["energy"] = energy
    for name, shape in (("forces", (num_atoms, 3)), ("stress", (6,)), ("velocities", (num_atoms, 3)), ("cell", (3, 3))):
        values = [getattr(frame, name) for frame in frames]
        if all(value is None for value in values):
            continue
        absent = np.zeros(shape) if name == "cell" else np.full(shape, np.nan)
        columns[name] = np.stack([absent if value is None else value for value in values])
    if "forces" in columns:
        columns["forces"] = columns["forces"].reshape(num_frames, num_atoms, 1, 3)
    if "stress" in columns:
        columns["stress"] = columns["stress"].reshape(num_frames, 1, 6)
    return columns


_OPTIONS = ("energy_key", "forces_key", "every")
EXTXYZ = Importer(
    lambda path: path.is_file() and path.suffix.lower() in XYZ_SUFFIXES,
    read_xyz_sets,
    _OPTIONS,
    together=True,
    description=f"an extended xyz file ({', '.join(XYZ_SUFFIXES)})",
)
XXMD = Importer(
    lambda path: path.is_file() and path.suffix.lower() == ".zip",
    read_xyz_sets,
    _OPTIONS,
    together=True,
    description="a zip of extended xyz files",
)
FOLDER = Importer(
    lambda path: path.is_dir(), read_xyz_sets, _OPTIONS, together=True, description="a folder of these files"
)
