"""Rewrite: copies a native file aside, growing (chunked) or finished (contiguous), to be renamed into place.

A copy is of the current schema version, whichever the file was of.
"""

from __future__ import annotations

import datetime
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np

from mlff.data.output_file import OutputFile
from mlff.data.schema import (
    FRAME_DATASETS,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    TRAJECTORY_COLUMNS,
    annotate,
    decode,
    open_checked,
)
from mlff.data.upgrade import upgrade

_CHUNK_BYTES = 1 << 16
_COPY_BYTES = 1 << 24


def write_new(path: Path) -> None:
    """A growing file without frames; it appears at ``path`` whole."""
    target = beside(path)
    with removed_on_error(target, path):
        make_empty(target)
        os.replace(target, path)


def make_empty(target: Path) -> None:
    """Write a growing file without frames over ``target``."""
    with OutputFile(target, "w", libver="latest", locking=False) as file:
        _write_root(file)
        table = file.create_group("trajectories")
        for name, dtype in TRAJECTORY_COLUMNS.items():
            table.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(64,))
        table["dt"].attrs["unit"] = "fs"
        file.create_group("systems")
        file.create_group("splits")


def rewrite(
    path: Path, *, chunked: bool, change: Callable[[h5py.File], None] | None = None, source: Path | None = None
) -> None:
    """Put a copy of the file, or of ``source``, in its place: what was committed, changed by ``change``.

    A kill leaves the old file; readers that have it open go on reading the old one.
    """
    target = beside(path)
    with removed_on_error(target, path):
        write_copy(source or path, target, chunked=chunked, change=change)
        os.replace(target, path)


def write_copy(path: Path, target: Path, *, chunked: bool, change: Callable[[h5py.File], None] | None = None) -> None:
    """Write what the file at ``path`` has committed, changed by ``change``, over ``target``."""
    libver = "latest" if chunked else "earliest"
    with open_checked(path, to_upgrade=True) as old, OutputFile(target, "w", libver=libver, locking=False) as new:
        _write_root(new, created=old.attrs["created"])
        _copy(old, new, chunked=chunked)
        upgrade(new, int(old.attrs["schema_version"]))
        if change is not None:
            change(new)
        new.attrs["finalized"] = not chunked
    with target.open("rb") as written:
        os.fsync(written.fileno())


def grow_dataset(frames: h5py.Group, key: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
    """An empty dataset under frames/ that rows can be added to; rows that are skipped read as missing."""
    row_bytes = max(1, np.dtype(dtype).itemsize * int(np.prod(shape)))
    dataset = frames.create_dataset(
        key,
        (0, *shape),
        dtype,
        maxshape=(None, *shape),
        fillvalue=FRAME_DATASETS[key][1],
        chunks=(max(1, _CHUNK_BYTES // row_bytes), *(max(1, size) for size in shape)),
    )
    annotate(dataset, key)
    return dataset


def committed_counts(file: h5py.File) -> tuple[int, np.ndarray]:
    """Number of whole rows of /trajectories, and the frames of every system that they commit."""
    table = file["trajectories"]
    num = min(len(table[name]) for name in TRAJECTORY_COLUMNS)
    owners = table["system"][:num]
    if (strangers := set(owners.tolist()) - set(range(len(file["systems"])))):
        raise ValueError(f"its trajectories belong to systems {sorted(strangers)[:3]}, and it has {len(file['systems'])}")
    counts = np.bincount(owners, weights=table["count"][:num], minlength=len(file["systems"]))
    return num, counts.astype(np.int64)


def refuse_source(output: Path, sources: Iterable[object]) -> None:
    """Raise a ValueError where the output would replace a file that it is made from; what is no path is no file."""
    if any(isinstance(each, str | os.PathLike) and Path(each).resolve() == output.resolve() for each in sources):
        raise ValueError(f"{output} is one of the files that are read, and would be replaced; choose another name")


def beside(path: Path) -> Path:
    """A new hidden file in the same folder, with the permissions of an ordinary one, to be renamed onto ``path``."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    return Path(name)


def remove_leftovers(path: Path) -> None:
    """Remove what a killed writer of ``path`` left beside it; to be called by whoever holds its lock."""
    for each in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            with suppress(OSError):
                each.unlink()


@contextmanager
def removed_on_error(aside: Path, path: Path) -> Iterator[None]:
    """Removes ``aside`` if the block fails; errors of writing it are then of ``path``, the name that its user gave."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(aside)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _copy(old: h5py.File, new: OutputFile, *, chunked: bool) -> None:
    num, committed = committed_counts(old)
    new.create_group("systems")
    for name, source in old["systems"].items():
        group = new.create_group(f"systems/{name}")
        group.attrs.update(source.attrs)
        for key in source:
            if key != "frames":
                source.copy(key, group)
        frames = group.create_group("frames")
        count = int(committed[int(source.attrs["index"])])
        for key, held in source["frames"].items():
            _copy_rows(held, frames, key, count, chunked=chunked)
            new.check()
    group = new.create_group("trajectories")
    for name, dtype in TRAJECTORY_COLUMNS.items():
        values = old["trajectories"][name][:num]
        if chunked:
            group.create_dataset(name, data=values, dtype=dtype, maxshape=(None,), chunks=(64,))
        elif values.dtype.kind in "OS":
            words = np.array([each.encode() for each in decode(values)] or [b""], dtype=np.bytes_)[:num]
            text = h5py.string_dtype("utf-8", max(1, words.dtype.itemsize))
            group.create_dataset(name, data=words.astype(text), dtype=text)
        else:
            group.create_dataset(name, data=values)
    group["dt"].attrs["unit"] = "fs"
    old.copy("splits", new)
    if "report" in old:
        old.copy("report", new)
    new.attrs["num_frames"] = int(committed.sum())


def _copy_rows(held: h5py.Dataset, frames: h5py.Group, key: str, count: int, *, chunked: bool) -> None:
    if chunked:
        made = grow_dataset(frames, key, held.shape[1:], held.dtype)
        made.resize(count, axis=0)
    else:
        made = frames.create_dataset(key, (count, *held.shape[1:]), held.dtype)
        annotate(made, key)
    rows = max(1, _COPY_BYTES // max(1, held.dtype.itemsize * int(np.prod(held.shape[1:]))))
    for first in range(0, count, rows):
        last = min(first + rows, count)
        made[first:last] = held[first:last]


def _write_root(file: h5py.File, created: str | None = None) -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        program_version = version("mlff")
    except PackageNotFoundError:
        program_version = "unknown"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    file.attrs.update(
        {
            "schema_name": SCHEMA_NAME,
            "schema_version": SCHEMA_VERSION,
            "created": created or now,
            "program_version": program_version,
            "num_frames": 0,
            "finalized": False,
        }
    )
