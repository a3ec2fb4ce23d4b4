"""Report group: what an import dropped or doubted, and the figures of its checks, as the native file stores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from mlff.data.checks import FIGURES
from mlff.data.schema import decode


def store_report(file: h5py.File, problems: Sequence[str], figures: Mapping[int, Mapping[str, float]]) -> None:
    """Add sentences, and the figures of rows of /trajectories, to /report: after an append every figure has a value
    for every trajectory, NaN where it is not known. A file without a report gets one only if there is something to say.
    """
    if "report" not in file and not problems and not figures:
        return
    group = file.require_group("report")
    checks = group.require_group("checks")
    held = decode(group["problems"][:]) if "problems" in group else []
    if "problems" in group:
        del group["problems"]
    group.create_dataset("problems", data=[*held, *problems], dtype=h5py.string_dtype("utf-8"))
    num = len(file["trajectories/name"])
    for name in sorted({*checks, *(name for each in figures.values() for name in each)}):
        values = np.full(num, np.nan)
        if name in checks:
            values[: len(checks[name])] = checks[name][:num]
            del checks[name]
        for row, each in figures.items():
            values[row] = each.get(name, values[row])
        unit, text = FIGURES.get(name, ("", ""))
        checks.create_dataset(name, data=values).attrs.update({"unit": unit, "convention": text})
