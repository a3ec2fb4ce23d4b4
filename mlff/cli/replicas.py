"""The part of ``mlff md`` that moves many replicas together."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ase import Atoms

    from mlff.dynamics import Replicas


def replica_starts(structure: str, count: int) -> list[Atoms]:
    """The starts of so many replicas: the structures that STRUCTURE names, in turn."""
    from mlff.dynamics.structures import read_structures

    if count < 1:
        raise ValueError(f"--replicas is {count}; give 1 or more")
    found = read_structures(structure)
    if not found:
        raise ValueError(f"`{structure}` names no structure")
    return [found[k % len(found)].copy() for k in range(count)]


def simulate(
    starts: list[Atoms], trajectory: Path, picture: Path | None, title: str, progress: Any, **options: Any
) -> None:
    """Run, print a line a replica, draw; exit code 1 where one of them stopped early."""
    from mlff.dynamics import run_replicas
    from mlff.dynamics.replica_plot import plot_replicas

    before = clock.perf_counter()
    with progress:
        result = run_replicas(starts, trajectory=trajectory, callback=_first_of_step(progress.update), **options)
    _print_table(result, trajectory, progress.steps_done, clock.perf_counter() - before)
    if picture is not None:
        plot_replicas([simulation.energies for simulation in result.simulations], picture, title)
        click.echo(f"{'plot':<14}{picture}")
    failures = [(k, sentence) for k, sentence in enumerate(result.failures) if sentence is not None]
    for k, sentence in failures:
        click.echo(f"Replica {k:02d} stopped: {sentence}.", err=True)
    if failures:
        raise SystemExit(1)


def _first_of_step(update: Callable[[Any], None]) -> Callable[[int, Any, Atoms], None]:
    """Show a step when the first replica logs it."""
    shown: list[int] = []

    def tell(_: int, row: Any, __: Atoms) -> None:
        if not shown or row[0] > shown[-1]:
            shown[:] = [row[0]]
            update(row)

    return tell


def _print_table(result: Replicas, trajectory: Path, steps_done: int, seconds: float) -> None:
    from mlff.dynamics.replicas import replica_file

    settings = [simulation.settings for simulation in result.simulations]
    first, count = settings[0], len(settings)
    click.echo(f"{'replicas':<14}{count}, seeds {first.seed} to {settings[-1].seed}, {first.ensemble}, steps of "
               f"{first.timestep:g} fs")  # fmt: skip
    if steps_done:
        rate = steps_done / max(seconds, 1e-9)
        click.echo(f"{'speed':<14}{rate:.1f} steps/s of all, {count * rate * first.timestep * 0.0864:.3g} ns/day in sum")
    conserved = first.ensemble == "nve"
    click.echo("replica   time fs    mean K" + ("   drift meV/atom/ps   RMS meV/atom" if conserved else ""))
    for k, simulation in enumerate(result.simulations):
        log = simulation.energies
        if not len(log.time):
            click.echo(f"{k:7d}   ended before the first step")
            continue
        line = f"{k:7d} {log.time[-1]:9g} {log.temperature.mean():9.1f}"
        click.echo(line + (f" {log.drift:+19.4g} {log.fluctuation:14.4g}" if conserved else ""))
    names = f"{replica_file(trajectory, 0)} to {replica_file(trajectory, count - 1).name}" if count > 1 else str(
        replica_file(trajectory, 0))  # fmt: skip
    click.echo(f"{'trajectories':<14}{names}, tables beside them (.csv)")
