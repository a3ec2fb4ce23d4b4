"""Time and memory of an MD step against the number of atoms, and the power of that number that they grow with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .candidates import Candidate
from .contest import take_turns, worker_of
from .machine import free_memory

SIZES = (24, 81, 192, 648, 1536, 5184, 12000)
"""Atoms in the boxes of water, all of the same density."""
FITTED_FROM = 192
"""Atoms from which the power is fitted: below, fixed costs count."""
FREE_SHARE = 0.8
"""A box that would take more than this share of the free memory, by the growth so far, is left out."""
ROUNDS = 5

Record = dict[str, Any]


def measure_growth(
    models: Sequence[str], modes: Sequence[str], sizes: Sequence[int] = SIZES, *, rounds: int = ROUNDS,
    tell: Callable[[str], object] = lambda _: None, **options: Any,
) -> list[Record]:  # fmt: skip
    """One record a model and mode: ``atoms``, ``processor_milliseconds``, ``milliseconds``, ``peak_megabytes`` of an MD step.

    ``time_exponent`` and ``memory_exponent`` are the powers of the number of atoms, fitted from 192 atoms on by least
    squares of the logarithms, memory without what the process has before its first step; None with fewer than two such
    boxes. ``left_out`` says which boxes were not measured, and why. `options` are those of ``Candidate``.
    """
    records = []
    for model in models:
        for mode in modes:
            points: list[Record] = []
            left_out: list[str] = []
            for size in sorted(sizes):
                expected, free = _expected_bytes(points, size), free_memory()
                if expected > FREE_SHARE * free:
                    left_out.append(f"{size} atoms would take {expected / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
                    continue
                candidate = Candidate(model, f"water-{size}", mode, **options)
                tell(f"{model} {mode}, {size} atoms")
                (timing,) = take_turns([partial(worker_of, candidate)], rounds)
                if isinstance(timing, Exception):
                    left_out.append(f"{size} atoms: {timing}")
                    break
                points.append(timing.document())
            records.append(_record(model, mode, points, left_out))
    return records


def fitted_power(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """The p of values ~ sizes^p by least squares of the logarithms; None for fewer than two points."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def plot_growth(records: Sequence[Record], path: Path) -> None:
    """Draw time and memory against the number of atoms, both axes logarithmic, into a picture file."""
    from mlff.figure import STATE_COLOURS, dress, new_figure, save

    figure = new_figure(10, 4.2)
    of_time, of_memory = figure.subplots(1, 2)
    for axes, key, exponent, label in (
        (of_time, "processor_milliseconds", "time_exponent", "processor time of an MD step, ms"),
        (of_memory, "step_megabytes", "memory_exponent", "memory of the steps at most, MB"),
    ):
        for index, record in enumerate(records):
            power = "" if record[exponent] is None else f", N^{record[exponent]:.2f}"
            colour = STATE_COLOURS[index % len(STATE_COLOURS)]
            axes.loglog(record["atoms"], record[key], "o-", color=colour, label=f"{record['model']} {record['mode']}{power}")
        dress(axes, xlabel="atoms (water, 1 g/cm³)", ylabel=label)
        axes.legend(fontsize=9, frameon=False)
    save(figure, path)


def _record(model: str, mode: str, points: Sequence[Record], left_out: Sequence[str]) -> Record:
    time = [point["processor_milliseconds"]["median"] for point in points]
    memory = [max(point["peak_megabytes"] - point["start_megabytes"], 1e-3) for point in points]
    atoms = [point["atoms"] for point in points]
    fitted = [index for index, number in enumerate(atoms) if number >= FITTED_FROM]

    def power(values: Sequence[float]) -> float | None:
        return fitted_power([atoms[index] for index in fitted], [values[index] for index in fitted])

    return {
        "package": "mlff", "model": model, "mode": mode, "atoms": atoms, "processor_milliseconds": time,
        "milliseconds": [point["milliseconds"]["median"] for point in points],
        "peak_megabytes": [point["peak_megabytes"] for point in points], "step_megabytes": memory,
        "time_exponent": power(time), "memory_exponent": power(memory), "left_out": list(left_out),
    }  # fmt: skip


def _expected_bytes(points: Sequence[Record], size: int) -> float:
    """What a box of this size will take if memory grows as the number of atoms does."""
    if not points:
        return 0.0
    last = points[-1]
    return 1e6 * (last["start_megabytes"] + (last["peak_megabytes"] - last["start_megabytes"]) * size / last["atoms"])
