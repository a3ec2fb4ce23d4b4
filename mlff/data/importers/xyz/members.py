"""Members: the xyz files behind a source (a file, a zip or a folder), and the part of a given split each one is."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlff.data.importers.ase_files.images import ASE_SUFFIXES, is_ase_file

XYZ_SUFFIXES = (".xyz", ".extxyz")
_PIECE = 1 << 16  # bytes unpacked at once
_PART = re.compile(r"(?:^|(?<=[_.\-]))(train|training|val|valid|validation|test)(?=$|[_.\-])", re.IGNORECASE)
_STATE = re.compile(r"(?:^|(?<=[_.\-]))s(\d{1,2})(?=$|[_.\-])", re.IGNORECASE)
_STATE_FOLDER = re.compile(r"s\d{1,2}", re.IGNORECASE)
_PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Member:
    """One xyz file: in a folder, or in a zip.

    Members with the same ``group`` are the parts of one published set: their names differ only in train, val, test.
    """

    path: Path  #: of the file, or of the zip it is in
    inner: str | None  #: its name in the zip
    group: str
    part: str | None  #: train, val, test, or None where the name says nothing
    state: int | None = None  #: electronic state, where the name ends in _s0, _s1, ...

    @property
    def name(self) -> str:
        """How reports call it."""
        return self.path.name if self.inner is None else f"{self.path.name}/{self.inner}"

    @property
    def set_name(self) -> str:
        """How reports call its set."""
        return Path(self.group.removesuffix("/*")).name

    @property
    def is_ase(self) -> bool:
        """Whether it is a file of ASE's own, not extended xyz."""
        return self.inner is None and self.path.suffix.lower() in ASE_SUFFIXES

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        if self.inner is None:
            return self.path.stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.inner).file_size

    @contextmanager
    def open(self) -> Iterator[MemberBytes]:
        """Its bytes, a piece at a time."""
        if self.inner is None:
            with self.path.open("rb") as stream:
                yield MemberBytes(stream)
            return
        with zipfile.ZipFile(self.path) as archive:
            try:
                unpacked = archive.open(self.inner)
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
                yield MemberBytes(None, f"the zip member cannot be unpacked ({error})")
                return
            with unpacked:
                yield MemberBytes(unpacked)


class MemberBytes:
    """The bytes of a member in their order; where a zip is damaged they end, and ``damage`` says why."""

    def __init__(self, stream: IO[bytes] | None, damage: str | None = None) -> None:
        self.stream = stream
        self.damage = damage
        self.num_read = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` more bytes, none at the end."""
        if self.stream is None:
            return b""
        try:
            # small pieces of a zip: what could be unpacked before the damage is lost with the piece
            data = self.stream.read(min(size, _PIECE) if isinstance(self.stream, zipfile.ZipExtFile) else size)
        except (zipfile.BadZipFile, EOFError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
            self.damage = f"the zip member is damaged ({error}); what could be unpacked was read"
            self.stream = None
            return b""
        self.num_read += len(data)
        return data


def part_of(name: str) -> tuple[str, str | None]:
    """The name without its word train, val or test, and the part that this word stands for."""
    stem = name.rsplit(".", 1)[0]
    found = _PART.findall(stem)
    if len(found) != 1:
        return stem, None
    return re.sub(r"[_.\-]{2,}", "_", _PART.sub("", stem)).strip("_.-"), _PARTS[found[0].lower()]


def _group_of(path: Path, part: str | None) -> tuple[str, str | None, int | None]:
    """Group, part and state of a file of this path without its part; files of the states of one set have one group."""
    found = _STATE.findall(path.name)
    if len(found) != 1:
        return str(path), part, None
    own = re.compile(rf"(?:^|[_.\-])s{found[0]}(?=$|[_.\-]|/)", re.IGNORECASE)
    return "/".join(own.sub("", each) for each in path.parts) + "/*", part, int(found[0])


def xyz_members(path: Path) -> Iterator[Member]:
    """The member of a single xyz file."""
    stem, part = part_of(path.name)
    yield Member(path, None, *_group_of(path.parent / stem, part))


def zip_members(path: Path) -> Iterator[Member]:
    """The xyz files in a zip, train before val before test."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a whole zip file ({error}); fetch it again") from error
    names = [
        name
        for name in names
        if name.lower().endswith(XYZ_SUFFIXES)
        and not Path(name).name.startswith(".")
        and not name.startswith("__MACOSX")
    ]
    if not names:
        raise ValueError(f"{path} holds no .xyz or .extxyz file")
    members = []
    for name in names:
        stem, part = part_of(Path(name).name)
        members.append(Member(path, name, *_group_of(path / Path(name).parent / stem, part)))
    yield from sorted(members, key=_order)


def holds_states(path: Path) -> bool:
    """Whether a folder has folders s0, s1, ... with a file of that state each."""
    return path.is_dir() and any(_state_files(path))


def _state_files(path: Path) -> Iterator[Path]:
    for folder in sorted(path.iterdir()):
        if folder.is_dir() and _STATE_FOLDER.fullmatch(folder.name):
            for each in sorted(folder.iterdir()):
                if each.suffix.lower() in (*XYZ_SUFFIXES, ".zip") and f"_{folder.name}." in each.name:
                    yield each


def folder_members(path: Path) -> Iterator[Member]:
    """The xyz files of a folder and of the zips in it, not of folders within, but for those of states (s0, s1, ...)."""
    members: list[Member] = []
    for each in [*sorted(path.iterdir()), *_state_files(path)]:
        if each.suffix.lower() in XYZ_SUFFIXES or is_ase_file(each):
            members.extend(xyz_members(each))
        elif each.suffix.lower() == ".zip":
            members.extend(zip_members(each))
    if not members:
        raise ValueError(f"the folder {path} holds no .xyz, .extxyz, .zip or ASE file")
    yield from sorted(members, key=_order)


def _order(member: Member) -> tuple[str, int]:
    return member.group, (None, "train", "val", "test").index(member.part)
