"""Tasks in processes of their own that take turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from .candidates import Candidate
from .spread import Spread
from .worker import RECORD_SEPARATOR

SECONDS_PER_ROUND = 0.2
"""A round has as many steps as take this long, but not more than ``MOST_STEPS``, or atoms at 300 K would move far."""
MOST_STEPS = 20
ROUNDS = 9
LEAST_ROUNDS = 3


class WorkerError(ValueError):
    """A task that could not be built or run; the words are the task's own."""


@dataclass
class Timing:
    """What was measured of one task; times are seconds a step."""

    steps_per_round: int
    frames_per_step: int
    facts: dict[str, Any]
    warnings: list[str]
    start_seconds: float
    """From the start of building to the end of the warm-up: imports excluded, compilation included."""
    start_memory: int
    warm_up_memory: int = 0
    peak_memory: int = 0
    """Bytes, of the whole process: before its first step, at most during the warm-up (and compilation), and after it."""
    step_seconds: float = 0.0
    """Wall time of the last step of the warm-up."""
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Processor time of all threads, which other programs lengthen less than wall time."""

    def document(self) -> dict[str, Any]:
        """The timing as numbers for JSON: milliseconds a step, frames a second, megabytes (10^6 bytes)."""
        wall, processor = ([1e3 * seconds for seconds in times] for times in (self.wall, self.processor))
        return {
            **self.facts,
            "milliseconds": asdict(Spread.of(wall)),
            "processor_milliseconds": asdict(Spread.of(processor)),
            "frames_per_second": self.frames_per_step / median(self.wall),
            "frames_per_processor_second": self.frames_per_step / max(median(self.processor), 1e-9),
            "peak_megabytes": self.peak_memory / 1e6,
            "start_megabytes": self.start_memory / 1e6,
            "warm_up_megabytes": self.warm_up_memory / 1e6,
            "start_seconds": self.start_seconds,
            "steps_per_round": self.steps_per_round,
            "rounds": len(self.wall),
            "samples": {"milliseconds": wall, "processor_milliseconds": processor},
            "warnings": self.warnings,
        }


class Worker:
    """A process that serves one task (``mlff.benchmarks.worker.serve``)."""

    def __init__(self, command: Sequence[str], threads: int, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is put on top of this process's own; the numbers of threads follow `threads`."""
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, **counts, **(environment or {})},
        )  # fmt: skip
        self._timing: Timing | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        if kind is not None:
            self._process.kill()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    @property
    def timing(self) -> Timing:
        """What was measured so far; waits until the task is ready."""
        if self._timing is None:
            ready = self._answer()
            self._timing = Timing(
                0, ready["frames_per_step"], ready["ready"], ready["warnings"], ready["start_seconds"], ready["start_memory"],
                ready["warm_up_memory"], step_seconds=ready["step_seconds"],
            )  # fmt: skip
        return self._timing

    def run(self, steps: int) -> tuple[float, float]:
        """Do the steps and return seconds a step: wall time and processor time."""
        timing = self.timing
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": steps}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        timing.peak_memory = answer["peak_memory"]
        return answer["wall"], answer["processor"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith(RECORD_SEPARATOR)), None)
        if line is None:
            code = self._process.wait()
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or [""])[-1]
            reason = "it was killed, as the system does to programs that take too much memory" if code == -9 else last
            raise WorkerError(f"the measuring process ended early (exit code {code}): {reason}")
        answer = json.loads(line.removeprefix(RECORD_SEPARATOR))
        if "error" in answer:
            text = answer["error"] if answer["kind"] in ("ValueError", "OSError") else f"{answer['kind']}: {answer['error']}"
            raise WorkerError(text)
        return answer


def worker_of(candidate: Candidate) -> Worker:
    """The process that measures a candidate of this package."""
    command = [sys.executable, "-m", "mlff.benchmarks.worker", json.dumps(asdict(candidate))]
    root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return Worker(command, candidate.threads, {"PYTHONPATH": f"{root}{os.pathsep}{inherited}" if inherited else root})


def take_turns(
    commands: Sequence[Callable[[], Worker]],
    rounds: int = ROUNDS,
    steps: int | None = None,
    tell: Callable[[str], object] = lambda _: None,
    most_seconds: float = math.inf,
) -> list[Timing | WorkerError]:
    """Time the workers that these functions start in `rounds` rounds, A B C A B C, one at a time.

    Args:
        commands: each starts a worker; the next is started when the one before is warm.
        rounds: samples of each.
        steps: steps of a round; None for as many as take 0.2 s, from 1 to 20.
        tell: called with a line on the progress.
        most_seconds: of processor time: once the rounds took them, no further one begins, but there are 3 at least.

    Returns:
        For each the timing, or the error that ended it while the others went on.
    """
    results: list[Timing | WorkerError] = []
    running: dict[int, Worker] = {}
    with ExitStack() as stack:

        def run(index: int, steps: int) -> tuple[float, float]:
            try:
                return running[index].run(steps)
            except WorkerError as error:
                results[index] = error
                del running[index]
                return 0.0, 0.0

        for index, command in enumerate(commands):
            tell(f"preparing {index + 1} of {len(commands)}")
            worker = stack.enter_context(command())
            try:
                timing = worker.timing
                fitting = math.ceil(SECONDS_PER_ROUND / max(timing.step_seconds, 1e-6))
                timing.steps_per_round = steps or min(max(fitting, 1), MOST_STEPS)
                results.append(timing)
                running[index] = worker
            except WorkerError as error:
                results.append(error)
        spent = 0.0
        for done in range(rounds):
            if done >= LEAST_ROUNDS and spent > most_seconds:
                break
            tell(f"round {done + 1} of {rounds}")
            for index, worker in list(running.items()):
                wall, processor = run(index, worker.timing.steps_per_round)
                worker.timing.wall.append(wall)
                worker.timing.processor.append(processor)
                spent += processor * worker.timing.steps_per_round
    return results


def ratio_of(first: Timing, second: Timing, clock: str = "processor") -> Spread:
    """How many times longer a frame of `first` takes than one of `second`, round by round."""
    frames = second.frames_per_step / first.frames_per_step
    return Spread.of(a / b * frames for a, b in zip(getattr(first, clock), getattr(second, clock), strict=True))
