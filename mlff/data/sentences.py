"""Sentences of reports, as many as people read."""

from __future__ import annotations

import re
from collections.abc import Sequence


def condensed(sentences: Sequence[str], most: int) -> list[str]:
    """The first ``most`` of the sentences, and how many more; of those that differ in the name before the colon and in
    numbers only, the first and how many are like it."""
    alike: dict[str, list[str]] = {}
    for each in sentences:
        alike.setdefault(re.sub(r"[\d.,]+", "#", each.partition(": ")[2] or each), []).append(each)
    shown = [first + (f" (and {len(others)} more like this)" if others else "") for first, *others in alike.values()]
    return shown if len(shown) <= most else [*shown[:most], f"and {len(shown) - most} more"]
