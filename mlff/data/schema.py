"""The native file's layout (schema 1): names, version, and the checks on opening one. See docs/formats.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from mlff.properties import PROPERTIES

SCHEMA_NAME = "mlff-frames"
SCHEMA_VERSION = 1

SPLIT_PARTS = ("train", "val", "test")
SPLIT_KINDS = ("time", "trajectory", "random", "given")
STATUSES = ("complete", "crashed", "truncated", "unordered")  #: unordered: frames whose trajectory is not known

NAME_LENGTH = 255  #: bytes of UTF-8 in a trajectory's name
SOURCE_LENGTH = 1023  #: bytes of UTF-8 in a trajectory's source

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


def open_checked(path: Path) -> h5py.File:
    """Open a native file for reading, or say in one sentence why it is not one."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a native HDF5 file (written by `mlff data import`) was expected")
    try:
        try:
            file = h5py.File(path, "r", locking=False)
        except OSError:  # one that grows, or whose writer was killed, opens in HDF5's single-writer mode only
            file = h5py.File(path, "r", swmr=True, locking=False)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        if h5py.is_hdf5(path):
            raise ValueError(
                f"{path} is an HDF5 file but cannot be read ({error}); it may be truncated: "
                f"make it again with `mlff data import`"
            ) from error
        raise ValueError(
            f"{path} is not an HDF5 file; make one from it with `mlff data import {path} -o FILE.h5`"
        ) from error
    try:
        check_schema(file, path)
    except BaseException:
        file.close()
        raise
    return file


def check_schema(file: h5py.File, path: Path) -> None:
    """Refuse files of another kind and files of a newer version, with the reason."""
    name = file.attrs.get("schema_name")
    if name != SCHEMA_NAME:
        raise ValueError(
            f"{path} is an HDF5 file but not one of ours: its `schema_name` is {name!r}, "
            f"{SCHEMA_NAME!r} was expected; make one with `mlff data import`"
        )
    version = int(file.attrs.get("schema_version", 0))
    if not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version}; this program reads versions up to {SCHEMA_VERSION}: "
            f"update mlff to read it"
        )


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
