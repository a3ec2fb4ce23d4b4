"""Processor time of training and MD of the models made of other packages' modules, beside PaiNN (docs/adapters.md).

    .venv-nequip/bin/python benchmarks/adapters.py nequip allegro

One thread, uncompiled, 24 atoms of azobenzene, the smallest of a few samples after two to warm up: the packages' first calls
compile.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

import torch

from mlff.benchmarks import candidates

BATCH_SIZE = 4
SAMPLES: dict[Literal["md", "training"], int] = {"md": 6, "training": 3}


def measure(model: str, kind: Literal["md", "training"]) -> tuple[float, dict[str, Any]]:
    """Processor seconds of a step, and what `build_task` tells of the model."""
    task, facts = candidates.build_task(candidates.Candidate(model, "azobenzene", kind=kind))
    task.restore()
    seconds = []
    for _ in range(2 + SAMPLES[kind]):
        start = time.process_time()
        task.run(1)
        seconds.append(time.process_time() - start)
    return min(seconds[2:]), facts


def main(models: list[str]) -> None:
    torch.set_num_threads(1)
    candidates.BATCH_SIZE, candidates.NUM_BATCHES = BATCH_SIZE, 2
    for model in models:
        step, facts = measure(model, "md")
        batch, _ = measure(model, "training")
        print(f"{model:<12}{facts['parameters']:>10,} parameters {1e3 * step:8.1f} ms a step of MD {BATCH_SIZE / batch:8.1f} "
              f"frames/s in training, batches of {BATCH_SIZE}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:] or ["painn"])
