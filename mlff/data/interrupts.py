"""Ctrl-C while a C library calls Python: it waits, because the library would take the exception for a failure of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any
from weakref import WeakSet


class Interrupts:
    """Holds Ctrl-C back while functions with the given ``codes`` run; ``raise_late`` raises it afterwards.

    It does so from the first ``enter`` until all owners have left or are gone. Outside of these functions Ctrl-C is what it
    was.
    """

    def __init__(self, codes: frozenset[CodeType]) -> None:
        self._codes = codes
        self._owners: WeakSet[object] = WeakSet()
        self._late = False
        self._before: Callable[[int, FrameType | None], Any] | None = None

    def enter(self, owner: object) -> None:
        """Begin; only the main thread is ever interrupted, so others need nothing."""
        if threading.current_thread() is not threading.main_thread():
            return
        if not self._owners:
            self._late = False
        self._owners.add(owner)
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and before != self._came:
            self._before = before
            signal.signal(signal.SIGINT, self._came)

    def leave(self, owner: object) -> None:
        """End."""
        self._owners.discard(owner)
        if self._owners or threading.current_thread() is not threading.main_thread():
            return
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._came:
            signal.signal(signal.SIGINT, self._before)

    def raise_late(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C came and was held back."""
        if self._late and threading.current_thread() is threading.main_thread():
            self._late = False
            raise KeyboardInterrupt

    def _came(self, number: int, frame: FrameType | None) -> None:
        inner = frame
        while inner is not None:
            if inner.f_code in self._codes:
                self._late = True
                return
            inner = inner.f_back
        if self._before is not None:
            self._before(number, frame)
