"""``mlff compile``: code for fast energies and forces on this machine, made ahead of time."""

from __future__ import annotations

from typing import Any

import click


@click.command()
@click.argument("model")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
def command(model: str, dtype: str) -> None:
    """Compile MODEL for this machine's CPU: about a minute, and a C++ compiler.

    MODEL is a name that `mlff models` lists, a checkpoint, or the folder of a training run. The code is kept in a folder
    of yours (MLFF_CACHE names another); every command and MLFFCalculator use it from then on, for this model and any
    other of the same kind and settings, whatever its weights. Energies and forces change by rounding alone.
    """
    import time

    from mlff.calculators.ase import DTYPES
    from mlff.fast import CompilationError, CompiledPotential, Program, cache_folder
    from mlff.graph import VerletList
    from mlff.potential.checkpoint import load_potential

    potential = load_potential(model, dtype=DTYPES[dtype]).requires_grad_(False)
    start = time.perf_counter()
    try:
        with _waiting(f"compiling {potential.config.model.model_dump()['name']}"):
            CompiledPotential(potential, VerletList(potential.cutoff, skin=0.0), Program(potential, compile=True))
    except CompilationError as error:
        raise ValueError(f"`{model}` cannot be compiled here: {error}. Everything works without, only slower.") from error
    click.echo(f"{'ready':<10}after {time.perf_counter() - start:.0f} s, {dtype}")
    click.echo(f"{'code in':<10}{cache_folder()}")


def _waiting(what: str) -> Any:
    from rich.console import Console

    return Console(stderr=True).status(what)
