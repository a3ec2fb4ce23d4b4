"""Lines of a file of any size, a window at a time: what has been read is dropped, what is asked for is fetched."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Source(Protocol):
    """Bytes in their order: an open file, or a member of a zip."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` more bytes; none at the end."""


class Lines:
    """The lines from the current one on, by their index; line 0 is the current one.

    ``data`` holds the window: whole lines. Asking for a line beyond makes the window longer; ``drop`` makes a later
    line the current one.
    """

    def __init__(self, source: Source, chunk: int) -> None:
        self.source = source
        self.chunk = chunk
        self.data = b""
        self.dropped = 0  #: lines before the current one in the file
        self.at_end = False  #: the window reaches to the end of the file
        self.ends_in_line = False  #: at the end: the file's last line lacks its line feed
        self._first: list[int] = []  # where the lines of the window begin in data
        self._last: list[int] = []  # and end, without their line feeds
        self._start = 0  # of the current line among those of the window
        self._rest = b""  # of a line whose end is not in the window yet

    def __len__(self) -> int:
        """Lines in the window, from the current one on."""
        return len(self._first) - self._start

    def text(self, k: int) -> str | None:
        """Line ``k``, or None after the end of the file."""
        while k >= len(self) and not self.at_end:
            self._fetch()
        return self.raw(k).decode("utf-8", errors="replace") if k < len(self) else None

    def raw(self, k: int) -> bytes:
        """Line ``k`` of those in the window."""
        k += self._start
        return self.data[self._first[k] : self._last[k]]

    def places(self, start: int, stop: int) -> tuple[list[int], list[int]]:
        """Where lines ``start`` to ``stop`` begin and end in ``data``."""
        return (
            self._first[self._start + start : self._start + stop],
            self._last[self._start + start : self._start + stop],
        )

    def mean_length(self) -> float:
        """Bytes of a line of the window."""
        return len(self.data) / max(1, len(self._first))

    def drop(self, count: int) -> None:
        """Go on ``count`` lines (of those in the window)."""
        self._start += count
        self.dropped += count

    def _fetch(self) -> None:
        """Put the next chunk behind what is left of the window; as much again where that is long."""
        kept = self.data[self._first[self._start] :] if len(self) else b""
        parts = [kept, self._rest]
        wanted = max(self.chunk, len(kept) + len(self._rest))
        while wanted > 0 and (more := self.source.read(wanted)):
            parts.append(more)
            wanted -= len(more)
        self.at_end = wanted > 0
        data = b"".join(parts)
        last = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
        whole = int(last[-1]) + 1 if len(last) else 0
        self.ends_in_line = self.at_end and whole < len(data)
        if self.ends_in_line:
            last, whole = np.append(last, len(data)), len(data)
        self.data, self._rest = data[:whole], data[whole:]
        self._last = last.tolist()
        self._first = [0, *(last[:-1] + 1).tolist()] if len(last) else []
        self._start = 0
