"""Options that the commands of ``mlff benchmark`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

MODELS = ("painn", "tensornet", "egnn")
MODES = ("eager", "compiled", "auto")


class Listed(click.ParamType):
    """Names separated by commas."""

    name = "names"

    def __init__(self, choices: tuple[str, ...] | None = None) -> None:
        self.choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        if not names:
            self.fail("give at least one name", param, ctx)
        for name in names:
            if self.choices is not None and name not in self.choices:
                self.fail(f"there is no {name!r}; choose of {', '.join(self.choices)}", param, ctx)
        return names


def candidate_options(function: Callable) -> Callable:
    """``--model``, ``--mode``, ``--device``, ``--threads``, ``--dtype``."""
    of_model = (
        "An architecture with fresh weights (painn, or painn:num_features=64,num_layers=2), a name that `mlff models` lists, "
        "a checkpoint or a run folder. May be repeated."
    )
    of_mode = (
        f"Of {', '.join(MODES)}; commas between. compiled is compile=True of MLFFCalculator (a minute for an architecture's "
        f"first time), auto its default."
    )
    for option in reversed([
        click.option("--model", "models", metavar="MODEL", multiple=True, default=MODELS, show_default=True, help=of_model),
        click.option("--mode", "modes", type=Listed(MODES), default="eager,compiled", show_default=True, help=of_mode),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
        click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of each process."),
        click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True),
    ]):  # fmt: skip
        function = option(function)
    return function
