"""The file that a swarm of trajectories goes on from, to the last bit."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from ..aside import written_aside
from .settings import HoppingSettings
from .surfaces import Surfaces
from .swarm import Swarm

STATE_VERSION = 1
_PREFIX = "surfaces."


def save_swarm(path: str | os.PathLike[str], swarm: Swarm, settings: HoppingSettings) -> None:
    """Write a swarm and its settings, aside first and then renamed; nothing in it is pickled."""
    arrays = {each.name: getattr(swarm, each.name) for each in fields(Swarm) if each.name != "surfaces"}
    for each in fields(Surfaces):
        value = getattr(swarm.surfaces, each.name)
        if isinstance(value, np.ndarray):
            arrays[_PREFIX + each.name] = value
    document = {"version": STATE_VERSION, "settings": asdict(settings),
                "continuous_phases": swarm.surfaces.continuous_phases}
    with written_aside(Path(path)) as aside, open(aside, "wb") as file:
        np.savez(file, document=np.array(json.dumps(document)), **arrays)


def load_swarm(path: str | os.PathLike[str]) -> tuple[Swarm, HoppingSettings]:
    """A swarm that goes on exactly as if it had never been stopped, and the settings that it must go on with.

    Raises:
        ValueError: no such file, one that is damaged, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is nothing to continue from: `{path}` does not exist; start a new simulation")
    try:
        with np.load(path, allow_pickle=False) as stored:
            document = json.loads(str(stored["document"]))
            if document["version"] != STATE_VERSION:
                raise ValueError(f"it has version {document['version']}, this program reads version {STATE_VERSION}")
            surfaces = Surfaces(
                **{name.removeprefix(_PREFIX): stored[name] for name in stored.files if name.startswith(_PREFIX)},
                continuous_phases=bool(document["continuous_phases"]),
            )
            arrays = {each.name: stored[each.name] for each in fields(Swarm) if each.name != "surfaces"}
            return Swarm(surfaces=surfaces, **arrays), HoppingSettings(**document["settings"])
    except Exception as error:  # a damaged zip raises one of many kinds
        raise ValueError(f"the state `{path}` cannot be read: {error}; start a new simulation") from error
