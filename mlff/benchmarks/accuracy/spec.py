"""SPEC.yaml of ``mlff benchmark accuracy``: models, data sets, the budget of each run, seeds and learning rates."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mlff.models import MODELS
from mlff.train.config import TrainConfig, read_yaml
from mlff.train.data_config import DataConfig
from mlff.train.section import Section

OURS = ("data", "seed", "epochs", "max_time", "clock", "out")
"""Keys of a training configuration that the specification itself decides."""
NO_END = 1_000_000
"""Epochs of runs that end otherwise."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


class Budget(Section):
    """What a run may cost: exactly one of these. The learning rate's schedule ends there."""

    minutes: float | None = Field(None, gt=0)
    """Of wall time: fair where nothing else runs."""
    processor_minutes: float | None = Field(None, gt=0)
    """That the processor works for the run: fair on a machine that others use."""
    epochs: int | None = Field(None, ge=1)
    patience: int | None = Field(None, ge=1)
    """To convergence: until so many epochs bring no better validation loss. The learning rate falls after a third of them
    (a schedule `plateau`), where `settings` does not say otherwise."""

    @model_validator(mode="after")
    def _check_one(self) -> Budget:
        given = self.model_dump(exclude_none=True)
        if len(given) != 1:
            raise ValueError(f"give one of `minutes`, `processor_minutes`, `epochs` and `patience`; got "
                             f"{', '.join(given) or 'none'}")
        return self

    @property
    def words(self) -> str:
        """The budget as tables call it."""
        if self.minutes is not None:
            return f"{self.minutes:g} minutes"
        if self.processor_minutes is not None:
            return f"{self.processor_minutes:g} processor minutes"
        if self.epochs is not None:
            return "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return f"converged, patience {self.patience}"

    @property
    def settings(self) -> dict[str, Any]:
        """Keys of the training configuration."""
        if self.epochs is not None:
            return {"epochs": self.epochs}
        if self.patience is not None:
            return {"epochs": NO_END, "early_stopping": {"patience": self.patience}}
        clock = "wall" if self.processor_minutes is None else "processor"
        return {"epochs": NO_END, "max_time": self.minutes or self.processor_minutes, "clock": clock}

    @property
    def defaults(self) -> dict[str, Any]:
        """Keys that `settings` may set otherwise."""
        if self.patience is None:
            return {}
        return {"schedule": {"kind": "plateau", "patience": max(1, self.patience // 3)}}


class DataEntry(DataConfig):
    """A data set: the keys of `data` of a training configuration, and how a file that is not native becomes one.

    ``path`` may be a native file, the word ``azobenzene``, ``chno`` or ``ch2nh2``, or what `mlff data import` reads (an
    xxMD zip, an rMD17 npz, extended xyz, ...), which is imported once into the folder of the runs.
    """

    name: str | None = None
    """In tables and folders; the file's where it is left out."""
    divide: Literal["time", "trajectory", "random"] | None = None
    """How frames are divided into train, val and test where the file does not say it; `mlff data split` has the words."""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    divide_seed: int = Field(0, ge=0)

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str | None) -> str | None:
        return None if value is None else check_name(value)

    @property
    def label(self) -> str:
        """The name of the data set."""
        return self.name or re.sub(r"[^A-Za-z0-9._+=-]+", "-", Path(self.paths[0]).stem)

    @property
    def section(self) -> dict[str, Any]:
        """The section `data` of a run's configuration, its path as given here."""
        own = self.model_dump(exclude={"name", "divide", "fractions", "divide_seed"})
        return own | {"split": self.split or self.divide}


class ModelEntry(Section):
    """A row of the table: its name, and what is set for it on top of the common `settings`."""

    name: str
    settings: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_name(value)


class Speed(Section):
    """How the time of an MD step is measured: velocity Verlet, the first frame of test, in a process of its own."""

    mode: Literal["compiled", "eager", "none"] = "compiled"
    """``compiled`` falls back to eager where compiling fails; the table says which it was. ``none`` measures nothing."""
    rounds: int = Field(9, ge=1)


class Spec(Section):
    """A whole comparison: every model on every data set, with every seed."""

    out: str | None = None
    """Folder of the runs and tables (-o is the same)."""
    data: tuple[DataEntry, ...]
    models: tuple[ModelEntry, ...]
    budget: Budget
    seeds: tuple[int, ...] = (0,)
    learning_rates: tuple[float, ...] = ()
    """Tried with the first seed; the one with the lowest error of the forces on val goes on with the others. None: that of
    the settings."""
    settings: dict[str, Any] = {}
    """Keys of a training configuration for all runs."""
    speed: Speed = Speed()

    @field_validator("data", mode="before")
    @classmethod
    def _read_data(cls, value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else [value]
        return [{"path": each} if isinstance(each, str) else each for each in entries]

    @field_validator("models", mode="before")
    @classmethod
    def _read_models(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list of models, such as [painn, tensornet]; got {value!r}")
        return [_model_entry(each) for each in value]

    @field_validator("settings", mode="before")
    @classmethod
    def _check_settings(cls, value: Any) -> Any:
        return check_settings(value, "settings")

    @field_validator("speed", mode="before")
    @classmethod
    def _read_speed(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value

    @field_validator("seeds", "learning_rates", mode="before")
    @classmethod
    def _read_numbers(cls, value: Any) -> Any:
        return [value] if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _check_lists(self) -> Spec:
        lists: dict[str, list[Any]] = {
            "data": [each.label for each in self.data], "models": [each.name for each in self.models],
            "seeds": list(self.seeds), "learning_rates": list(self.learning_rates),
        }  # fmt: skip
        for key, values in lists.items():
            if not values and key != "learning_rates":
                raise ValueError(f"`{key}` is empty; give at least one")
            if twice := [each for each in values if values.count(each) > 1]:
                raise ValueError(f"`{key}` has {twice[0]!r} twice; give each once, or different names with `name:`")
        if any(seed < 0 for seed in self.seeds) or any(rate <= 0 for rate in self.learning_rates):
            raise ValueError("seeds are whole numbers from 0 on, and learning rates are above 0")
        return self

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Spec:
        """The specification of nested values.

        Raises:
            ValueError: an unknown key or a value that does not fit, in one sentence; also one in a training configuration.
        """
        try:
            spec = cls.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError(_sentence(error)) from error
        for model in spec.models:
            spec.config(model, spec.data[0], ("data.h5",), spec.seeds[0], None, "run")
        return spec

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Spec:
        """The specification in a YAML file."""
        return cls.build(read_yaml(path))

    def config(
        self, model: ModelEntry, data: DataEntry, paths: Sequence[str], seed: int, learning_rate: float | None, out: str
    ) -> TrainConfig:
        """The training configuration of one run on the native files `paths`."""
        values = merged(merged(self.budget.defaults, self.settings), model.settings)
        section = values.get("model") if values.get("init_from") else values.setdefault("model", model.name)
        if isinstance(section, Mapping) and "name" not in section and not values.get("init_from"):
            raise ValueError(
                f"the model `{model.name}` names no architecture: write `model: {{name: ...}}`, one of {', '.join(MODELS)}"
            )
        values = merged(values, self.budget.settings)
        if learning_rate is not None:
            values = merged(values, {"optimizer": {"learning_rate": learning_rate}})
        values |= {"data": data.section | {"path": list(paths)}, "seed": seed, "out": out}
        try:
            return TrainConfig.build(values)
        except ValueError as error:
            raise ValueError(f"the model `{model.name}`: {error}") from error


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys of both, those of the second before the first's; another `model` takes the place of the first's whole."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        if key == "model":
            before, after = ({"name": each} if isinstance(each, str) else each for each in (old, value))
            result[key] = after
            if isinstance(before, dict) and isinstance(after, dict):
                result[key] = before | after if after.get("name") in (None, before.get("name")) else after
        else:
            result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def check_name(value: str) -> str:
    """The name, if it can be that of a folder."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is the name of a folder, too: write letters, digits and . _ + = - only")
    return value


def check_settings(value: Any, where: str) -> dict[str, Any]:
    """Keys of a training configuration without those that the specification decides."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"`{where}` must hold keys of a training configuration, such as `batch_size: 10`; got {value!r}")
    if taken := [key for key in value if key in OURS]:
        raise ValueError(f"`{where}` sets `{taken[0]}`, which `data`, `seeds`, `budget` and `out` of the specification decide")
    return dict(value)


def _model_entry(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value, "settings": {"model": value}}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError(f"a model is a name, or `name:` and keys of a training configuration; got {value!r}")
    settings = check_settings({key: inner for key, inner in value.items() if key != "name"}, str(value["name"]))
    if value["name"] in MODELS:
        settings = merged({"model": value["name"]}, settings)
    return {"name": value["name"], "settings": settings}


def _sentence(error: ValidationError) -> str:
    """The first thing wrong, as one sentence that names the key."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "extra_forbidden":
        sections: dict[str, type[Section]] = {"budget": Budget, "speed": Speed, "data": DataEntry}
        section = sections.get(location[0], Spec) if location[1:] else Spec
        known = list(section.model_fields)
        guess = difflib.get_close_matches(location[-1], known, 1, 0.6)
        hint = f"did you mean `{guess[0]}`?" if guess else f"the keys there are {', '.join(known)}"
        return f"there is no key `{key}` in the specification: {hint}"
    if first["type"] == "missing":
        return f"the specification lacks `{key}`; it needs `data`, `models` and `budget`"
    if first["type"] == "value_error":
        return f"`{key}`: {message}" if key and not message.startswith("`") else message
    return f"`{key}` is {first['input']!r}, but {message[0].lower()}{message[1:]}".replace("but input", "but it")
