"""GrowingFile: a native file open for adding, which no other process writes meanwhile and no kill can break.

It is either durable (HDF5's single-writer mode, at its path) or grows aside and appears at its path when finalized.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import filelock
import h5py

from mlff.data.output_file import OutputFile, require_room
from mlff.data.rewrite import beside, make_empty, remove_leftovers, removed_on_error, rewrite, write_copy, write_new
from mlff.data.schema import SCHEMA_VERSION, open_checked

_Change = Callable[[h5py.File], None]


class GrowingFile:
    """The native file at ``path``, new or as it stands.

    Raises ValueError where another process writes it; a lock of a process that is dead holds nobody up.
    """

    def __init__(self, path: Path, *, new: bool, overwrite: bool, durable: bool) -> None:
        self.path = path
        self.durable = durable
        self._held: h5py.File | None = None
        self._growing = False
        self._aside: Path | None = None  # where a file grows that is not durable
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        self._lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise ValueError(f"{path} is being written by another process; wait for it to end") from error
        except OSError as error:  # a folder that nothing can be written to
            raise OSError(error.errno, error.strerror, str(path)) from error
        try:
            remove_leftovers(path)
            if new and path.exists() and not overwrite:
                raise ValueError(f"{path} exists already; choose another name, or ask to overwrite it")
            if not new and path.exists():
                self._held = open_checked(path, to_upgrade=True)
            elif durable:
                write_new(path)
                self._held = open_checked(path)
            else:
                self._aside = beside(path)
                with removed_on_error(self._aside, path):
                    make_empty(self._aside)
                self._open(self._aside)
        except BaseException:
            self.close()
            raise

    @property
    def file(self) -> h5py.File:
        """The open file; another one after ``grow``."""
        if self._held is None:
            raise ValueError(f"the writer of {self.path} is closed; open it again with mode='a'")
        return self._held

    @property
    def closed(self) -> bool:
        """Whether the file was closed or finalized."""
        return self._held is None

    def grow(self, change: _Change | None = None) -> None:
        """Make the file one that can grow, and make a change of structure, which cannot be made while it grows."""
        if self._growing and not self.durable:
            if change is not None:
                change(self.file)
        elif not self._growing or change is not None:
            self._release()
            if self.durable:
                rewrite(self.path, chunked=True, change=change)
                self._open(self.path)
            else:
                self._aside = beside(self.path)
                with removed_on_error(self._aside, self.path):
                    write_copy(self.path, self._aside, chunked=True, change=change)
                self._open(self._aside)

    def finalize(self, change: _Change, *, changed: bool) -> None:
        """Put a contiguous file of the current version in place, with a last change, unless it is one; and close."""
        attrs = self.file.attrs
        if self._growing or changed or not attrs["finalized"] or attrs["schema_version"] != SCHEMA_VERSION:
            try:
                self._release()
                rewrite(self.path, chunked=False, change=change, source=self._aside)
            finally:
                self.close()
        self.close()

    def close(self) -> None:
        """Stop: a durable file stays as it is, readable and appendable; what grew aside is dropped."""
        try:
            self._release()
        finally:
            if self._aside is not None:
                with suppress(FileNotFoundError):
                    self._aside.unlink()
                self._aside = None
            self._lock.release()

    def require_room(self, num_bytes: int) -> None:
        """Raise OSError where the disk is full: before so many bytes are added, or after some could not be."""
        if self.durable:
            require_room(self.path, num_bytes)
        elif isinstance(self._held, OutputFile):
            self._held.check()

    def _open(self, path: Path) -> None:
        if self.durable:
            self._held = h5py.File(path, "r+", libver="latest", locking=False)
            self._held.swmr_mode = True
        else:
            self._held = OutputFile(path, "r+", called=self.path, libver="latest", locking=False)
        self._growing = True

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()
