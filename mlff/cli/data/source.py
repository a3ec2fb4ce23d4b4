"""The data file that a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlff.data import HDF5Dataset


def open_data(file: Path) -> HDF5Dataset:
    """The data of ``file``, or the embedded set for the word azobenzene."""
    if str(file) == "azobenzene" and not file.exists():
        from mlff.datasets import azobenzene

        return azobenzene()
    from mlff.data import HDF5Dataset

    return HDF5Dataset(file)
