"""The text of PyRAI2MD's training data, read entry by entry: a few MB of it are in memory at a time, not the file.

What stands before a damaged place is read; what could not be made an array is None.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase.data import atomic_numbers as numbers_of

LISTS = ("xyz", "energy", "grad", "nac", "soc")
_COUNTS = ("natom", "nstate", "nnac", "nsoc")
_SPACE = re.compile(r"[\s,]*")
_SYMBOL = re.compile(r"([A-Z][a-z]?)[_\d]*\Z")  # `C_` occurs
_CHUNK = 1 << 20  # characters


@dataclass
class Contents:
    """What was read before the end of the file, or before the place where it is damaged."""

    counts: dict[str, int] = field(default_factory=dict)
    geometries: list[tuple[np.ndarray, np.ndarray] | None] = field(default_factory=list)  #: numbers, positions
    lists: dict[str, list[np.ndarray | None]] = field(default_factory=dict)  #: energy, grad, nac, soc
    others: list[str] = field(default_factory=list)
    damage: str | None = None

    @property
    def num_entries(self) -> dict[str, int]:
        """Entries of each list that the file has."""
        found = {"xyz": len(self.geometries)} if self.geometries else {}
        return found | {name: len(values) for name, values in self.lists.items()}


def read_contents(path: Path) -> Contents:
    """Key by key and entry by entry, so that what stands before a damage is read."""
    contents = Contents()
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = _Text(stream)
        try:
            text.expect("{")
            while not text.took("}"):
                key = text.value()
                text.expect(":")
                if key in LISTS and text.took("["):
                    values = contents.lists.setdefault(key, []) if key != "xyz" else None
                    while not text.took("]"):
                        if values is None:
                            contents.geometries.append(_geometry(text.value()))
                        else:
                            values.append(_array(text.value()))
                    continue
                value = text.value()
                if key in _COUNTS and isinstance(value, int):
                    contents.counts[key] = value
                elif value != []:
                    contents.others.append(str(key))
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            contents.damage = f"the file is damaged at character {text.at} ({reason})"
    return contents


class _Text:
    """JSON values out of a stream one after the other, with as much of it in memory as the next value needs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._held, self._next, self._before, self._ended = "", 0, 0, False

    @property
    def at(self) -> int:
        """Characters read so far."""
        return self._before + self._next

    def _more(self) -> bool:
        """Read on; False at the end of the stream. The more is held, the more is read, for one value may be long."""
        if self._ended:
            return False
        read = self._stream.read(max(_CHUNK, len(self._held) - self._next))
        self._before += self._next
        self._held, self._next = self._held[self._next :] + read, 0
        self._ended = not read
        return bool(read)

    def _skip(self) -> str:
        """The next character that is neither white nor a comma; empty at the end."""
        while True:
            match = _SPACE.match(self._held, self._next)
            self._next = match.end() if match else self._next
            if self._next < len(self._held):
                return self._held[self._next]
            if not self._more():
                return ""

    def took(self, character: str) -> bool:
        """Whether this character is the next, which is then behind."""
        found = self._skip()
        if found == "":
            raise ValueError("it ends there")
        self._next += found == character
        return found == character

    def expect(self, character: str) -> None:
        """Pass this character."""
        if not self.took(character):
            raise ValueError(f"`{character}` was expected")

    def value(self) -> Any:
        """The next value; a number is whole only when something follows it."""
        self._skip()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._held, self._next)
                if end < len(self._held) or not self._more():
                    break
            except json.JSONDecodeError:
                if not self._more():
                    raise
        self._next = end
        return value


def _geometry(rows: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Atomic numbers and positions of one geometry, rows of (symbol, x, y, z)."""
    try:
        symbols = [_SYMBOL.match(str(row[0]).strip()) for row in rows]
        numbers = np.array([numbers_of[match[1]] if match else 0 for match in symbols], dtype=np.int16)
        positions = np.array([[float(x) for x in row[1:]] for row in rows], dtype=np.float64)
    except (TypeError, ValueError, KeyError, IndexError):
        return None
    whole = len(numbers) and numbers.all() and positions.shape == (len(numbers), 3) and np.isfinite(positions).all()
    return (numbers, positions) if whole else None


def _array(value: Any) -> np.ndarray | None:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
