"""Numbers in columns of fixed width and decimals, such as ``%16.8f`` writes them, read as whole tables.

A number of up to fourteen digits is an integer over a power of ten. Both are exact in float64 and the division is rounded
correctly, so the result is the one that ``float`` gives; the digits of all rows become integers by one matrix product.
"""

from __future__ import annotations

import numpy as np

_MINUS, _POINT, _ZERO = 45, 46, 48
_EXACT = 7  # digits that float32 sums exactly
_BLOCK_BYTES = 1 << 18  # of text at a time, which stays in the cache


def fixed_numbers(text: np.ndarray, starts: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    """The numbers ``[R, C]`` of R lines ``text[begins[k]:ends[k]]``, or None where they are not in fixed columns.

    ``starts`` [R, C] says where in ``text`` (u8) the C words of each line begin; all else in the lines is blank.
    """
    length = int(ends[0] - begins[0])
    if not starts.shape[1] or length <= 0 or (ends - begins != length).any():
        return None
    lines = np.lib.stride_tricks.sliding_window_view(text, length)
    columns = _columns(lines[begins[0]], starts.shape[1])
    if columns is None:
        return None
    first, points, stops = columns
    relative = starts - begins[:, None]
    if (relative < first).any() or (relative > points).any() or (stops - 1 - relative.min(axis=0) > 2 * _EXACT).any():
        return None
    weights = _weights(length, first, points, stops)
    values = np.empty(starts.shape)
    size = max(1, _BLOCK_BYTES // length)
    for row in range(0, len(values), size):
        block = slice(row, row + size)
        rows = lines[begins[block]]
        digits = rows ^ _ZERO
        is_digit = digits <= 9
        minus = rows == _MINUS
        known = is_digit | minus | (rows <= 32)
        known[:, points] = rows[:, points] == _POINT
        negative = np.take_along_axis(minus, relative[block], axis=1)
        if not known.all() or minus.sum() != negative.sum() or not is_digit[:, stops - 1].all():
            return None
        digits *= is_digit
        low, high = np.split((digits.astype(np.float32) @ weights).astype(np.float64), 2, axis=1)
        magnitude = (high * 10.0**_EXACT + low) / 10.0 ** (stops - 1 - points)
        values[block] = np.negative(magnitude, where=negative, out=magnitude)
    return values


def _columns(line: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Of the words of a line: the end of the one before, the decimal point and the end; None where there are others."""
    points = np.flatnonzero(line == _POINT)
    stops = np.flatnonzero(np.append(line, 32)[1:] <= 32) + 1
    stops = stops[line[stops - 1] > 32]
    if len(points) != count or len(stops) != count:
        return None
    first = np.append(0, stops[:-1])
    return (first, points, stops) if ((points >= first) & (points < stops - 1)).all() else None


def _weights(length: int, first: np.ndarray, points: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """What each place of a line adds to the low and to the high seven digits of each number, ``[length, 2 C]``."""
    weights = np.zeros((length, 2, len(points)), dtype=np.float32)
    for column, (begin, point, stop) in enumerate(zip(first, points, stops, strict=True)):
        places = [place for place in range(stop - 1, begin - 1, -1) if place != point]
        for power, place in enumerate(places[: 2 * _EXACT]):
            weights[place, power // _EXACT, column] = 10.0 ** (power % _EXACT)
    return weights.reshape(length, -1)
