"""``mlff md``: molecular dynamics with a trained model."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlff.dynamics import Simulation


@click.command()
@click.argument("model")
@click.argument("structure")
@click.option("--ensemble", type=click.Choice(["nve", "langevin"]), default="nve", show_default=True)
@click.option("--temperature", type=float, help="K.  [default: the velocities in STRUCTURE if any (nve), else 300]")
@click.option("--time", "time_fs", type=float, help="Simulated time, fs.  [default: 1000 steps]")
@click.option("--steps", type=int, help="Steps, instead of --time.")
@click.option("--timestep", default=0.5, show_default=True, help="fs.")
@click.option("--equilibrate", default=0.0, show_default=True, help="Time with the thermostat beforehand, fs.")
@click.option("--friction", default=0.01, show_default=True, help="Of the Langevin thermostat, 1/fs.")
@click.option("--seed", type=int, help="Of velocities and thermostat.  [default: drawn, and printed]")
@click.option("--interval", default=10, show_default=True, help="Steps between frames.")
@click.option("--replicas", type=click.IntRange(max=100_000),
              help="Simulations moved together, with seeds of their own: --seed, then one more each.")
@click.option("-o", "--output", metavar="FILE", help="Trajectory, .traj or .xyz.  [default: STRUCTURE-md.traj, here]")
@click.option("--restart", is_flag=True, help="Continue the output's simulation; --steps counts from its start.")
@click.option("--plot", metavar="FILE.png", help="Draw total energy and temperature over time.")
@click.option("--max-temperature", type=float, help="Stop above this, K.  [default: 20 times the start, at least 5000]")
@click.option("--max-disagreement", type=float, help="Stop a simulation where a committee's forces deviate more, eV/Å.")
@click.option("--state", default=0, show_default=True, help="Electronic state.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: a GPU where there is one]")
@click.option("--compile", is_flag=True, help="Compile the model unless `mlff compile` did: a minute, then faster.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    model: str, structure: str, ensemble: str, temperature: float | None, time_fs: float | None, steps: int | None,
    timestep: float, equilibrate: float, friction: float, seed: int | None, interval: int, replicas: int | None,
    output: str | None, restart: bool, plot: str | None, max_temperature: float | None,
    max_disagreement: float | None, state: int, dtype: str, device: str | None, compile: bool, overwrite: bool,
) -> None:  # fmt: skip
    """Simulate STRUCTURE (any file that ASE reads; FILE@0 for a certain frame) with MODEL.

    MODEL is a name that `mlff models` lists, a checkpoint, or the folder of a training run or of a committee. Beside the
    trajectory stand a table of the energies (.csv) and the state for --restart (.state.npz).

    With --replicas each simulation has files of its own (NAME-00.traj, NAME-01.traj, ...), and STRUCTURE may name several
    starts, which are taken in turn: FILE@: for all frames, FILE@0:8 for eight.

    Exit code 1: a simulation stopped early. One that passes --max-disagreement keeps the frame where it does as its last.
    """
    from mlff.calculators import make_calculator
    from mlff.cli.replicas import replica_starts, simulate
    from mlff.dynamics import SimulationStopped, run_md
    from mlff.dynamics.record import simulation_files
    from mlff.dynamics.replicas import replica_file
    from mlff.dynamics.structures import check_outputs, read_structure
    from mlff.dynamics.trajectory import check_suffix

    if time_fs is not None and steps is not None:
        raise click.UsageError("give --time or --steps, not both")
    num_steps = steps if steps is not None else 1000 if time_fs is None else _num_steps("--time", time_fs, timestep)
    starts = [read_structure(structure)] if replicas is None else replica_starts(structure, replicas)
    moving = all(atoms.get_momenta().any() for atoms in starts)
    if temperature is None and (ensemble == "langevin" or equilibrate or not moving):
        temperature = 300.0
    trajectory = check_suffix(output) if output else _default_output(structure)
    files = [trajectory] if replicas is None else [replica_file(trajectory, k) for k in range(replicas)]
    picture = None if plot is None else _checked_plot(plot)
    written = [] if restart else [each for file in files for each in simulation_files(file)]
    check_outputs(written, inputs=[structure], overwrite=overwrite)
    check_outputs([] if picture is None else [picture], inputs=[structure], overwrite=overwrite or restart)
    starts[0].calc = make_calculator(model, state=state, dtype=dtype, device=device, compile=compile or "auto")
    options: dict[str, Any] = dict(
        steps=num_steps, ensemble=ensemble, timestep=timestep, temperature=temperature, friction=friction,
        equilibrate=_num_steps("--equilibrate", equilibrate, timestep), seed=seed, interval=interval, restart=restart,
        overwrite=overwrite, max_temperature=max_temperature, max_disagreement=max_disagreement,
    )  # fmt: skip
    title = _title(Path(structure).name, ensemble, temperature, timestep)
    if replicas is not None:
        simulate(starts, trajectory, picture, f"{title}, {replicas} replicas", _Progress(num_steps), **options)
        return

    failure = None
    start = clock.perf_counter()
    with _Progress(num_steps) as progress:
        try:
            simulation = run_md(starts[0], trajectory=trajectory, callback=progress.update, **options)
        except SimulationStopped as error:
            simulation, failure = error.simulation, error
    _print_summary(simulation, trajectory, progress.steps_done, clock.perf_counter() - start)
    if picture is not None and len(simulation.energies.time):
        simulation.energies.plot(picture, title)
        click.echo(f"{'plot':<14}{picture}")
    if failure is not None:
        sentence = str(failure)
        click.echo(f"Stopped: {sentence[0].lower()}{sentence[1:]}.", err=True)
        raise SystemExit(1)


class _Progress:
    """A live line: steps, temperature, total energy, steps per second and time left."""

    def __init__(self, num_steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[shown]}"),
            TimeRemainingColumn(), console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self.task = self.progress.add_task("simulating", total=num_steps, shown="")
        self.first: tuple[int, float] | None = None
        self.steps_done = 0

    def update(self, row: tuple[int, float, float, float, float, float]) -> None:
        step, _, _, _, total, temperature = row
        now = clock.perf_counter()
        self.first = self.first or (step, now)
        self.steps_done = step - self.first[0]
        rate = self.steps_done / max(now - self.first[1], 1e-9)
        shown = f"{temperature:6.0f} K  E {total:.4f} eV  {rate:.0f} steps/s"
        name = "simulating" if step >= 0 else "equilibrating"
        self.progress.update(self.task, completed=max(step, 0), description=name, shown=shown)

    def __enter__(self) -> _Progress:
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()


def _print_summary(simulation: Simulation, trajectory: Path, steps_done: int, seconds: float) -> None:
    energies, settings = simulation.energies, simulation.settings
    if len(energies.time) == 0:
        return
    rate = steps_done / max(seconds, 1e-9)
    click.echo(f"{'simulated':<14}{energies.time[-1]:g} fs in {simulation.num_steps} steps of {settings.timestep:g} fs "
               f"({settings.ensemble}, seed {settings.seed})")
    if steps_done:
        click.echo(f"{'speed':<14}{rate:.1f} steps/s, {rate * settings.timestep * 0.0864:.3g} ns/day")
    mean, last = energies.temperature.mean(), energies.temperature[-1]
    click.echo(f"{'temperature':<14}{mean:.1f} K on average, {last:.1f} K at the end")
    if settings.ensemble == "nve":
        drift, fluctuation = energies.drift, energies.fluctuation
        click.echo(f"{'total energy':<14}drift {drift:+.4g} meV/atom/ps, RMS {fluctuation:.4g} meV/atom")
    click.echo(f"{'trajectory':<14}{trajectory} ({len(energies.time)} frames)")
    click.echo(f"{'energies':<14}{trajectory.with_suffix('.csv')}")


def _title(name: str, ensemble: str, temperature: float | None, timestep: float) -> str:
    described = "constant energy" if ensemble == "nve" else f"Langevin at {temperature:g} K"
    return f"{name}: {described}, timestep {timestep:g} fs"


def _num_steps(option: str, time_fs: float, timestep: float) -> int:
    import math

    if not (math.isfinite(time_fs) and time_fs >= 0):
        raise ValueError(f"{option} is {time_fs} fs; give 0 or more")
    if not (math.isfinite(timestep) and timestep > 0):
        raise ValueError(f"--timestep is {timestep} fs; give a positive time")
    return round(time_fs / timestep)


def _default_output(structure: str) -> Path:
    path = Path(structure if Path(structure).exists() else structure.rpartition("@")[0])
    return Path(f"{path.stem}-md.traj")


def _checked_plot(plot: str) -> Path:
    path = Path(plot)
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"the plot `{path}` has the suffix {path.suffix!r}; use .png, .pdf or .svg")
    return path
