"""Restarted runs: they write some frames again, and the later ones are those that the run went on from."""

from __future__ import annotations

from collections.abc import Sequence


def continued(marks: Sequence[float]) -> tuple[list[int], int, int]:
    """Which frames to keep, given their times or steps as written; how many were repeated; how many stand out of line.

    A single frame whose mark fits neither side is not a restart but a damaged mark: it alone is left out.
    """
    tolerance = 1e-6
    count = len(marks)
    stray = [
        0 < k < count - 1
        and marks[k + 1] > marks[k - 1] + tolerance
        and not marks[k - 1] <= marks[k] <= marks[k + 1] + tolerance
        for k in range(count)
    ]
    keep: list[int] = []
    repeated = 0
    for k in range(count):
        if stray[k]:
            continue
        while keep and marks[keep[-1]] >= marks[k] - tolerance:
            keep.pop()
            repeated += 1
        keep.append(k)
    return keep, repeated, sum(stray)
