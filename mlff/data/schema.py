"""The native file's layout (schema 2): names, version, and the checks on opening one. See docs/formats.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from mlff.properties import PROPERTIES

SCHEMA_NAME = "mlff-frames"
SCHEMA_VERSION = 2
READ_AS_THEY_ARE = frozenset({1, 2})
"""Versions whose files mean what the current one says, and only lack what it added; the others are upgraded first."""

SPLIT_PARTS = ("train", "val", "test")
SPLIT_KINDS = ("time", "trajectory", "random", "given")
STATUSES = ("complete", "crashed", "truncated", "unordered")  #: unordered: frames whose trajectory is not known

NAME_LENGTH = 255  #: bytes of UTF-8 in a trajectory's name
SOURCE_LENGTH = 1023  #: bytes of UTF-8 in a trajectory's source
LABEL_LENGTH = 32  #: bytes of UTF-8 in a state's label
LARGEST_INTEGER = 32_767  #: of states, roots and multiplicities, which are stored in 16 bits

FRAME_DATASETS: dict[str, tuple[str, object]] = {  #: dataset under frames/ -> dtype and what stands for missing
    **{
        name: (each.dtype, {"f": np.nan, "c": complex(np.nan, np.nan)}.get(np.dtype(each.dtype).kind, 0))
        for name, each in PROPERTIES.items()
    },
    **{each.mask: ("?", False) for each in PROPERTIES.values() if each.mask},
    "cell": ("f8", 0.0),
    "active_state": ("i2", -1),
    "active_spin_state": ("i2", -1),
    "active_diagonal_state": ("i2", -1),
    "step": ("i8", -1),
}
TRAJECTORY_COLUMNS = {
    "name": h5py.string_dtype("utf-8", NAME_LENGTH),
    "system": np.dtype("i4"),
    "first": np.dtype("i8"),
    "count": np.dtype("i8"),
    "dt": np.dtype("f8"),
    "status": h5py.string_dtype("utf-8", 16),
    "source": h5py.string_dtype("utf-8", SOURCE_LENGTH),
    "source_sha256": h5py.string_dtype("utf-8", 64),
}


DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)
"""What h5py, and numpy on what it gave, raise where bytes of a file are not what they were."""
ROOT_ATTRIBUTES = ("schema_version", "created", "program_version", "finalized")
"""That every file has, beside its ``schema_name``."""


def open_checked(path: Path, *, to_upgrade: bool = False) -> h5py.File:
    """Open a native file for reading, or say in one sentence why it is not one.

    ``to_upgrade`` opens a file of an older version whose numbers mean something else, too (mlff.data.upgrade).
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a native HDF5 file (written by `mlff data import`) was expected")
    try:
        try:
            file = h5py.File(path, "r", locking=False)
        except (OSError, RuntimeError):  # one that grows, or whose writer was killed, opens in HDF5's single-writer mode only
            file = h5py.File(path, "r", swmr=True, locking=False)
    except (OSError, RuntimeError) as error:
        if isinstance(error, PermissionError):
            raise
        if h5py.is_hdf5(path):
            raise ValueError(
                f"{path} is an HDF5 file but cannot be read ({error}); it may be damaged or truncated: "
                f"make it again with `mlff data import`"
            ) from error
        raise ValueError(
            f"{path} is not an HDF5 file; make one from it with `mlff data import {path} -o FILE.h5`"
        ) from error
    try:
        if check_schema(file, path) not in READ_AS_THEY_ARE and not to_upgrade:
            raise ValueError(
                f"{path} has schema version {file.attrs['schema_version']}, in which some numbers mean something else "
                f"than today; bring it to version {SCHEMA_VERSION} with `mlff data finalize {path}`"
            )
    except BaseException as error:
        file.close()
        if isinstance(error, DAMAGE) and not isinstance(error, ValueError):
            raise ValueError(f"{path} is damaged: {error}; make it again with `mlff data import`") from error
        raise
    return file


def is_native(path: Path) -> bool:
    """Whether it is a native file, of any version, whole or growing."""
    try:
        open_checked(path, to_upgrade=True).close()
    except (ValueError, OSError):
        return False
    return True


def check_schema(file: h5py.File, path: Path) -> int:
    """The version; files of another kind and of a version that this program does not know are refused."""
    name = file.attrs.get("schema_name")
    if name != SCHEMA_NAME:
        raise ValueError(
            f"{path} is an HDF5 file but not one of ours: its `schema_name` is {name!r}, "
            f"{SCHEMA_NAME!r} was expected; make one with `mlff data import`"
        )
    version = file.attrs.get("schema_version")
    if not isinstance(version, (int, np.integer)) or version < 1:
        raise ValueError(
            f"{path} is damaged: its `schema_version` is {version}, a number from 1 to {SCHEMA_VERSION} was expected"
        )
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version}; this program reads versions up to {SCHEMA_VERSION}: "
            f"update mlff to read it"
        )
    return int(version)


def decode(values: Iterable[bytes | str]) -> list[str]:
    """Text columns as str."""
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]


def annotate(dataset: h5py.Dataset, name: str) -> None:
    """Write the unit and convention of a quantity onto its dataset."""
    each = PROPERTIES.get(name)
    if each is None:
        dataset.attrs["unit"] = ""
        dataset.attrs["convention"] = "true where the value exists"
        return
    dataset.attrs["unit"] = each.unit
    if each.convention:
        dataset.attrs["convention"] = each.convention
    if name == "forces":
        dataset.attrs["sign"] = "-dE/dR"
