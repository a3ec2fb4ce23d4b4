"""Comment lines of extended xyz, taken apart: key=value pairs, the columns that ``Properties`` names, numbers in text.

Keys and quoting: https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_PAIR = re.compile(
    r"""\s*([^\s=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\{([^}]*)\}|(\[[^=]*\])|([^\s"']\S*))|\s*(\S+)"""
)
_ESCAPED = re.compile(r"\\(.)")
_PROPERTIES = re.compile(r"([^:]+):([SRIL]):(\d+)(?::|$)")
POSITIONS = ("pos", "positions")
_MOST_PATTERNS = 64

Pairs = tuple[tuple[str, ...], tuple[str, ...]]  #: keys and their values, in the order of the line


@dataclass(frozen=True)
class Layout:
    """Where the columns of a ``Properties`` string are: name -> (kind, first column, width)."""

    columns: dict[str, tuple[str, int, int]]
    width: int

    @property
    def positions(self) -> str:
        """Name of the column of positions."""
        return next(name for name in POSITIONS if name in self.columns)


def parse_comment(text: str) -> dict[str, str]:
    """The key=value pairs of a comment line as text; a bare word is a key with the value ``T``."""
    result: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        key, *values, bare = match.groups()
        if key is None:
            result[bare] = "T"
        else:
            value = next(value for value in values if value is not None)
            quoted = values[0] is not None or values[1] is not None
            result[key.strip("\"'")] = _ESCAPED.sub(r"\1", value) if quoted and "\\" in value else value
    return result


class CommentReader:
    """Comment lines with their keys in one order, as most files have them, by one regular expression each.

    Whatever such an expression does not match goes through ``parse_comment``, so the result is the same.
    """

    def __init__(self) -> None:
        self._last: tuple[Callable[[str], re.Match[str] | None], tuple[str, ...]] | None = None
        self._num_patterns = 0

    def __call__(self, text: str) -> Pairs:
        """Keys and values of the line; the keys of lines with one pattern are one and the same tuple."""
        if self._last is not None:
            match = self._last[0](text)
            if match is not None:
                return self._last[1], match.groups()
        info = parse_comment(text)
        keys = tuple(info)
        if self._num_patterns < _MOST_PATTERNS:  # lines that are all different are not worth an expression each
            self._num_patterns += 1
            pattern = _pattern(text, keys)
            self._last = None if pattern is None else (pattern, keys)
        return keys, tuple(info.values())


def _pattern(text: str, keys: tuple[str, ...]) -> Callable[[str], re.Match[str] | None] | None:
    """The expression of lines with the keys of this one, where its values are plain or in double quotes."""
    parts, at, found = [], 0, []
    for match in _PAIR.finditer(text):
        key, quoted, *others, plain, _ = match.groups()
        if key is None or (quoted is None and (plain is None or plain[0] in "{[" or "=" in plain)):
            return None
        group = 2 if quoted is not None else 6
        parts.append(re.escape(text[at : match.start(group)]))
        parts.append(r'([^"\\]*)' if quoted is not None else r"""([^\s="'{\[][^\s=]*)""")
        at = match.end(group)
        found.append(key.strip("\"'"))
    if tuple(found) != keys:  # a key stands twice
        return None
    return re.compile("".join(parts) + re.escape(text[at:].rstrip()) + r"\s*").fullmatch


def parse_properties(text: str) -> Layout | str:
    """The layout that a ``Properties`` string describes, or why it cannot be read."""
    columns: dict[str, tuple[str, int, int]] = {}
    first = at = 0
    for match in _PROPERTIES.finditer(text):
        if match.start() != at:
            break
        name, kind, width = match.groups()
        columns[name] = (kind, first, int(width))
        first, at = first + int(width), match.end()
    if at != len(text) or not columns:
        return f"its Properties {shortened(text)} cannot be read"
    if not any(name in columns for name in POSITIONS):
        return f"its Properties {shortened(text)} have no pos"
    if "species" not in columns and "Z" not in columns:
        return f"its Properties {shortened(text)} have no species"
    return Layout(columns, first)


def numbers_in(text: str) -> list[float]:
    """The numbers of a value such as ``1 2 3`` or ``[[1, 2], [3, 4]]``."""
    return [float(word) for word in text.translate(_SEPARATORS).split()]


_SEPARATORS = str.maketrans("[],", "   ")


def periodicity(text: str | None, *, has_cell: bool) -> tuple[bool, bool, bool]:
    """As ASE: the key ``pbc``, else periodic where there is a lattice."""
    if text is None:
        return (has_cell,) * 3
    flags = [word.upper() in ("T", "TRUE", "1") for word in text.translate(_SEPARATORS).split()]
    if len(flags) == 1:
        flags *= 3
    if len(flags) != 3:
        raise ValueError(f"pbc={text!r}")
    return flags[0], flags[1], flags[2]


def lattice(text: str) -> np.ndarray:
    """``Lattice``: the three cell vectors, rows, in angstrom."""
    values = numbers_in(text)
    if len(values) != 9:
        raise ValueError(f"a Lattice of {len(values)} numbers, 9 were expected")
    return np.array(values).reshape(3, 3)


def voigt_stress(text: str, *, virial: bool, cell: np.ndarray | None) -> np.ndarray:
    """Voigt stress in eV/angstrom^3 with ASE's sign, from 6 or 9 numbers; a ``virial`` is -volume * stress.

    NaN where the volume that a virial needs is not known.
    """
    values = np.array(numbers_in(text))
    if values.size == 9:
        full = values.reshape(3, 3)
        values = (full + full.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 2
    if values.size != 6:
        raise ValueError(f"a stress of {values.size} numbers")
    if not virial:
        return values
    return np.full(6, np.nan) if cell is None else -values / abs(np.linalg.det(cell))


def shortened(text: str) -> str:
    """A text for a sentence."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
