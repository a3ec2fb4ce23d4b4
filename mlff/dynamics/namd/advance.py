"""Moves a swarm of trajectories on, writing frames and the state to go on from as it goes."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlff.data.dataset import HDF5Dataset

from .engine import SurfaceHopping
from .folder import RunFolder
from .output import Recorder, put_together
from .settings import HoppingSettings
from .state_file import save_swarm
from .surfaces import MultiStatePotential
from .swarm import HOP, Swarm

SAVE_EVERY = 20.0
"""Seconds between writes of frames and state, which is what a kill loses at most."""


@dataclass(frozen=True)
class Task:
    """What is to be done with a swarm."""

    settings: HoppingSettings
    steps: int
    """In all."""
    interval: int
    """Steps between frames."""
    about: Mapping[str, Any]
    """Level of theory, program and charge, for the file."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int
    """Steps that the trajectories have made, but those that stopped."""
    running: int
    """Trajectories."""
    hops: int
    """In this call."""
    counts: np.ndarray
    """Trajectories in each state, ``[S]``."""

    @classmethod
    def of(cls, swarm: Swarm, hops: int) -> Progress:
        """The progress of a swarm."""
        counts = np.bincount(swarm.active, minlength=swarm.coefficients.shape[1])
        return cls(int(swarm.steps.max()), int(swarm.running.sum()), hops, counts)


def advance(
    potential: MultiStatePotential,
    swarm: Swarm,
    task: Task,
    folder: RunFolder,
    callback: Callable[[Progress], None] | None = None,
) -> Swarm:
    """The swarm after all steps of the task; frames and state are in the folder whenever this ends, even by Ctrl-C."""
    if folder.trajectories.exists():  # what was written after the state goes: the steps are made again
        if len(HDF5Dataset(folder.trajectories)):
            last = int(swarm.steps.max())
            put_together([folder.trajectories], folder.trajectories, swarm, finished=False, last_step=last)
        else:
            folder.trajectories.unlink()
    dynamics = SurfaceHopping(potential, task.settings)
    recorder = Recorder(folder.trajectories, potential, swarm, timestep=task.settings.timestep, interval=task.interval,
                        quantum=task.settings.method == "fssh", about=task.about)  # fmt: skip
    if not swarm.steps.any():
        recorder.keep(swarm)
    hops, saved = 0, -math.inf
    try:
        while True:
            if recorder.is_full or clock.monotonic() - saved > SAVE_EVERY:
                _save(recorder, folder, swarm, task.settings)
                saved = clock.monotonic()
            step = int(swarm.steps.max())
            if step >= task.steps or not swarm.running.any():
                break
            new = dynamics.step(swarm)
            recorder.keep(new, last=step + 1 == task.steps)  # before the swarm counts it: a stop between loses nothing
            swarm = new
            hops += int(((swarm.hop == HOP) & swarm.running).sum())
            if callback is not None:
                callback(Progress.of(swarm, hops))
    finally:
        try:
            _save(recorder, folder, swarm, task.settings)
        finally:
            recorder.close()
    return swarm


def _save(recorder: Recorder, folder: RunFolder, swarm: Swarm, settings: HoppingSettings) -> None:
    """Write frames, then the state, in this order: a kill between leaves a surplus, never a lack."""
    recorder.write()
    save_swarm(folder.state, swarm, settings)
