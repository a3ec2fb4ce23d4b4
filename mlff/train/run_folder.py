"""The folder of a run: what lies where, who may begin in it, and how a resumed run may differ from what it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlff.train.config import TrainConfig, flatten, read_yaml
from mlff.train.state import replace_file

MAY_CHANGE = (
    "epochs", "max_time", "data.path", "out", "accelerator", "devices", "num_nodes", "num_threads",
)  # fmt: skip
"""Keys that a resumed run may be given anew; all others would make it another run."""


class RunFolder:
    """Paths inside a run's folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.csv"
        self.tensorboard = self.path / "tensorboard"
        self.model = self.path / "model"
        self.state = self.path / "state"
        self.summary = self.path / "summary.json"

    def predictions(self, part: str) -> Path:
        """File of the predictions for ``val`` or ``test``."""
        return self.path / f"predictions_{part}.npz"

    def check_new(self) -> None:
        """Raise a ValueError unless a new run may begin here: the folder is missing or empty."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"`{self.path}` is a file; give another folder with --out")
        if self.config.is_file():
            raise ValueError(f"`{self.path}` holds a run already: go on with it by `mlff train --resume {self.path}`, or give "
                             f"another folder with --out")
        if self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise ValueError(f"`{self.path}` holds files that are no run; give another folder with --out")

    def has_results(self) -> bool:
        """Whether the end of the run was written to the last."""
        return self.summary.is_file() and (self.path / "report.html").is_file()

    def forget_results(self) -> None:
        """Remove what an earlier end of the run wrote, as the run goes on."""
        for path in (self.summary, self.predictions("val"), self.predictions("test"), self.path / "report.html"):
            path.unlink(missing_ok=True)
        for path in self.path.glob("*.png"):
            path.unlink()

    def write_config(self, config: TrainConfig) -> None:
        """Make the folder and put the configuration into it, which makes it a run that can be resumed."""
        self.path.mkdir(parents=True, exist_ok=True)
        replace_file(self.config, config.to_yaml().encode())


def resume_config(run: str | os.PathLike[str], overrides: Iterable[str] = ()) -> TrainConfig:
    """The configuration of the run in folder `run`, with what may change replaced by `overrides` (``KEY=VALUE``).

    Raises:
        ValueError: the folder holds no run, or an override is of a key that must stay, which is named.
    """
    folder = RunFolder(run)
    if not folder.config.is_file():
        raise ValueError(f"there is no run to resume in `{run}`: it has no config.yaml; give the folder that `mlff train` "
                         f"wrote")
    values = as_written(read_yaml(folder.config))
    stored = TrainConfig.build(values)
    wanted = TrainConfig.build(values, [*overrides, f"out={_quoted(folder.path)}"])
    before, after = (flatten(config.model_dump(mode="json")) for config in (stored, wanted))
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key) and not key.startswith(MAY_CHANGE)]
    if changed:
        listed = ", ".join(f"`{key}` (it was {before.get(key)!r})" for key in changed)
        raise ValueError(f"a resumed run keeps its settings, so {listed} cannot change; what can is {', '.join(MAY_CHANGE)}. "
                         f"Begin a new run with --out for other settings")
    return wanted


def as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a stored configuration with what runs did when they could not be asked for it: AdamW moved all weights."""
    return {**values, "optimizer": {"kind": "adamw", **(values.get("optimizer") or {})}}


def _quoted(value: Any) -> str:
    """A text as YAML reads it back unchanged."""
    return "'" + str(value).replace("'", "''") + "'"
