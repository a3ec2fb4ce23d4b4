"""The folder of a run of surface hopping: which files it holds, who may begin in it, what it goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..aside import written_aside
from .settings import HoppingSettings
from .state_file import load_swarm
from .surfaces import MultiStatePotential
from .swarm import Swarm


@dataclass(frozen=True)
class RunFolder:
    """Paths in a run's folder."""

    path: Path

    @property
    def trajectories(self) -> Path:
        """The native file of all frames."""
        return self.path / "trajectories.h5"

    @property
    def state(self) -> Path:
        """What the run goes on from."""
        return self.path / "state.npz"

    @property
    def about(self) -> Path:
        """What the run was asked for."""
        return self.path / "run.json"

    @property
    def parts(self) -> list[RunFolder]:
        """Folders of the run's processes, from its beginning until all of them are done."""
        return [RunFolder(each) for each in sorted(self.path.glob("part-*")) if each.is_dir()]

    def begin(self, about: Mapping[str, Any]) -> None:
        """Make the folder of a new run; a ValueError where there are files in it."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"`{self.path}` is a file; give a folder")
        if self.about.exists():
            raise ValueError(f"`{self.path}` holds a run of surface hopping already; resume it, or give another folder")
        if self.path.is_dir() and any(self.path.iterdir()):
            raise ValueError(f"the folder `{self.path}` is not empty; give another one")
        self.path.mkdir(parents=True, exist_ok=True)
        with written_aside(self.about) as aside:
            aside.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def read_about(self) -> dict[str, Any]:
        """What the run was asked for; a ValueError where there is none."""
        try:
            document = json.loads(self.about.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ValueError(f"there is no run of surface hopping in `{self.path}` ({self.about.name}: {reason}); give the "
                             f"folder that one was written to") from error
        missing = [key for key in ("interval", "about") if key not in document]
        if missing:
            raise ValueError(f"`{self.about}` is damaged: it lacks `{missing[0]}`")
        return document

    def read_state(self, potential: MultiStatePotential) -> tuple[Swarm, HoppingSettings]:
        """What the run goes on from; a ValueError where that does not fit the potential."""
        swarm, settings = load_swarm(self.state)
        if not np.array_equal(swarm.atomic_numbers, potential.atomic_numbers):
            raise ValueError(f"the atoms of the run in `{self.path}` are not those of the potential")
        if swarm.coefficients.shape[1] != potential.num_states:
            raise ValueError(f"the run in `{self.path}` has {swarm.coefficients.shape[1]} states, the potential "
                             f"{potential.num_states}")
        return swarm, settings
