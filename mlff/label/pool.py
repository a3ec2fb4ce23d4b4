"""Pool: calculators in processes of their own, which may die without harm to the labelling.

The processes are Pythons of their own, not copies of this one, so that scripts need no guard, a calculator's threads and
files do not meet another's (each has an empty working folder), and a crash costs one structure.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlff.label.calculators import CalculatorSpec
from mlff.label.structures import Structure

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def compute(
    spec: CalculatorSpec, structures: Iterable[tuple[int, Structure]], workers: int = 1
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, labels or error) of every (number, structure), as they come (`mlff.label.compute`).

    Each worker computes with one thread unless OMP_NUM_THREADS says otherwise.

    Raises:
        ValueError: the calculator cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="mlff-label-", ignore_cleanup_errors=True) as folder:
        team = [_Worker(spec, Path(folder) / str(k)) for k in range(workers)]
        free: queue.Queue[_Worker] = queue.Queue()
        for each in team:
            free.put(each)

        def run(number: int, structure: Structure) -> tuple[int, dict[str, Any]]:
            worker = free.get()
            try:
                return number, worker(_request(structure))
            finally:
                free.put(worker)

        with ThreadPoolExecutor(workers) as threads:
            waiting: set[Future[tuple[int, dict[str, Any]]]] = set()
            try:
                for number, structure in structures:
                    waiting.add(threads.submit(run, number, structure))
                    if len(waiting) >= 2 * workers:
                        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                        yield from (each.result() for each in done)
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (each.result() for each in done)
            finally:
                for future in waiting:
                    future.cancel()
                for each in team:
                    each.stop()


class _Worker:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, spec: CalculatorSpec, folder: Path) -> None:
        self.specification = _specification(spec)
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def __call__(self, line: str) -> dict[str, Any]:
        answer = self._ask(self._process or self._start(), line)
        if answer is None:
            ended = self._end()
            return {"error": f"the calculator ended its process with {ended}"}
        return answer

    def stop(self) -> None:
        """End the process, whatever it is doing; a call that waits for it gets an error."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:  # what was not yet sent to a process that is dead
                        pass

    def _start(self) -> subprocess.Popen[str]:
        if self._stopped:
            raise ValueError("the labelling was stopped")
        self.folder.mkdir(exist_ok=True)
        paths = [os.path.abspath(each) if each else os.getcwd() for each in ("", *sys.path)]
        environment = {"OMP_NUM_THREADS": "1"} | os.environ
        environment |= dict.fromkeys(_THREADS, environment["OMP_NUM_THREADS"])
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        with (self.folder / "stderr").open("w") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlff.label.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=complaints, cwd=self.folder, env=environment, text=True, start_new_session=True,
            )  # fmt: skip
        if self._stopped:  # meanwhile
            self._process.kill()
        answer = self._ask(self._process, self.specification)
        if answer is None:
            complaint = (self.folder / "stderr").read_text(errors="replace").strip().splitlines()
            raise ValueError(f"the process of the calculator ended at its start with {self._end()}"
                             f"{': ' + complaint[-1] if complaint else ''}")
        if "fatal" in answer:
            raise ValueError(answer["fatal"])
        return self._process

    def _ask(self, process: subprocess.Popen[str], line: str) -> dict[str, Any] | None:
        """The answer to a line, or None where the process died."""
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except (OSError, ValueError):  # its end of the pipe, or ours, is closed
            return None
        return json.loads(answer) if answer.endswith("\n") else None

    def _end(self) -> str:
        """Clear up after a process that died; how it ended."""
        process, self._process = self._process, None
        if process is None:
            return "an unknown end"
        process.kill()
        code = process.wait()
        try:
            return f"the signal {signal.Signals(-code).name}"
        except ValueError:
            return f"exit code {code}"


def _specification(spec: CalculatorSpec) -> str:
    """The first line to a worker."""
    return json.dumps(asdict(spec) | {"settings": dict(spec.settings)})


def _request(structure: Structure) -> str:
    """A structure as a line to a worker."""
    frame = structure.frame
    return json.dumps(
        {
            "numbers": frame.atomic_numbers.tolist(),
            "positions": frame.positions.tolist(),
            "cell": None if frame.cell is None else frame.cell.tolist(),
            "pbc": frame.pbc.tolist(),
            "masses": None if frame.masses is None else frame.masses.tolist(),
            "charge": frame.charge,
            "multiplicity": structure.multiplicity,
        }
    )
