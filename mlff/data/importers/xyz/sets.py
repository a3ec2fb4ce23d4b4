"""Sets of files with frames (extended xyz, ASE; zips and folders of them): their frames become trajectories.

Files whose names differ in train, val, test only are one set, and give a split; frames of one trajectory are brought
together, whichever of the files they are in. Frames wait on disk meanwhile, so memory holds a window of a file, an index
of the set, and one trajectory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlff.data.importers.ase_files.images import ASE_SUFFIXES, is_ase_file
from mlff.data.importers.trajectory import (
    ImportedTrajectory,
    Importer,
    ImportOptions,
    SystemFacts,
    joint_sha256,
    sha256,
    spacing,
)
from mlff.data.importers.xyz.member_frames import read_members
from mlff.data.importers.xyz.members import (
    XYZ_SUFFIXES,
    Member,
    folder_members,
    holds_states,
    xyz_members,
    zip_members,
)
from mlff.data.importers.xyz.spill import Index, Owner, Spill
from mlff.data.importers.xyz.xxmd_states import merge_states

_BLOCK_BYTES = 1 << 26  # of frames of no known trajectory that are given at once


@dataclass(frozen=True)
class _File:
    """What a frame of the spill came from: a member, or one of each state."""

    members: tuple[Member, ...]
    part: str | None


def read_xyz_sets(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectories of every set among the paths, set by set."""
    groups: dict[str, list[Member]] = {}
    for path in paths:
        for member in _members(path):
            if member in groups.setdefault(member.group, []):
                raise ValueError(f"{member.name} was given twice")
            groups[member.group].append(member)
    hashes: dict[str, str] = {}
    total, done = sum(member.size for members in groups.values() for member in members), 0
    for members in groups.values():
        spill = Spill(options.scratch)
        try:
            hashes |= {
                str(path): sha256(path) for path in {member.path for member in members} if str(path) not in hashes
            }
            for said, num_bytes in read_members(members, spill, options):
                done += num_bytes
                if options.progress is not None:
                    options.progress(done / max(1, total))
                if said is not None:
                    yield said
            yield from _all_states(spill.finish(), members, options, hashes)
        finally:
            spill.close()


def _all_states(
    spill: Spill, members: Sequence[Member], options: ImportOptions, hashes: dict[str, str]
) -> Iterator[ImportedTrajectory]:
    """The trajectories of a set; frames of files of several states are put together first, where they can be."""
    files = [_File((member,), member.part) for member in members]
    index = spill.index()
    states = sorted({member.state for member in members if member.state is not None})
    if len(states) < 2:
        yield from _trajectories(spill, index, files, states, hashes)
        return
    known = sorted({member.part or "" for member in members})
    parts = [known.index(member.part or "") for member in members]
    name = members[0].set_name
    said = ImportedTrajectory(SystemFacts(()), {}, None, source=name)
    merged = merge_states(spill, [member.state or 0 for member in members], parts, options.scratch)
    if merged is None:
        said.problems.append(f"{name}: no geometry is in the files of two of its states: read as sets of their own")
        yield said
        for state in states:
            own = np.flatnonzero(np.array([member.state == state for member in members])[index.member])
            yield from _trajectories(spill, index[own], files, [state], hashes)
        return
    try:
        said.problems += [f"{name}: {problem}" for problem in merged.problems]
        said.notes.append(f"{name}: states {', '.join(map(str, states))}, {len(merged.spill.index())} geometries")
        yield said
        files = [_File(tuple(m for m in members if (m.part or "") == part), part or None) for part in known]
        yield from _trajectories(merged.spill, merged.spill.index(), files, states, hashes)
    finally:
        merged.spill.close()


def _members(path: Path) -> Iterator[Member]:
    if path.is_dir():
        return folder_members(path)
    return zip_members(path) if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path) else xyz_members(path)


def _trajectories(
    spill: Spill, index: Index, files: Sequence[_File], states: Sequence[int], hashes: dict[str, str]
) -> Iterator[ImportedTrajectory]:
    """The frames of one set by trajectory, each in the order of its times; frames that say no trajectory are kept in
    the order of the file. ``states`` are the numbers that the names of the files give to the states."""
    order = np.argsort(index.owner, kind="stable")
    counts = np.bincount(index.owner, minlength=len(spill.owners))
    ends = np.cumsum(counts)
    num_states = _num_states(spill, index)
    for owner, number in spill.owners.items():
        own = index[order[ends[number] - counts[number] : ends[number]]]
        if not len(own):
            continue
        problems = []
        if owner.trajectory is not None and np.isfinite(own.time).all():
            own = own[np.argsort(own.time, kind="stable")]
            if (repeated := int((np.diff(own.time) == 0).sum())) > 0:
                problems.append(f"trajectory {owner.trajectory}: {repeated} frames have the time of another frame")
        size = len(own) if owner.trajectory is not None else max(1, _BLOCK_BYTES // spill.bytes_of(int(own.kind[0])))
        sources = {member.name: member.path for k in np.unique(own.member) for member in files[k].members}
        digests = {hashes[str(path)] for path in sources.values()}
        facts = _facts(owner, num_states[owner.numbers], states)
        for start in range(0, len(own), size):
            part = own[np.arange(start, min(start + size, len(own)))]
            yield ImportedTrajectory(
                facts,
                _known(spill.columns(part, facts.num_states)),
                owner.trajectory,
                dt=spacing(own.time) if owner.trajectory is not None and np.isfinite(own.time).all() else np.nan,
                source=", ".join(sorted(sources)),
                sha256=joint_sha256(digests),
                problems=problems if start == 0 else [],
                parts=tuple(files[k].part for k in part.member),
                group=files[0].members[0].set_name,
            )


def _num_states(spill: Spill, index: Index) -> dict[bytes, int]:
    """Electronic states of every composition: as many as any of its frames has."""
    result: dict[bytes, int] = {}
    owners = list(spill.owners)
    for owner, kind in np.unique(np.stack([index.owner, index.kind], axis=1), axis=0).tolist():
        numbers = owners[owner].numbers
        result[numbers] = max(result.get(numbers, 1), spill.num_states([kind]))
    return result


def _facts(owner: Owner, num_states: int, states: Sequence[int]) -> SystemFacts:
    return SystemFacts(
        tuple(np.frombuffer(owner.numbers, dtype=np.int16).tolist()),
        num_states,
        masses=owner.masses,
        root=tuple(states) if len(states) == num_states and tuple(states) != tuple(range(num_states)) else (),
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
    lambda path: holds_states(path) if path.is_dir() else path.suffix.lower() == ".zip",
    read_xyz_sets,
    _OPTIONS,
    together=True,
    description="a zip of extended xyz files, or a folder with such files of each state in s0, s1, ...",
)
FOLDER = Importer(
    lambda path: path.is_dir(), read_xyz_sets, _OPTIONS, together=True, description="a folder of these files"
)
ASE = Importer(
    is_ase_file, read_xyz_sets, _OPTIONS, together=True, description=f"a file of ASE ({', '.join(ASE_SUFFIXES)})"
)
