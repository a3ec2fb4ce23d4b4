"""Trajectories shared among processes: each moves some of them on in a folder of its own, which are put together then."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import numpy as np

from .advance import Progress, Task, advance
from .folder import RunFolder
from .output import put_together
from .state_file import load_swarm, save_swarm
from .surfaces import MultiStatePotential
from .swarm import PER_TRAJECTORY, Swarm

_TELL_EVERY = 20  # steps between messages of a process


def check_can_be_sent(potential: MultiStatePotential) -> None:
    """Raise ValueError where a potential cannot be handed to other processes."""
    try:
        pickle.dumps(potential)
    except Exception as error:  # whatever its parts raise
        raise ValueError(f"the potential cannot be sent to other processes ({error}); use one process") from error


def split(folder: RunFolder, swarm: Swarm, task: Task, num_parts: int) -> None:
    """Give each process its share of the trajectories, in a folder of its own."""
    for k, rows in enumerate(np.array_split(np.arange(len(swarm)), min(num_parts, len(swarm)))):
        aside, part = folder.path / f".part-{k:04d}", folder.path / f"part-{k:04d}"
        aside.mkdir(exist_ok=True)
        save_swarm(RunFolder(aside).state, swarm.select(rows), task.settings)
        os.replace(aside, part)


def advance_parts(
    potential: MultiStatePotential,
    task: Task,
    folder: RunFolder,
    callback: Callable[[Progress], None] | None = None,
) -> None:
    """Move the trajectories of all parts on, a process each.

    Raises:
        ChildProcessError: a process was killed; what was done is kept, to be resumed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share threads and a GPU that are in use already
    messages: Any = context.Queue()
    parts = folder.parts
    told: dict[int, Progress] = {}
    with ProcessPoolExecutor(len(parts), context, _initialise, (potential, messages, len(parts))) as pool:
        left = {pool.submit(_advance_part, part, task, k) for k, part in enumerate(parts)}
        while left:
            done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
            for each in done:
                try:
                    each.result()
                except BrokenProcessPool as error:
                    raise ChildProcessError(f"a process of the run in `{folder.path}` was killed, perhaps for its memory; what "
                                            f"was done is kept: resume the run") from error
            while True:
                try:
                    k, progress = messages.get_nowait()
                except queue.Empty:
                    break
                told[k] = progress
            if callback is not None and len(told) == len(parts):
                callback(_sum(list(told.values())))


def join_parts(folder: RunFolder) -> Swarm:
    """Put the frames and states of the parts into the run's own files and remove the parts; the swarm of all."""
    parts = folder.parts
    loaded = [load_swarm(part.state) for part in parts]
    swarm = joined([each for each, _ in loaded])
    before = [folder.trajectories] if folder.trajectories.exists() else []
    put_together([*before, *(part.trajectories for part in parts)], folder.trajectories, swarm, finished=True)
    save_swarm(folder.state, swarm, loaded[0][1])
    for part in parts:
        shutil.rmtree(part.path)
    return swarm


def joined(swarms: list[Swarm]) -> Swarm:
    """The trajectories of several swarms of one system."""
    surfaces = swarms[0].surfaces.mapped(
        lambda *arrays: np.concatenate(arrays), *(swarm.surfaces for swarm in swarms[1:])
    )
    rows = {name: np.concatenate([getattr(each, name) for each in swarms]) for name in PER_TRAJECTORY}
    return replace(swarms[0], surfaces=surfaces, **rows)


def _sum(parts: list[Progress]) -> Progress:
    counts = np.sum([each.counts for each in parts], axis=0)
    running, hops = sum(each.running for each in parts), sum(each.hops for each in parts)
    return Progress(min(each.step for each in parts), running, hops, counts)


_shared: dict[str, Any] = {}  # of a process: its potential and where its messages go


def _initialise(potential: MultiStatePotential, messages: Any, num_parts: int) -> None:
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // num_parts))
    _shared.update(potential=potential, messages=messages)


def _advance_part(part: RunFolder, task: Task, number: int) -> None:
    potential, messages = _shared["potential"], _shared["messages"]

    def tell(progress: Progress) -> None:
        if progress.step % _TELL_EVERY == 0 or progress.step == task.steps:
            messages.put((number, progress))

    swarm, _ = part.read_state(potential)
    advance(potential, swarm, task, part, tell)
