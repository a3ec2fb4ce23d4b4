"""A comparison: every model on every data set with every seed, each run in a process of its own, finished ones read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from mlff.benchmarks.candidates import Candidate
from mlff.benchmarks.contest import Timing, take_turns, worker_of
from mlff.train.clock import SECONDS_KEY
from mlff.train.config import TrainConfig, flatten, read_yaml
from mlff.train.run_folder import RunFolder, as_written

from .data import native_paths, write_structure
from .row import Row, error_columns, read_row, write_row
from .spec import DataEntry, ModelEntry, Spec, Speed
from .worker import DIVERGED, ELSEWHERE, read_memory

ROOT = Path(__file__).parents[3]
SAME_ANYWHERE = ("out", "data.path")
"""Keys in which a run that was begun may differ from the specification: where things are, not what they are."""

Tell = Callable[[str], object]


class Interrupted(Exception):
    """Ctrl-C: what was begun can go on."""


@dataclass(frozen=True)
class Run:
    """One run as the specification has it."""

    data: str
    model: str
    config: TrainConfig
    budget: str
    structure: Path

    @property
    def folder(self) -> Path:
        return Path(str(self.config.out))

    @property
    def title(self) -> str:
        """The run as progress tells of it."""
        rate = self.config.optimizer.learning_rate
        return f"{self.data}, {self.model}, learning rate {rate:g}, seed {self.config.seed}"

    @property
    def log(self) -> Path:
        """What its process prints."""
        return self.folder.with_suffix(".log")

    def check(self) -> None:
        """Raise a ValueError where the folder holds a run of other settings."""
        stored = RunFolder(self.folder).config
        if not stored.is_file():
            return
        before, after = (flatten(each) for each in (as_written(read_yaml(stored)), self.config.model_dump(mode="json")))
        before |= {key: value for key, value in after.items() if key not in before and _is_default(key, value)}
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key) and key not in SAME_ANYWHERE]
        if changed:
            told = ", ".join(f"`{key}` {before.get(key)!r}, not {after.get(key)!r}" for key in changed[:4])
            raise ValueError(f"`{self.folder}` holds a run with {told}; give the changed model another name, choose another "
                             f"folder with -o, or remove that run to train it again")


def _is_default(key: str, value: Any) -> bool:
    """Whether a setting that an older version did not have is as it was then."""
    return flatten(TrainConfig().model_dump(mode="json")).get(key) == value


class Comparison:
    """The runs of a specification in a folder; ``train`` does what is left of them, ``rows`` reads what is finished."""

    def __init__(self, spec: Spec, folder: Path, tell: Tell = lambda _: None) -> None:
        """Imports what data are not native.

        Raises:
            ValueError, OSError: data that cannot be read, or a folder that holds runs of other settings.
        """
        self.spec, self.folder, self.tell = spec, folder, tell
        self.paths: dict[str, tuple[str, ...]] = {}
        self.structures: dict[str, Path] = {}
        for data in spec.data:
            paths = native_paths(data, folder, tell)
            self.paths[data.label] = paths
            self.structures[data.label] = write_structure(data, paths, folder / "data" / f"{data.label}.xyz")
        for run in self.first_runs():
            run.check()

    def run(self, data: DataEntry, model: ModelEntry, seed: int, learning_rate: float | None) -> Run:
        """The run of a model on a data set; `learning_rate` None is that of its settings."""
        config = self.spec.config(model, data, self.paths[data.label], seed, learning_rate, "run")
        rate = f"lr-{config.optimizer.learning_rate:g}"
        folder = self.folder / data.label / model.name / rate / f"seed-{seed}"
        config = config.model_copy(update={"out": str(folder)})
        return Run(data.label, model.name, config, self.spec.budget.words, self.structures[data.label])

    def first_runs(self) -> Iterator[Run]:
        """The runs with the first seed, with every learning rate."""
        for data in self.spec.data:
            for model in self.spec.models:
                for rate in self.spec.learning_rates or (None,):
                    yield self.run(data, model, self.spec.seeds[0], rate)

    def later_runs(self) -> Iterator[Run]:
        """The runs with the other seeds, with the best learning rate; models whose first runs lack rows are left out."""
        for seed in self.spec.seeds[1:]:
            for data in self.spec.data:
                for model in self.spec.models:
                    rates = self.spec.learning_rates or (None,)
                    first = [read_row(self.run(data, model, self.spec.seeds[0], rate).folder) for rate in rates]
                    rows = [row for row in first if row is not None]
                    if len(rows) == len(rates):
                        best = min(rows, key=lambda row: row.criterion)
                        yield self.run(data, model, seed, best.learning_rate if self.spec.learning_rates else None)

    @property
    def num_runs(self) -> int:
        """How many there are in all."""
        spec = self.spec
        return len(spec.data) * len(spec.models) * (max(1, len(spec.learning_rates)) + len(spec.seeds) - 1)

    def train(self) -> list[str]:
        """Do the runs that are not finished, the first seed of every model before the others.

        Returns:
            A sentence for each run that could not be done, among them those that another process is at.

        Raises:
            Interrupted: Ctrl-C; the same again goes on from there.
        """
        problems = []
        done = 0
        for runs in (self.first_runs, self.later_runs):
            for run in runs():
                done += 1
                row = read_row(run.folder)
                if row is None:
                    self.tell(f"{done} of {self.num_runs}: {run.title} (output in {run.log})")
                    row_or_problem = finish_run(run, self.spec.speed)
                    if isinstance(row_or_problem, str):
                        problems.append(f"{run.title}: {row_or_problem}")
                        self.tell(f"  {row_or_problem}")
                        continue
                    row = row_or_problem
                else:
                    run.check()
                self.tell(f"{done} of {self.num_runs}: {run.title}: {result_words(row)}")
        return problems


def finish_run(run: Run, speed: Speed) -> Row | str:
    """Train a run to its end, time its MD steps, and write its row; or a sentence that says why there is none."""
    code = _train_in_process(run)
    row = Row(run.data, run.model, run.config.optimizer.learning_rate, run.config.seed, run.budget)
    if code == ELSEWHERE:
        return "another process is training it"
    if code == DIVERGED:
        row = replace(row, stop_reason="diverged", error=_last_line(run.log).removeprefix("diverged: "))
    elif code != 0:
        last = _last_line(run.log).removeprefix("Error: ")
        reason = "it was killed, as the system does to programs that take too much memory" if code == -9 else last
        return f"the training ended with exit code {code}: {reason}"
    else:
        row = _measured(row, run, speed)
    write_row(run.folder, row)
    return row


def _train_in_process(run: Run) -> int:
    """Train in a process of its own, which Ctrl-C reaches through this one alone, so that it stops between two steps."""
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(run.config.model_dump(mode="json"))
    inherited = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{inherited}" if inherited else str(ROOT)}
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlff.benchmarks.accuracy.worker", text], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment, start_new_session=True,
        )  # fmt: skip
        with _passed_on(process) as received:
            code = process.wait()
    if received:
        raise Interrupted
    return code


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to the process; gives the list of those that came."""
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        process.send_signal(signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _measured(row: Row, run: Run, speed: Speed) -> Row:
    """The row with what the run's summary says and what an MD step takes."""
    summary = json.loads(RunFolder(run.folder).summary.read_text(encoding="utf-8"))
    num_train = summary["dataset"]["num_train"]
    row = replace(
        row, stop_reason=summary["stop_reason"], epochs=round(summary["steps"] * run.config.batch_size / num_train, 2),
        steps=summary["steps"], seconds=summary[SECONDS_KEY[run.config.clock]], parameters=summary["num_parameters"],
        frames_per_second=summary["frames_per_second"], peak_megabytes=read_memory(run.folder),
        device=_device(run.config), threads=summary["threads"],
        **error_columns(summary["errors"]),
    )  # fmt: skip
    modes = {"compiled": ("compiled", "eager"), "eager": ("eager",), "none": ()}[speed.mode]
    for mode in modes:
        candidate = Candidate(str(run.folder), str(run.structure), mode, device=row.device, threads=row.threads)
        (timing,) = take_turns([partial(worker_of, candidate)], speed.rounds)
        if isinstance(timing, Timing):
            found = timing.document()
            return replace(
                row, md_mode="compiled" if found["compiled"] else "eager", md_milliseconds=found["milliseconds"]["median"],
                md_processor_milliseconds=found["processor_milliseconds"]["median"],
            )  # fmt: skip
    return row


def _device(config: TrainConfig) -> str:
    """Where the run was trained, and MD steps are timed."""
    import torch

    return "cuda" if config.accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def result_words(row: Row) -> str:
    """The row in a few words."""
    if row.error is not None:
        return f"diverged: {row.error}"
    part = "test" if row.test_forces_mae is not None or row.test_energy_mae is not None else "val"
    words = [
        f"{quantity} {value:.1f} {unit}"
        for quantity, unit, value in (
            ("energy", "meV", getattr(row, f"{part}_energy_mae")), ("forces", "meV/Å", getattr(row, f"{part}_forces_mae")),
        )
        if value is not None
    ]  # fmt: skip
    return f"{part} MAE {', '.join(words)}"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.is_file() else []
    return lines[-1].strip() if lines else "it printed nothing"
