"""The frames of the members of a set, put into a spill by this process or by several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import replace

from mlff.data.importers.ase_files.files import AseReader
from mlff.data.importers.processes import reading_processes
from mlff.data.importers.trajectory import ImportedTrajectory, ImportOptions, SystemFacts
from mlff.data.importers.xyz.members import Member, MemberBytes
from mlff.data.importers.xyz.reader import ExtxyzReader
from mlff.data.importers.xyz.spill import Spill

_Read = tuple[ImportedTrajectory | None, int]  # what was said of a member at its end, and bytes that were read


def read_members(members: Sequence[Member], spill: Spill, options: ImportOptions) -> Iterator[_Read]:
    """Put the frames of all members into the spill, and say of each what was read, dropped and not read.

    With several ``workers`` a process reads a member into a spill of its own, which is then added: the result is the
    same, in the order of the members.
    """
    if options.workers == 1 or len(members) == 1:
        for number, member in enumerate(members):
            yield from _read(member, number, options, spill)
        return
    own = replace(options, progress=None)
    with reading_processes(min(options.workers, len(members))) as submit:
        waiting = {submit(_read_alone, each, k, own): (each, k) for k, each in enumerate(members)}
        done: dict[int, tuple[ImportedTrajectory, Spill]] = {}
        try:
            for future in as_completed(waiting):
                member, number = waiting[future]
                done[number] = future.result()
                yield None, member.size
            for number in range(len(members)):
                said, part = done.pop(number)
                spill.join(part)
                part.close()
                yield said, 0
        finally:
            for _, part in done.values():
                part.close()


def _read_alone(member: Member, number: int, options: ImportOptions) -> tuple[ImportedTrajectory, Spill]:
    spill = Spill(options.scratch)
    try:
        (said,) = [said for said, _ in _read(member, number, options, spill) if said is not None]
    except BaseException:
        spill.close()
        raise
    return said, spill.finish()


def _read(member: Member, number: int, options: ImportOptions, spill: Spill) -> Iterator[_Read]:
    said = ImportedTrajectory(SystemFacts(()), {}, None, source=member.name)
    has = {"energy": False, "forces": False}
    seen = 0
    with member.open() as source:
        reader = _reader(member, source, options)
        for block in reader:
            spill.add(block, number)
            has = {what: held or what in block.columns for what, held in has.items()}
            at = int(reader.fraction * member.size) if isinstance(reader, AseReader) else source.num_read
            yield None, at - seen
            seen = at
    if source.damage is not None:
        said.problems.append(f"{member.name}: {source.damage}")
    if not reader.num_frames and not reader.problems:
        said.problems.append(f"{member.name}: the file is empty")
    said.problems += [f"{member.name}: {problem}" for problem in reader.problems]
    for key, what in ((options.energy_key, "energy"), (options.forces_key, "forces")):
        if key is not None and reader.num_frames and not has[what]:
            raise ValueError(f"no frame of {member.name} has the {what} key {key!r}")
    found = ", ".join(reader.names()) or "no energy, no forces"
    unread = f"; not read: {', '.join(sorted(reader.unread))}" if reader.unread else ""
    said.notes.append(f"{member.name}: {reader.num_frames} frames, {found}{unread}")
    yield said, member.size - seen


def _reader(member: Member, source: MemberBytes, options: ImportOptions) -> ExtxyzReader | AseReader:
    energy_key, forces_key, every = options.energy_key, options.forces_key, options.every
    if member.is_ase:
        return AseReader(member.path, energy_key=energy_key, forces_key=forces_key, every=every)
    return ExtxyzReader(source, energy_key=energy_key, forces_key=forces_key, every=every)
