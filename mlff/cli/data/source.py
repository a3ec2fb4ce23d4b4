"""The data file that a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlff.data import HDF5Dataset


def open_data(file: Path) -> HDF5Dataset:
    """The data of ``file``, or the set inside the package for the words azobenzene, chno and ch2nh2."""
    from mlff.data import HDF5Dataset
    from mlff.datasets import EMBEDDED

    return EMBEDDED[str(file)]() if str(file) in EMBEDDED and not file.exists() else HDF5Dataset(file)
