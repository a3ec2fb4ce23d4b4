"""The atom lines of many frames of extended xyz as arrays, all at once.

Numbers are those of ``float``: read by ``numpy.fromstring``, or, several times faster, by place where columns are fixed.
"""

from __future__ import annotations

import warnings

import numpy as np
from ase.data import atomic_numbers as _NUMBERS

from mlff.data.importers.xyz.comment import Layout, shortened
from mlff.data.importers.xyz.fixed_columns import fixed_numbers


def atomic_number(symbol: str) -> int:
    """Of ``C``, ``c`` or ``6``."""
    number = _NUMBERS.get(symbol) or _NUMBERS.get(symbol.capitalize()) or (int(symbol) if symbol.isdecimal() else 0)
    if not 1 <= number <= 118:
        raise ValueError(f"{shortened(symbol)} is not an element")
    return number


def _by_code() -> np.ndarray:
    """Atomic number of a word of one or two characters, by 256 * first + second; 0 where it is none."""
    result = np.zeros(1 << 16, dtype=np.int16)
    words = [chr(a) + (chr(b) if b else "") for a in range(33, 127) for b in (0, *range(33, 127))]
    for word in words:
        try:
            result[ord(word[0]) * 256 + (ord(word[1]) if len(word) > 1 else 0)] = atomic_number(word)
        except ValueError:
            continue
    return result


_CODES = _by_code()


def words_as_table(words: list[str], layout: Layout) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Atomic numbers ``[R]`` and the number columns ``[R, width]`` of R atom lines, given their words.

    Raises ValueError with the word that is no number or no element.
    """
    columns = {
        name: np.array([list(map(float, words[k :: layout.width])) for k in range(first, first + width)]).T
        for name, (kind, first, width) in layout.columns.items()
        if kind in "RI"
    }
    if "species" in layout.columns:
        symbols = words[layout.columns["species"][1] :: layout.width]
        return np.array([atomic_number(symbol) for symbol in symbols], dtype=np.int16), columns
    return _from_column(columns), columns


def bytes_as_table(
    text: np.ndarray, begins: np.ndarray, ends: np.ndarray, layout: Layout
) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """As ``words_as_table`` for the lines ``text[begins[k]:ends[k]]``, or None where any of them is not as it should.

    ``text`` is u8, blank outside these lines, has two blanks at its end, and is changed.
    """
    num_rows, width = len(begins), layout.width
    blank = text <= 32
    found = np.flatnonzero(blank[:-1] > blank[1:]) + 1  # where words begin: the first byte is of a head, so blank
    if len(found) != num_rows * width:
        return None
    starts = found.reshape(num_rows, width)
    if (starts[:, 0] < begins).any() or (starts[:, -1] >= ends).any():
        return None
    numbers = None
    for name, (kind, first, count) in layout.columns.items():
        if kind in "RI":
            continue
        for column in range(first, first + count):
            at = starts[:, column]
            if name == "species":
                second = np.where(blank[at + 1], 0, text[at + 1])
                numbers = _CODES[text[at].astype(np.int64) * 256 + second]
                if count != 1 or not numbers.all() or not (blank[at + 1] | blank[at + 2]).all():
                    return None
            while len(at):
                text[at] = 32
                at = at[~blank[at + 1]] + 1
    held = [at for kind, first, count in layout.columns.values() if kind in "RI" for at in range(first, first + count)]
    num_columns = len(held)
    values = fixed_numbers(text, starts[:, held], begins, ends)
    if values is None:
        values = _numbers(text, num_rows * num_columns)
        if values is None:
            return None
    values = values.reshape(num_rows, num_columns)
    columns, at_column = {}, 0
    for name, (kind, _, count) in layout.columns.items():
        if kind in "RI":
            columns[name] = values[:, at_column : at_column + count]
            at_column += count
    try:
        return _from_column(columns) if numbers is None else numbers, columns
    except ValueError:
        return None


def _numbers(text: np.ndarray, count: int) -> np.ndarray | None:
    """The ``count`` numbers of a text, None where it holds anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what cannot be read shows in the number of values
        try:
            values = np.fromstring(text.tobytes(), dtype=np.float64, sep=" ")
        except ValueError:
            return None
    return values if values.size == count else None


def _from_column(columns: dict[str, np.ndarray]) -> np.ndarray:
    if "Z" not in columns:
        raise ValueError("the species are no words")
    values = columns["Z"][:, 0]
    wrong = ~((values >= 1) & (values <= 118))
    if wrong.any():
        raise ValueError(f"{shortened(f'{values[wrong][0]:g}')} is not an element")
    return values.astype(np.int16)
