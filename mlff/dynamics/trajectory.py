"""A trajectory file that grows frame by frame (.traj or .xyz) and can be cut back to its first frames."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from ase import Atoms
from ase.io.extxyz import write_xyz
from ase.io.trajectory import Trajectory

SUFFIXES = (".traj", ".xyz", ".extxyz")


class TrajectoryFile:
    """Frames with energy, forces, momenta and (for cells periodic along three axes) stress, on disk as soon as written.

    Args:
        path: ends in .traj (ASE's binary format), .xyz or .extxyz (extended xyz).
        append: go on behind the frames that are there; otherwise a file of this name is replaced.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path = check_suffix(path)
        self._file: Any
        if self.path.suffix == ".traj":
            self._file = Trajectory(self.path, "a" if append else "w")
        else:
            self._file = open(self.path, "a" if append else "w", encoding="utf-8")

    def write(self, atoms: Atoms) -> None:
        """Append a frame."""
        if self.path.suffix == ".traj":
            self._file.write(atoms)
        else:
            write_xyz(self._file, atoms)
            self._file.flush()

    def close(self) -> None:
        """Close the file; no frame can be written any more."""
        self._file.close()

    def __enter__(self) -> TrajectoryFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_suffix(path: str | os.PathLike[str]) -> Path:
    """The path, or a ValueError where its suffix is not one of a trajectory."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"the trajectory `{path}` has the suffix {path.suffix!r}; use one of {', '.join(SUFFIXES)}")
    return path


def keep_first_frames(path: Path, num_frames: int, num_atoms: int) -> None:
    """Cut a trajectory back to its first frames: what a killed run wrote after its last state goes."""
    aside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    found = f"`{path}` has fewer than the {num_frames} frames that its run wrote, so it cannot be continued"
    try:
        if path.suffix == ".traj":
            with Trajectory(path, "r") as frames:
                if len(frames) < num_frames:
                    raise ValueError(found)
                if len(frames) == num_frames:
                    return
                with TrajectoryFile(aside) as kept:
                    for index in range(num_frames):
                        kept.write(frames[index])
        else:
            with open(path, encoding="utf-8") as lines, open(aside, "w", encoding="utf-8") as kept_lines:
                count = 0
                for line in islice(lines, num_frames * (num_atoms + 2)):
                    kept_lines.write(line)
                    count += 1
            if count < num_frames * (num_atoms + 2):
                raise ValueError(found)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
