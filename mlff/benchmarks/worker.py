"""A process that holds one task and runs steps of it when told to, so that tasks of several processes take turns.

Requests come as lines of JSON on standard input, and answers go as lines of JSON to standard output, each after a record
separator (RFC 7464), because packages print, too: before this loop begins to standard output, then to standard error.
``{"run": 5}`` is answered with seconds of 5 steps; the end of the input ends the process. The scripts in
``benchmarks/peers`` use the same loop in the environments of the peers.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .tasks import Task

RECORD_SEPARATOR = "\x1e"
WARM_UP_STEPS = 3
LONG_STEP = 1.0
"""Seconds: after two steps, one that takes longer than this warms nothing up any more."""
Facts = dict[str, Any]


def serve(build: Callable[[], tuple[Task, Facts]], synchronize: Callable[[], object] | None = None) -> None:
    """Build the task, say that it is ready, and answer requests until the input ends.

    Args:
        build: makes the task, and says what should be known beside its own facts (versions, number of parameters).
        synchronize: waits for a device whose work is asynchronous.
    """
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the task's packages print must not be taken for an answer
    wait = synchronize or (lambda: None)

    def answer(**content: Any) -> None:
        channel.write(f"{RECORD_SEPARATOR}{json.dumps(content)}\n")

    try:
        before = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            task, facts = build()
            start_memory = peak_memory()
            task.restore()
            step_seconds = _warm_up(task, wait)
            task.restore()
            warm_up_memory = peak_memory()
            forget_peak_memory()
        notes = sorted({str(each.message) for each in caught if issubclass(each.category, UserWarning)})
        answer(ready=facts | task.facts(), frames_per_step=task.frames_per_step, warnings=notes, start_memory=start_memory,
               warm_up_memory=warm_up_memory, start_seconds=time.monotonic() - before,
               step_seconds=step_seconds)
        for line in sys.stdin:
            steps = json.loads(line)["run"]
            task.restore()
            wait()
            wall, processor = time.perf_counter(), time.process_time()
            task.run(steps)
            wait()
            answer(wall=(time.perf_counter() - wall) / steps, processor=(time.process_time() - processor) / steps,
                   peak_memory=peak_memory())
    except Exception as error:
        import traceback

        traceback.print_exc()
        answer(error=str(error) or type(error).__name__, kind=type(error).__name__)
        sys.exit(1)


def _warm_up(task: Task, wait: Callable[[], object]) -> float:
    """Do the first steps, and return the seconds that the last one took."""
    seconds = 0.0
    for done in range(WARM_UP_STEPS):
        if done >= 2 and seconds > LONG_STEP:
            break
        begin = time.perf_counter()
        task.run(1)
        wait()
        seconds = time.perf_counter() - begin
    return seconds


def forget_peak_memory() -> None:
    """Let the peak begin at what is in memory now, so that what compiling took does not count; on Linux alone."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Bytes that this process had in memory at most; on Linux since it was started, or since the peak was forgotten."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(specification: str) -> None:
    """The worker of mlff's own candidates: ``python -m mlff.benchmarks.worker JSON``."""
    import torch

    from .candidates import Candidate, build_task

    candidate = Candidate(**json.loads(specification))
    torch.set_num_threads(candidate.threads)
    synchronize = torch.cuda.synchronize if candidate.device.startswith("cuda") else None
    serve(lambda: build_task(candidate), synchronize)


if __name__ == "__main__":
    main(sys.argv[1])
