"""The speed of models side by side: MD steps and training, memory, and the distance from the machine's limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from ase.data import chemical_symbols

from .candidates import Candidate, build_potential
from .contest import ROUNDS, Timing, take_turns, worker_of
from .limits import limit_of
from .machine import copy_rate, describe_machine, product_rate
from .systems import benchmark_system

DEFAULT_WORKLOADS = ("azobenzene", "water-192")
TRAINING = "azobenzene"
"""What training is measured on: batches of 32 frames of the embedded set."""

Record = dict[str, Any]


def speed_candidates(
    models: Sequence[str], workloads: Sequence[str] | None, modes: Sequence[str], *, training: bool = False, **options: Any
) -> list[Candidate]:
    """Every model on every workload in every mode; without workloads, on those whose elements the model knows.

    Args:
        models: names or checkpoints (``build_potential``).
        workloads: see ``benchmark_system``.
        modes: keys of ``MODES``.
        training: measure training, too; it has no mode "auto".
        options: device, threads and dtype of all.

    Raises:
        ValueError: an unknown model or workload, or a workload with an element that the model was not trained on.
    """
    candidates = []
    for model in models:
        species = set(build_potential(model).species)
        for workload in DEFAULT_WORKLOADS if workloads is None else workloads:
            if workloads is None and _unknown(workload, species):
                continue
            _check_elements(model, species, workload)
            candidates += [Candidate(model, workload, mode, **options) for mode in modes]
        if training:
            _check_elements(model, species, TRAINING)
            candidates += [Candidate(model, TRAINING, mode, kind="training", **options) for mode in modes if mode != "auto"]
    return candidates


def measure_speed(
    candidates: Sequence[Candidate], *, rounds: int = ROUNDS, steps: int | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Record]:  # fmt: skip
    """Time the candidates, those of one workload in turns, and put each beside the machine's limit.

    Returns:
        One record a candidate: what it is, ``Timing.document()`` or an ``error``, and for MD its ``limit`` with
        ``times_the_limit``, the median processor time (wall time on a GPU or with several threads) over the limit.
    """
    records = []
    first = candidates[0]
    copied = copy_rate(threads=first.threads, device=first.device)
    for kind, workload in dict.fromkeys((each.kind, each.workload) for each in candidates):
        group = [each for each in candidates if (each.kind, each.workload) == (kind, workload)]
        tell(f"training on {workload}" if kind == "training" else workload)
        timings = take_turns([partial(worker_of, each) for each in group], rounds, steps, tell)
        limits: dict[str, dict[str, Any]] = {}
        for candidate, timing in zip(group, timings, strict=True):
            if kind == "md" and candidate.model not in limits:
                dtype = getattr(torch, candidate.dtype)
                potential = build_potential(candidate.model)
                limits[candidate.model] = limit_of(
                    potential, workload, threads=candidate.threads, device=candidate.device, dtype=dtype, copied=copied
                ).document()
            records.append(_record(candidate, timing, limits.get(candidate.model)))
    return records


def machine_facts(threads: int, device: str) -> dict[str, Any]:
    """The machine with its measured rates."""
    return describe_machine(threads, device) | {
        "gigaflop_per_second": product_rate(threads=threads, device=device) / 1e9,
        "gigabytes_per_second": copy_rate(threads=threads, device=device) / 1e9,
    }


def _unknown(workload: str, species: set[int]) -> set[int]:
    return set(benchmark_system(workload).numbers.tolist()) - species


def _check_elements(model: str, species: set[int], workload: str) -> None:
    if unknown := _unknown(workload, species):
        names = ", ".join(chemical_symbols[number] for number in sorted(unknown))
        raise ValueError(f"`{workload}` has {names}, which {model} was not trained on; choose another workload for it, "
                         f"or a model with fresh weights such as painn")


def _record(candidate: Candidate, timing: Timing | Exception, limit: dict[str, Any] | None) -> Record:
    record: Record = {
        "package": "mlff", "model": candidate.model, "mode": candidate.mode, "kind": candidate.kind,
        "workload": candidate.workload, "device": candidate.device, "threads": candidate.threads, "dtype": candidate.dtype,
    }  # fmt: skip
    if isinstance(timing, Exception):
        return record | {"error": str(timing)}
    record |= timing.document()
    if limit is not None:
        clock = "processor_milliseconds" if candidate.threads == 1 and candidate.device == "cpu" else "milliseconds"
        record |= {"limit": limit, "times_the_limit": record[clock]["median"] / limit["milliseconds"]}
    return record
