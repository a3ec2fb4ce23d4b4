"""OutputFile: an HDF5 file to write, which a full disk cannot turn into a crash.

Where a write fails the HDF5 library keeps what it could not write, and ends the process when it lets go of the file. So
writes go through Python here: the first error is kept, later writes are dropped, and ``check`` and ``close`` raise it.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import h5py

from mlff.data.interrupts import Interrupts

_SPARE = 1 << 22  # bytes, for chunks that are begun and the library's own tables


def require_room(path: Path, num_bytes: int) -> None:
    """Raise OSError where the file system of ``path`` has no room for so many bytes more."""
    free = shutil.disk_usage(path.parent).free
    if free < num_bytes + _SPARE:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({free / 1e6:.1f} MB are free)", str(path))


class OutputFile(h5py.File):
    """The HDF5 file at ``path``, new ("w") or to be changed ("r+"); not for single-writer mode.

    Closing raises OSError where not all of it could be written; then the file is worth nothing. The error is of
    ``called``, the name that the user gave, if that is not ``path``.
    """

    def __init__(self, path: Path, mode: Literal["w", "r+"], *, called: Path | None = None, **options: Any) -> None:
        self._kept = _KeepsErrors(path, mode, called or path)
        _interrupts.enter(self._kept)
        try:
            super().__init__(self._kept, mode, **options)
        except BaseException:
            _interrupts.leave(self._kept)
            self._kept.close()
            raise

    def check(self) -> None:
        """Raise the first error of a write, or the KeyboardInterrupt that came during one, if there was one."""
        _interrupts.raise_late()
        if self._kept.error is not None:
            raise self._kept.error

    def close(self) -> None:
        """Write out what is held, and close."""
        if not self._kept.closed:
            try:
                super().close()
            finally:
                self._kept.close()
                _interrupts.leave(self._kept)
            self.check()


class _KeepsErrors:
    """The file object that HDF5 writes to. Every write succeeds, as far as HDF5 knows: from the first that fails on they
    stay in memory, where HDF5 can read them back, until somebody asks for the error."""

    def __init__(self, path: Path, mode: str, called: Path) -> None:
        self.called = called
        self.error: OSError | None = None
        self._file = path.open("w+b" if mode == "w" else "r+b", buffering=0)
        self._at = 0
        self._late: list[tuple[int, bytes]] = []  # where, and what could not be written

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset if whence == os.SEEK_SET else self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        """For whoever asks whether this is a file; HDF5 calls ``readinto``."""
        held = bytearray(os.fstat(self._file.fileno()).st_size - self._at if size < 0 else size)
        return bytes(held[: self.readinto(memoryview(held))])

    def readinto(self, buffer: memoryview) -> int:
        self._file.seek(self._at)
        count = self._file.readinto(buffer) or 0
        for at, data in self._late:
            first, last = max(at, self._at), min(at + len(data), self._at + len(buffer))
            if first < last:
                buffer[first - self._at : last - self._at] = data[first - at : last - at]
                count = max(count, last - self._at)
        self._at += count
        return count

    def write(self, data: memoryview) -> int:
        size, left = len(data), memoryview(data)
        try:
            self._file.seek(self._at)
            while self.error is None and len(left):
                left = left[self._file.write(left) :]
        except OSError as error:
            self._keep(error)
        if len(left):
            self._late.append((self._at + size - len(left), bytes(left)))
        self._at += size
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            if self.error is None:
                self._file.truncate(size)
        except OSError as error:
            self._keep(error)
        return size or 0

    def flush(self) -> None:
        """Nothing is buffered."""

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:  # file systems on a network say so late
            self._keep(error)

    def _keep(self, error: OSError) -> None:
        self.error = self.error or OSError(error.errno, error.strerror, str(self.called))


_interrupts = Interrupts(frozenset(each.__code__ for each in vars(_KeepsErrors).values() if hasattr(each, "__code__")))
