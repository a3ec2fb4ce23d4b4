"""Sets of files with frames (extended xyz, ASE; zips and folders of them): their frames become trajectories.

Files whose names differ in train, val, test only are one set, and give a split; frames of one trajectory are brought
together, whichever of the files they are in. Frames wait on disk meanwhile, so memory holds a window of a file, an index
of the set, and one trajectory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mlff.data.importers.extxyz import ExtxyzReader
from mlff.data.importers.members import XYZ_SUFFIXES, Member, folder_members, xyz_members, zip_members
from mlff.data.importers.spill import Index, Owner, Spill
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts, sha256, spacing

_BLOCK_BYTES = 1 << 26  # of frames of no known trajectory that are given at once


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
        spill = Spill(options.scratch)
        try:
            for number, member in enumerate(members):
                hashes.setdefault(str(member.path), sha256(member.path))
                yield _read_member(member, number, options, spill)
            yield from _trajectories(spill.finish(), members, Path(group).name, hashes)
        finally:
            spill.close()


def _members(path: Path) -> Iterator[Member]:
    if path.is_dir():
        return folder_members(path)
    return zip_members(path) if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path) else xyz_members(path)


def _read_member(member: Member, number: int, options: ImportOptions, spill: Spill) -> ImportedTrajectory:
    """Put the frames of a member into the spill; what was read and what was not."""
    said = ImportedTrajectory(SystemFacts(()), {}, None, source=member.name)
    has = {"energy": False, "forces": False}
    with member.open() as source:
        reader = ExtxyzReader(
            source, energy_key=options.energy_key, forces_key=options.forces_key, every=options.every
        )
        for block in reader:
            spill.add(block, number)
            has = {what: held or what in block.columns for what, held in has.items()}
        damage = source.damage
    if damage is not None:
        said.problems.append(f"{member.name}: {damage}")
    if reader.is_empty:
        said.problems.append(f"{member.name}: the file is empty")
    said.problems += [f"{member.name}: {problem}" for problem in reader.problems]
    for key, what in ((options.energy_key, "energy"), (options.forces_key, "forces")):
        if key is not None and reader.num_frames and not has[what]:
            raise ValueError(f"no frame of {member.name} has the {what} key {key!r}")
    found = ", ".join(reader.quantities.names()) or "no energy, no forces"
    unread = f"; not read: {', '.join(sorted(reader.quantities.unread))}" if reader.quantities.unread else ""
    said.notes.append(f"{member.name}: {reader.num_frames} frames, {found}{unread}")
    return said


def _trajectories(
    spill: Spill, members: Sequence[Member], group: str, hashes: dict[str, str]
) -> Iterator[ImportedTrajectory]:
    """The frames of one set by trajectory, each in the order of its times; frames that say no trajectory are kept in
    the order of the file."""
    index = spill.index()
    order = np.argsort(index.owner, kind="stable")
    counts = np.bincount(index.owner, minlength=len(spill.owners))
    ends = np.cumsum(counts)
    num_states = _num_states(spill, index)
    for owner, number in spill.owners.items():
        own = index[order[ends[number] - counts[number] : ends[number]]]
        problems = []
        if owner.trajectory is not None and np.isfinite(own.time).all():
            own = own[np.argsort(own.time, kind="stable")]
            if (repeated := int((np.diff(own.time) == 0).sum())) > 0:
                problems.append(f"trajectory {owner.trajectory}: {repeated} frames have the time of another frame")
        size = len(own) if owner.trajectory is not None else max(1, _BLOCK_BYTES // spill.bytes_of(int(own.kind[0])))
        files = {members[k].name: members[k].path for k in np.unique(own.member)}
        states = num_states[owner.numbers]
        for start in range(0, len(own), size):
            part = own[np.arange(start, min(start + size, len(own)))]
            yield ImportedTrajectory(
                _facts(owner, states),
                _known(spill.columns(part, states)),
                owner.trajectory,
                dt=spacing(own.time) if owner.trajectory is not None and np.isfinite(own.time).all() else np.nan,
                source=", ".join(sorted(files)),
                sha256=hashes[str(members[own.member[0]].path)] if len(set(files.values())) == 1 else "",
                problems=problems,
                parts=tuple(members[k].part for k in part.member),
                group=group,
            )


def _num_states(spill: Spill, index: Index) -> dict[bytes, int]:
    """Electronic states of every composition: as many as any of its frames has."""
    result: dict[bytes, int] = {}
    owners = list(spill.owners)
    for owner, kind in np.unique(np.stack([index.owner, index.kind], axis=1), axis=0).tolist():
        numbers = owners[owner].numbers
        result[numbers] = max(result.get(numbers, 1), spill.num_states([kind]))
    return result


def _facts(owner: Owner, num_states: int) -> SystemFacts:
    return SystemFacts(
        tuple(np.frombuffer(owner.numbers, dtype=np.int16).tolist()),
        num_states,
        masses=owner.masses,
        charge=owner.charge,
        level_of_theory=owner.level_of_theory,
    )


def _known(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the columns that say nothing."""
    for name, unknown in (("time", np.isnan), ("step", lambda step: step < 0), ("energy", np.isnan)):
        if name in columns and unknown(columns[name]).all():
            del columns[name]
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
