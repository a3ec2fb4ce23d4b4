"""Ctrl-C while a C library calls Python: it waits, because the library would take the exception for a failure of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


class Interrupts:
    """Holds Ctrl-C back while functions with the given ``codes`` run; ``raise_late`` raises it afterwards.

    ``enter`` and ``leave`` say from when to when, and may be nested. Outside of these functions Ctrl-C is what it was.
    """

    def __init__(self, codes: frozenset[CodeType]) -> None:
        self._codes = codes
        self._entered = 0
        self._late = False
        self._before: Callable[[int, FrameType | None], Any] | None = None

    def enter(self) -> None:
        """Begin; only the main thread is ever interrupted, so others need nothing."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._entered += 1
        before = signal.getsignal(signal.SIGINT)
        if self._entered == 1 and callable(before):
            self._before, self._late = before, False
            signal.signal(signal.SIGINT, self._came)

    def leave(self) -> None:
        """End."""
        if threading.current_thread() is not threading.main_thread() or not self._entered:
            return
        self._entered -= 1
        if not self._entered and self._before is not None:
            if signal.getsignal(signal.SIGINT) == self._came:
                signal.signal(signal.SIGINT, self._before)
            self._before = None

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
