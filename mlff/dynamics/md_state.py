"""The state that a simulation is continued from: positions, momenta, random numbers, and what the run was set to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms

from .aside import written_aside

STATE_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """What must stay the same when a simulation goes on; units fs, K, 1/fs."""

    ensemble: Literal["nve", "langevin"]
    timestep: float
    temperature: float | None
    friction: float
    equilibrate: int
    interval: int
    seed: int


@dataclass(frozen=True)
class State:
    """A simulation after a step; `step` is negative during equilibration."""

    settings: Settings
    atomic_numbers: np.ndarray
    positions: np.ndarray
    momenta: np.ndarray
    step: int
    num_frames: int
    energy: float
    num_degrees: int
    random: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the state, aside first and then renamed; nothing in it is pickled."""
        document = {"version": STATE_VERSION, "settings": asdict(self.settings), "step": self.step,
                    "num_frames": self.num_frames, "energy": self.energy, "num_degrees": self.num_degrees,
                    "random": self.random}
        with written_aside(path) as aside, open(aside, "wb") as file:
            np.savez(file, document=np.array(json.dumps(document)), atomic_numbers=self.atomic_numbers,
                     positions=self.positions, momenta=self.momenta)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read a state, or raise a ValueError that says what is wrong with the file."""
        if not path.is_file():
            raise ValueError(f"there is nothing to continue from: `{path}` does not exist; start without restart")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                document = json.loads(str(arrays["document"]))
                version = document.pop("version")
                if version != STATE_VERSION:
                    raise ValueError(f"it has version {version}, this program reads version {STATE_VERSION}")
                settings = Settings(**document.pop("settings"))
                return cls(settings=settings, atomic_numbers=arrays["atomic_numbers"], positions=arrays["positions"],
                           momenta=arrays["momenta"], **document)
        except Exception as error:  # a damaged zip raises one of many kinds
            raise ValueError(f"the state `{path}` cannot be read: {error}; start anew without restart") from error

    def check(self, settings: Settings, atoms: Atoms, seed_given: bool) -> None:
        """Raise ValueError where the run asked for is not the one that this state belongs to."""
        changed = [
            f"{name} {getattr(self.settings, name)} -> {getattr(settings, name)}"
            for name in (field.name for field in fields(Settings))
            if getattr(self.settings, name) != getattr(settings, name) and (name != "seed" or seed_given)
        ]
        if changed:
            raise ValueError(f"the simulation cannot continue with other settings ({'; '.join(changed)}); "
                             f"repeat those of its start, or start a new one")
        if not np.array_equal(self.atomic_numbers, atoms.get_atomic_numbers()):
            raise ValueError("the simulation cannot continue: its atoms are not those of the structure given")
