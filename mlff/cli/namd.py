"""``mlff namd``: surface hopping with a trained model, and what an ensemble of trajectories shows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlff.dynamics.namd.initial import InitialConditions
    from mlff.dynamics.namd.ml import MLSurfaces
    from mlff.dynamics.namd.settings import HoppingSettings

CANDIDATES = 10
"""Geometries for each trajectory that excitations are picked from."""
COUNT = click.IntRange(max=10_000_000)
"""Of trajectories, each of which has random numbers of its own."""


@click.command()
@click.argument("model", required=False)
@click.option("--initial", default="wigner", show_default=True, metavar="wigner|thermal|FILE",
              help="Positions and velocities: of the vibrations' Wigner or classical distribution, or frames of FILE.")
@click.option("--structure", metavar="FILE",
              help="Structure to relax for `wigner` and `thermal`.  [default: of least energy in the training data]")
@click.option("--temperature", default=300.0, show_default=True, help="Of the initial conditions, K.")
@click.option("--start-state", type=int,
              help="State to begin in, from 0.  [default: 1; the frames' own with FILE; any with --window]")
@click.option("--window", nargs=2, type=float, metavar="LOW HIGH",
              help="Begin in states with these excitation energies, eV, picked by oscillator strength.")
@click.option("--candidates", type=COUNT, help=f"Geometries to pick from with --window.  [default: {CANDIDATES} a trajectory]")
@click.option("--trajectories", type=COUNT, default=100, show_default=True, help="How many; all of them in one batch.")
@click.option("--first-trajectory", type=COUNT, default=0, show_default=True,
              help="Number of the first: other numbers add to a run.")
@click.option("--method", type=click.Choice(["fssh", "lz", "adiabatic"]), default="fssh", show_default=True,
              help="Fewest switches, Landau-Zener, or no hops.")
@click.option("--time", "time_fs", type=float, help="Simulated time in all, fs.  [default: 100, or as the run was]")
@click.option("--timestep", default=0.5, show_default=True, help="fs.")
@click.option("--couplings", type=click.Choice(["model", "overlap", "curvature"]), default="model", show_default=True,
              help="Of fssh: the model's, of its eigenvectors' overlaps, or from the gaps' curvature.")
@click.option("--decoherence", type=click.Choice(["edc", "none"]), default="edc", show_default=True,
              help="Energy-based correction of fssh.")
@click.option("--rescale", type=click.Choice(["coupling", "momentum"]), default="coupling", show_default=True,
              help="Direction in which a hop changes velocities.")
@click.option("--frustrated", type=click.Choice(["keep", "reverse", "gradient"]), default="keep", show_default=True,
              help="Velocity after a hop without enough energy.")
@click.option("--substeps", default=20, show_default=True, help="Electronic steps in a nuclear one.")
@click.option("--max-energy-jump", default=0.5, show_default=True, help="Stop a trajectory that changes its energy more, eV.")
@click.option("--max-disagreement", type=float, help="Stop a trajectory where a committee's forces deviate more, eV/Å.")
@click.option("--seed", default=0, show_default=True, help="Of initial conditions and hops.")
@click.option("--interval", default=1, show_default=True, help="Steps between frames.")
@click.option("--yield", "products", multiple=True, metavar="TEXT",
              help='Count a product, such as "trans: abs(dihedral(2,0,1,3)) > 90"; may be repeated.')
@click.option("-o", "--out", metavar="RUN", help="Folder of the run.  [default: MODEL-namd, here]")
@click.option("--resume", metavar="RUN", help="Go on with the run in this folder, up to --time.")
@click.option("--analyse", metavar="RUN|FILE.h5", multiple=True, help="Only analyse runs, or other trajectories; repeatable.")
@click.option("--processes", default=1, show_default=True, help="That share the trajectories.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of the network.  [default: float32]")
@click.option("--device", help="cpu, cuda or cuda:N.  [default: a GPU where there is one]")
def command(model: str | None, **options: Any) -> None:
    """Run surface hopping with MODEL, a training run, a checkpoint or a committee of several electronic states.

    \b
    mlff namd runs/ch2nh2 --initial wigner --temperature 300 --start-state 2 \\
        --trajectories 200 --method fssh --time 100 --out runs/hopping
    mlff namd --resume runs/hopping --time 200
    mlff namd --analyse runs/hopping --yield "dissociated: distance(0,1) > 3"

    In the folder: trajectories.h5 (a native data file, which can be read while it grows), state.npz (to resume), tables
    (.csv) and pictures of populations, energies and hops, and the geometries of the hops (hops.xyz). docs/namd.md
    explains them. Exit code 1: no trajectory came to its end.
    """
    modes = [bool(options["resume"]), bool(options["analyse"])]
    if sum(modes) > 1:
        raise click.UsageError("give --resume or --analyse, not both")
    if options["analyse"]:
        _analyse(options)
    elif options["resume"]:
        _resume(model, options)
    elif model is None:
        raise click.UsageError("give a MODEL, or --resume RUN, or --analyse RUN")
    else:
        _start(model, options)


def _start(model: str, options: dict[str, Any]) -> None:
    from mlff.dynamics.namd.products import parse_product
    from mlff.dynamics.namd.run import run_namd

    settings = _settings(options)
    out = Path(options["out"] or f"{Path(model).name}-namd")
    if options["trajectories"] < 1:
        raise ValueError(f"--trajectories is {options['trajectories']}; give 1 or more")
    if options["first_trajectory"] < 0:
        raise ValueError(f"--first-trajectory is {options['first_trajectory']}; give 0 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"`{out}` exists already; give another folder with --out, or go on with its run by --resume {out}")
    potential, initial, about = _prepare(model, options)
    for text in options["products"]:
        parse_product(text, len(potential.masses))
    click.echo(f"{'initial':<16}{initial.source}")
    about |= {"model": str(Path(model).absolute()) if Path(model).exists() else model, "dtype": options["dtype"] or "float32",
              "time": _time(options, 100.0), "products": list(options["products"])}  # fmt: skip
    with _Progress(about["time"], settings.timestep) as progress:
        run_namd(
            potential, initial, out=out, time=about["time"], settings=settings, interval=options["interval"],
            first=options["first_trajectory"], processes=options["processes"], about=about, callback=progress.update,
        )  # fmt: skip
    _report([out], out, options["products"])


def _resume(model: str | None, options: dict[str, Any]) -> None:
    from mlff.dynamics.namd.folder import RunFolder
    from mlff.dynamics.namd.loading import load_members, model_surfaces
    from mlff.dynamics.namd.run import run_namd
    from mlff.dynamics.namd.state_file import load_swarm

    folder = RunFolder(Path(options["resume"]))
    about = folder.read_about()["about"]
    named = model or about.get("model")
    if named is None:
        raise ValueError(f"the run in `{folder.path}` was not begun by this command; name its MODEL, too")
    swarm, settings = load_swarm(folder.parts[0].state if folder.parts else folder.state)
    potential = model_surfaces(load_members(named), swarm.atomic_numbers, device=options["device"],
                               dtype=options["dtype"] or about.get("dtype", "float32"))  # fmt: skip
    potential.masses = swarm.masses
    time = _time(options, float(about.get("time", 100.0)))
    with _Progress(time, settings.timestep) as progress:
        run_namd(potential, out=folder.path, time=time, resume=True, processes=options["processes"], callback=progress.update)
    _report([folder.path], folder.path, options["products"] or about.get("products", ()))


def _analyse(options: dict[str, Any]) -> None:
    sources = [Path(each) for each in options["analyse"]]
    if options["out"] is None and (len(sources) > 1 or sources[0].is_file()):
        raise click.UsageError("give the folder for tables and pictures with --out")
    _report(sources, Path(options["out"] or sources[0]), options["products"])


def _report(sources: list[Path], out: Path, products: Any) -> None:
    """Analyse the trajectories of runs or files; print the summary."""
    from mlff.dynamics.namd.gather import gathered
    from mlff.dynamics.namd.report import analyse

    with gathered(sources) as dataset:
        report = analyse(dataset, out, products=products)
        stopped = [line for line in dataset.report if "stopped after step" in line]
        nothing_whole = all(each.status == "crashed" for each in dataset.trajectories)
    for line in report.lines:
        click.echo(line)
    click.echo(f"{'written to':<16}{out}: {', '.join(each.name for each in report.files)}")
    for line in stopped[:5]:
        click.echo(f"Note: {line}", err=True)
    if len(stopped) > 5:
        click.echo(f"Note: {len(stopped) - 5} more trajectories stopped early.", err=True)
    if nothing_whole:
        raise SystemExit(1)


def _settings(options: dict[str, Any]) -> HoppingSettings:
    from mlff.dynamics.namd.settings import HoppingSettings
    from mlff.units import HARTREE

    return HoppingSettings(
        timestep=options["timestep"], method=options["method"], couplings=options["couplings"],
        substeps=options["substeps"], decoherence=0.1 * HARTREE if options["decoherence"] == "edc" else None,
        rescale=options["rescale"], frustrated=options["frustrated"], max_energy_jump=options["max_energy_jump"],
        max_disagreement=options["max_disagreement"], seed=options["seed"],
    )  # fmt: skip


def _prepare(model: str, options: dict[str, Any]) -> tuple[MLSurfaces, InitialConditions, dict[str, Any]]:
    """The potential, where trajectories begin on it, and what the file should say of the system."""
    import numpy as np

    from mlff.dynamics.namd.initial import InitialConditions, atoms_of, excite, from_frames, from_minimum
    from mlff.dynamics.namd.loading import load_members, model_surfaces, trained_structure
    from mlff.dynamics.structures import read_structure

    members = load_members(model)
    about: dict[str, Any] = {"charge": members[0].config.total_charge, "level_of_theory": "", "program": "mlff"}
    number, first, window = options["trajectories"], options["first_trajectory"], options["window"]
    wanted = options["candidates"] or CANDIDATES * (first + number) if window else first + number
    source, start, seed, temperature = options["initial"], options["start_state"], options["seed"], options["temperature"]
    if source in ("wigner", "thermal"):
        if options["structure"]:
            atoms = read_structure(options["structure"])
            numbers, positions = atoms.get_atomic_numbers(), atoms.get_positions()
        else:
            found = trained_structure(model)
            numbers, positions = found.atomic_numbers, found.positions
            about |= {"charge": found.charge, "level_of_theory": found.level_of_theory}
        exact = model_surfaces(members, numbers, device=options["device"], dtype="float64")
        initial = from_minimum(exact, positions, distribution=source, temperature=temperature, number=wanted,
                               start_state=1 if start is None else start, seed=seed)  # fmt: skip
    else:
        numbers = atoms_of(Path(source))
        exact = model_surfaces(members, numbers, device=options["device"], dtype="float64")
        initial = from_frames(source, exact, temperature=temperature, number=wanted,
                              start_state=0 if window and start is None else start, seed=seed)  # fmt: skip
    if window:
        initial = excite(exact, initial, window, number=first + number, seed=seed, start_state=start)
    chosen = slice(first, first + number)
    initial = InitialConditions(initial.positions[chosen], initial.velocities[chosen], np.asarray(initial.states)[chosen],
                                initial.source)  # fmt: skip
    return model_surfaces(members, numbers, device=options["device"], dtype=options["dtype"] or "float32"), initial, about


def _time(options: dict[str, Any], default: float) -> float:
    """What was asked for, fs."""
    time: float = default if options["time_fs"] is None else options["time_fs"]
    if not (math.isfinite(time) and time > 0):
        raise ValueError(f"--time is {time:g}; give a positive time in fs")
    return time


class _Progress:
    """A live line: time, trajectories in each state, hops, time left."""

    def __init__(self, time: float, timestep: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.timestep = timestep
        self.progress = Progress(
            TextColumn("{task.fields[shown]}"), BarColumn(), TimeRemainingColumn(), console=Console(stderr=True),
            transient=True,
        )  # fmt: skip
        self.task = self.progress.add_task("hopping", total=max(1, round(time / timestep)), shown="starting")

    def update(self, done: Any) -> None:
        """Show how far the run is (``mlff.dynamics.namd.advance.Progress``)."""
        states = " ".join(f"{state}:{count}" for state, count in enumerate(done.counts))
        stopped = int(done.counts.sum()) - done.running
        shown = f"{done.step * self.timestep:.1f} fs  states {states}  hops {done.hops}"
        self.progress.update(self.task, completed=done.step, shown=shown + (f"  stopped {stopped}" if stopped else ""))

    def __enter__(self) -> _Progress:
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()
