"""The configuration of a training run: a YAML file with these keys, checked when it is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from mlff.graph import GraphConfig
from mlff.train.clock import Clock
from mlff.train.config_mistakes import in_words
from mlff.train.data_config import DataConfig, split_text
from mlff.train.loss_config import LossConfig
from mlff.train.potential_config import PotentialSection
from mlff.train.section import Section

DEFAULT_MODEL = "painn"
BY_KIND = {"muon": {"learning_rate": 4e-3, "weight_decay": 0.03}, "adamw": {"learning_rate": 1e-3, "weight_decay": 1e-2}}
"""Defaults of each kind of optimizer."""


class OptimizerConfig(Section):
    """How gradients become steps."""

    kind: Literal["muon", "adamw"] = "muon"
    """``muon`` makes the steps of hidden layers' matrices orthogonal (Jordan 2024) and moves the rest by AdamW; ``adamw``
    moves all by AdamW."""
    learning_rate: float = Field(default=None, gt=0, validate_default=True)
    """4e-3 by default with ``muon``, 1e-3 with ``adamw``."""
    weight_decay: float = Field(default=None, ge=0, validate_default=True)
    """0.03 by default with ``muon``, 0.01 with ``adamw``. It bounds the weights, and with them what a model does far from its
    data: Muon's steps are as large in directions that the data do not ask for."""
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float | None = Field(10.0, gt=0)
    """The gradient is shortened to this norm where it is longer; null does not clip."""

    @field_validator("learning_rate", "weight_decay", mode="before")
    @classmethod
    def _read_default(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("kind", "muon")  # missing where it is wrong, which is complained of already
        return BY_KIND[kind][str(info.field_name)] if value is None else value

    @field_validator("betas")
    @classmethod
    def _check_betas(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError(f"must be two numbers from 0 to below 1; got {list(value)}")
        return value


class ScheduleConfig(Section):
    """Learning rate over the run: a linear warm-up, then a cosine to the end or steps down when validation stalls."""

    kind: Literal["cosine", "plateau"] = "cosine"
    warmup_steps: int = Field(100, ge=0)
    minimum: float = Field(0.0, ge=0, le=1)
    """Lowest learning rate, as a fraction of ``optimizer.learning_rate``."""
    factor: float = Field(0.5, gt=0, lt=1)
    """plateau: multiply the learning rate by this ..."""
    patience: int = Field(10, ge=0)
    """plateau: ... when the validation loss has not improved for more than this many epochs."""


class EMAConfig(Section):
    """Exponential moving average of the weights, which is what is validated and kept."""

    decay: float = Field(0.999, ge=0, lt=1)
    """0 keeps the latest weights."""
    warmup: bool = True
    """Average over fewer steps at the start: the decay of step t is at most (1 + t) / (10 + t)."""


class EarlyStoppingConfig(Section):
    """Stop when validation no longer improves."""

    patience: int | None = Field(None, ge=1)
    """Epochs without a better validation loss after which the run stops; null never stops it."""


class TrainConfig(Section):
    """A whole training run."""

    data: DataConfig = DataConfig()
    model: dict[str, Any] = Field(default={"name": DEFAULT_MODEL}, validate_default=True)
    """``name`` of the architecture (painn where it is left out) and any of its options; also just the name."""
    graph: GraphConfig = Field(default=None, validate_default=True)
    """Which atoms are connected: ``kind`` radius (all within the cutoff), knn or bonds; by default as the model has it."""
    init_from: str | None = Field(None, min_length=1)
    """Begin with the weights of this model (run folder, checkpoint or shipped name), whose architecture is taken, too."""
    freeze: tuple[str, ...] = ()
    """With ``init_from``: beginnings of the names of parameters that stay as they are, such as ``model.embedding``."""
    potential: PotentialSection = Field(default=None, validate_default=True)
    """Of a topological model (gcn, mpnn, graph-transformer) ``potential.zbl`` is false by default."""
    loss: LossConfig = Field(default=None, validate_default=True)
    """Of a topological model, which has no forces, ``loss.forces`` is 0 by default."""
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: EMAConfig = EMAConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(10, ge=1)
    """Frames a step, over all devices together."""
    max_time: float | None = Field(None, gt=0)
    """Minutes of training after which the run stops, with its learning-rate schedule at its end; null has no limit.
    A resumed run counts what was spent before."""
    clock: Clock = "wall"
    """What `max_time` and the times on record count: ``wall`` minutes as they pass, or ``processor`` minutes, which all
    threads of the (first) process work: on a machine that others use, runs of equal `max_time` then get equal work done.
    The compiler that `compile` starts works in processes of its own, which do not count."""
    seed: int = Field(0, ge=0, lt=2**63)
    precision: Literal["32-true", "64-true", "bf16-mixed"] = "32-true"
    """Arithmetic of the network; energies are summed in float64 whatever it is."""
    tf32: bool = False
    """On recent NVIDIA GPUs: multiply float32 matrices with 10 bits of mantissa, faster."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes an NVIDIA GPU where there is one."""
    devices: int | Literal["auto"] = 1
    """Devices (or processes on CPUs) on each node; ``auto`` takes all."""
    num_nodes: int = Field(1, ge=1, le=100_000)
    compile: bool = False
    """Compile the training step: minutes at the start, for steps that take less than half the time. Needs a C++ compiler (on
    GPUs: Triton). A resumed run is then equal to rounding, not bit for bit, as it may be compiled a little differently."""
    num_threads: int | None = Field(None, ge=1)
    """CPU threads of each process; null leaves torch's choice."""
    out: str | None = None
    """Folder that the run writes."""

    @field_validator("model", mode="before")
    @classmethod
    def _check_model(cls, value: Any) -> dict[str, Any]:
        from mlff.models import model_config

        section = {"name": value} if isinstance(value, str) else value
        if isinstance(section, Mapping):
            section = {"name": DEFAULT_MODEL, **section}
        if not isinstance(section, dict) or not isinstance(section["name"], str):
            raise ValueError(f"must be the name of an architecture, or `name:` and its options; got {value!r}")
        options = {key: option for key, option in section.items() if key != "name"}
        return {"name": section["name"], **model_config(section["name"], **options).model_dump(mode="json", exclude={"name"})}

    @field_validator("graph", mode="before")
    @classmethod
    def _read_graph(cls, value: Any, info: ValidationInfo) -> Any:
        """With the model's own kind, where none is given; a misspelt model is complained of elsewhere."""
        from mlff.models import model_config

        if isinstance(value, str):
            raise ValueError(f"must be a section; write `graph.kind={value}`")
        if value is not None and (not isinstance(value, Mapping) or "kind" in value or "model" not in info.data):
            return value
        default = model_config(**info.data["model"]).default_graph if "model" in info.data else GraphConfig()
        return {**default.model_dump(), **(value or {})}

    @field_validator("potential", "loss", mode="before")
    @classmethod
    def _read_section(cls, value: Any, info: ValidationInfo) -> Any:
        """Without the prior and without forces by default, where the model does not see positions."""
        of_positions = {"potential": (PotentialSection, "zbl", False), "loss": (LossConfig, "forces", 0.0)}
        kind, key, without = of_positions[str(info.field_name)]
        if _is_topological(info.data.get("model")):
            if value is None or (isinstance(value, Mapping) and key not in value):
                return {**(value or {}), key: without}
            if isinstance(value, kind) and key not in value.model_fields_set:
                return value.model_copy(update={key: without})
        return kind() if value is None else value

    @field_validator("freeze", mode="before")
    @classmethod
    def _read_freeze(cls, value: Any) -> Any:
        return split_text(value) or ()

    @field_validator("devices")
    @classmethod
    def _check_devices(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 1024:
            raise ValueError(f"must be 1 to 1024, or `auto`; got {value}")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> TrainConfig:
        if self.freeze and self.init_from is None:
            raise ValueError("`freeze` keeps weights of a model that `init_from` names; new, random ones are not to be kept: "
                             "name a model, or leave `freeze` out")
        if self.clock == "processor" and self.accelerator == "cuda":
            raise ValueError("`clock` is `processor`, but on a GPU the processor is not what works; use `clock: wall`")
        if self.compile and self.precision == "bf16-mixed":
            raise ValueError("`compile` works with `precision` 32-true and 64-true, not with bf16-mixed; leave one of them out")
        if self.compile and self.graph.kind != "radius":
            raise ValueError(f"`compile` is for graphs of all atoms within the cutoff, and `graph.kind` is {self.graph.kind}; "
                             f"leave one of them out")
        learned = {"data.noise": self.data.noise, "loss.forces": self.loss.forces, "loss.stress": self.loss.stress}
        if _is_topological(self.model) and any(learned.values()):
            first, value = next((name, value) for name, value in learned.items() if value)
            raise ValueError(f"`{first}` is {value:g}, but {self.model['name']} knows which atoms are connected and not where "
                             f"they are: it can learn energies, and has no forces; leave `{first}` out, or take another model")
        of_states = self.potential
        beyond = {
            "potential.surfaces=diabatic": of_states.surfaces == "diabatic",
            "potential.couplings": of_states.couplings is not None, "potential.dipoles": of_states.dipoles,
            "potential.soc": of_states.soc, "loss.gap_weight": self.loss.gap_weight > 0,
        }  # fmt: skip
        if self.compile and any(beyond.values()):
            first = next(name for name, asked in beyond.items() if asked)
            raise ValueError(f"`compile` is for energies, forces and stress of separate states, and `{first}` is set; leave "
                             f"one of them out")
        return self

    @classmethod
    def build(cls, values: Mapping[str, Any] | None = None, overrides: Iterable[str] = ()) -> TrainConfig:
        """The configuration of nested `values`, then of `overrides` such as ``optimizer.learning_rate=5e-4``.

        Raises:
            ValueError: an unknown key (with the name that was meant) or a value that does not fit, in one sentence.
        """
        merged = _copy(values or {})
        for override in overrides:
            _apply(merged, override)
        if isinstance(merged.get("init_from"), str) and merged["init_from"]:
            from mlff.train.initial import inherit

            merged = inherit(merged)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise ValueError(in_words(error, cls)) from error

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> TrainConfig:
        """The configuration in a YAML file, then of `overrides` such as ``epochs=20``."""
        return cls.build(read_yaml(path), overrides)

    def to_yaml(self) -> str:
        """The configuration with every default written out, as `from_yaml` reads it."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The nested keys of a YAML file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no configuration file `{path}`")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"`{path}` is no YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict | None):
        raise ValueError(f"`{path}` must hold `key: value` lines, such as `epochs: 100`; it holds {values!r:.60}")
    return values or {}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones: ``{"optimizer": {"betas": ...}}`` becomes ``{"optimizer.betas": ...}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_topological(model: Mapping[str, Any] | None) -> bool:
    """Whether this section ``model``, None where it is not valid, is of a model that has no forces."""
    from mlff.models import model_config

    return model is not None and model_config(**model).topological


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"`{override}` is no override; write KEY=VALUE, such as optimizer.learning_rate=5e-4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"the value in `{override}` cannot be read: {' '.join(str(error).split())}") from error
    *parents, last = key.strip().split(".")
    section = values
    for parent in parents:
        inner = section.get(parent, {})
        if parent == "model" and isinstance(inner, str):
            inner = {"name": inner}
        if not isinstance(inner, dict):
            raise ValueError(f"`{parent}` is a value ({inner!r}), not a section, so `{key}` cannot be set")
        section[parent] = inner
        section = inner
    if key.strip() == "model" and isinstance(value, str) and isinstance(section.get("model"), dict):
        section["model"] = {**section["model"], "name": value}
    else:
        section[last] = value
