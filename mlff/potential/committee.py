"""Committees: folders with several trainings of one potential, which differ in their seeds."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mlff.potential.pretrained import resolve


def member_folder(folder: str | os.PathLike[str], number: int) -> Path:
    """Where the member with this number, from 0, is trained."""
    return Path(folder) / f"member-{number}"


def member_folders(path: str | os.PathLike[str]) -> list[Path]:
    """The members in the folder of a committee, in order; empty where it is none."""
    folder = Path(path)
    found = [each for each in folder.glob("member-*") if re.fullmatch(r"member-\d+", each.name)] if folder.is_dir() else []
    return sorted(found, key=lambda each: int(each.name.partition("-")[2]))


def resolve_members(model: str | os.PathLike[str]) -> list[Path]:
    """The checkpoints of a committee's folder; of any other model its one checkpoint.

    Raises:
        ValueError: no such model, or a member that has not saved one yet.
    """
    return [resolve(each) for each in member_folders(model)] or [resolve(model)]
