"""``mlff benchmark``: speed, memory, growth, accuracy and symmetry of models."""

from __future__ import annotations

import click

from mlff.cli.group import LazyGroup

COMMANDS = {
    "speed": ("mlff.cli.benchmark.speed", "Time MD steps and training, beside the machine's limit."),
    "growth": ("mlff.cli.benchmark.growth", "Draw time and memory against the number of atoms."),
    "accuracy": ("mlff.cli.benchmark.accuracy", "Train models under one budget and compare their errors."),
    "symmetry": ("mlff.cli.benchmark.symmetry", "Measure which symmetries models have, beside those declared."),
    "data": ("mlff.cli.benchmark.data", "Time reading and importing data, beside the usual ways."),
}


@click.group(name="benchmark", cls=LazyGroup, commands_in=COMMANDS)
def command() -> None:
    """Measure models.

    \b
    mlff benchmark speed
    mlff benchmark speed --model painn --model runs/painn --workload molecule.xyz
    mlff benchmark growth --model painn -o growth.png
    mlff benchmark accuracy SPEC.yaml
    mlff benchmark symmetry
    """
