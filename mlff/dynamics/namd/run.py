"""A run of surface hopping in a folder: trajectories in a file that grows, a state to go on from, several processes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .advance import Progress, Task, advance
from .engine import SurfaceHopping
from .folder import RunFolder
from .initial import InitialConditions
from .output import put_together
from .processes import advance_parts, check_can_be_sent, join_parts, split
from .settings import HoppingSettings
from .state_file import load_swarm
from .surfaces import MultiStatePotential
from .swarm import Swarm


@dataclass(frozen=True)
class NamdRun:
    """What a run of surface hopping led to."""

    folder: RunFolder
    swarm: Swarm
    """All trajectories as they ended."""
    settings: HoppingSettings


def run_namd(
    potential: MultiStatePotential,
    initial: InitialConditions | None = None,
    *,
    out: str | os.PathLike[str],
    time: float,
    settings: HoppingSettings | None = None,
    interval: int = 1,
    first: int = 0,
    processes: int = 1,
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> NamdRun:
    """Run surface hopping from the initial conditions and write it into a folder.

    ``trajectories.h5`` grows as the run goes, and can be read meanwhile and after a kill; ``state.npz`` is what the run is
    continued from, to the last bit. A trajectory whose potential fails or whose total energy jumps stops; the others go on.

    Args:
        potential: any multi-state potential; with several processes one that can be pickled.
        initial: where the trajectories begin; None to resume.
        out: the folder: a new or an empty one, unless the run is resumed.
        time: fs, in all, restarts included.
        settings: of surface hopping; a resumed run keeps its own.
        interval: steps between frames; the frame after a hop is always kept.
        first: number of the first trajectory. Random numbers follow from seed and number alone, so a run with other numbers
            adds to this one.
        processes: that share the trajectories; the result does not depend on it. A run that was stopped keeps those it had.
        resume: go on with the run in the folder.
        about: ``level_of_theory``, ``program`` and ``charge`` for the file.
        callback: called after every step; of several processes, every now and then.

    Raises:
        ValueError: arguments that do not fit each other, a folder in use, a potential that is not the run's.
    """
    folder = RunFolder(Path(out))
    for name, value, lowest in (("interval", interval, 1), ("processes", processes, 1), ("first", first, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"`{name}` is {value!r}; give a whole number, {lowest} or more")
    if not (math.isfinite(time) and time > 0):
        raise ValueError(f"`time` is {time} fs; give a positive time")
    if processes > 1:
        check_can_be_sent(potential)
    swarm: Swarm | None = None
    if resume:
        if settings is not None or initial is not None:
            raise ValueError("a resumed run keeps its settings and has begun; give neither `settings` nor `initial`")
        stored = folder.read_about()
        interval, about = int(stored["interval"]), stored["about"]
        if folder.parts:
            states = [load_swarm(part.state) for part in folder.parts]
            done, settings = max(int(each.steps.max()) for each, _ in states), states[0][1]
        else:
            swarm, settings = folder.read_state(potential)
            done = int(swarm.steps.max())
        if round(time / settings.timestep) < done:
            raise ValueError(f"the run has {done * settings.timestep:g} fs already, more than the {time:g} fs asked for; the "
                             f"time counts from its start")
    else:
        if initial is None:
            raise ValueError("`initial` is missing; give initial conditions, or resume a run")
        settings = settings or HoppingSettings()
        swarm = SurfaceHopping(potential, settings).start(
            initial.positions, initial.velocities, initial.states, trajectories=np.arange(first, first + len(initial))
        )
        folder.begin({"interval": interval, "about": dict(about or {}), "initial": initial.source})
    task = Task(settings, max(1, round(time / settings.timestep)), interval, dict(about or {}))
    if swarm is not None and processes > 1 and len(swarm) > 1:
        split(folder, swarm, task, processes)
        swarm = None
    if swarm is None:
        advance_parts(potential, task, folder, callback)
        swarm = join_parts(folder)
    else:
        swarm = advance(potential, swarm, task, folder, callback)
        put_together([folder.trajectories], folder.trajectories, swarm, finished=True)
    return NamdRun(folder, swarm, settings)
