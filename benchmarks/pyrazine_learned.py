"""Surface hopping on a potential that learned pyrazine's vibronic coupling model, beside the model itself.

    python benchmarks/pyrazine_learned.py --out runs/pyrazine --figure docs/pyrazine_populations.png

Frames come from trajectories of surface hopping on the analytic model (two states, a conical intersection, 24 modes in
Cartesian coordinates), with energies and forces of both states and the coupling. A diabatic potential is trained on them for
--minutes of processor time. Then 200 other trajectories, with the same starts and random numbers, run on the analytic model and
on the trained potential. Bands are 95 % intervals of a bootstrap over whole trajectories. What is there already is not
computed again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch

from mlff.data import HDF5Dataset, HDF5Writer, splits
from mlff.data.plots.ensemble import bootstrap
from mlff.dynamics.namd import HoppingSettings, MultiStatePotential, SurfaceHopping
from mlff.dynamics.namd.analytic import TurningPotential, pyrazine
from mlff.dynamics.namd.ml import MLSurfaces
from mlff.dynamics.namd.swarm import HOP, Swarm
from mlff.figure import BLUE, GREY, VERMILION, dress, new_figure, save
from mlff.potential.checkpoint import load_potential
from mlff.train.config import TrainConfig
from mlff.train.trainer import train

TIMESTEP, DURATION = 0.5, 100.0  # fs
UPPER = 1
REFERENCE_SEED, TRAINING_SEED = 0, 1


@dataclass(frozen=True)
class Ensemble:
    """K trajectories at T times."""

    time: np.ndarray
    """fs ``[T]``."""
    upper: np.ndarray
    """1 where a trajectory is in the upper state, ``[K, T]``."""
    quantum: np.ndarray
    """|c|^2 of the upper state, ``[K, T]``."""
    drift: float
    """Largest change of the total energy in a trajectory, meV."""
    hops: int
    stopped: int
    seconds: float
    """Processor time."""


def starts(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities from the Wigner function of the electronic ground state's vibrations at 0 K."""
    model = pyrazine()
    q, p = np.sqrt(0.5) * np.random.default_rng(seed).normal(size=(2, count, len(model.frequencies)))
    return model.positions(q), model.velocities(p)


def trajectories(potential: MultiStatePotential, count: int, seed: int) -> list[Swarm]:
    """The swarm at every step."""
    dynamics = SurfaceHopping(potential, HoppingSettings(timestep=TIMESTEP, couplings="overlap", seed=seed))
    swarms = [dynamics.start(*starts(count, seed), UPPER)]
    for _ in range(round(DURATION / TIMESTEP)):
        swarms.append(dynamics.step(swarms[-1]))
    return swarms


def ensemble(potential: MultiStatePotential, path: Path, count: int) -> Ensemble:
    """The populations of trajectories of the reference's starts and random numbers, kept in a file."""
    if not path.exists():
        began = time.process_time()
        swarms = trajectories(potential, count, REFERENCE_SEED)
        total = np.array([swarm.total_energy for swarm in swarms])
        np.savez(
            path, time=TIMESTEP * np.arange(len(swarms)), upper=np.array([swarm.active == UPPER for swarm in swarms]).T,
            quantum=np.array([swarm.populations[:, UPPER] for swarm in swarms]).T,
            drift=1000 * np.abs(total - total[0]).max(), hops=sum(int((swarm.hop == HOP).sum()) for swarm in swarms),
            stopped=int((~swarms[-1].running).sum()), seconds=time.process_time() - began,
        )  # fmt: skip
    with np.load(path) as held:
        return Ensemble(held["time"], held["upper"], held["quantum"], float(held["drift"]), int(held["hops"]),
                        int(held["stopped"]), float(held["seconds"]))


def write_frames(path: Path, count: int, every: int) -> None:
    """A native file of frames of other trajectories, with all that can be learned of both states."""
    potential = TurningPotential(pyrazine())
    swarms = trajectories(potential, count, TRAINING_SEED)[::every]
    with HDF5Writer(path, durable=False) as writer:
        writer.add_system("pyrazine", potential.atomic_numbers, num_states=2, masses=potential.masses, multiplicity=(1, 1),
                          level_of_theory="linear vibronic coupling", program="mlff", nac_pairs=[(0, 1)])
        for k in range(count):
            positions = np.array([swarm.positions[k] for swarm in swarms])
            lower, upper = (potential.surfaces(positions, np.full(len(positions), state), couplings=True) for state in (0, 1))
            gap = np.diff(lower.energies, axis=1)
            assert lower.nac is not None
            columns = {
                "positions": positions, "energy": lower.energies, "forces": np.stack([lower.forces, upper.forces], axis=2),
                "interstate_coupling": lower.nac * gap[:, None, :, None],
                "time": TIMESTEP * every * np.arange(len(swarms)),
                "active_state": np.array([swarm.active[k] for swarm in swarms]),
            }  # fmt: skip
            writer.add_trajectory("pyrazine", columns, name=f"trajectory-{k:04d}", dt=TIMESTEP * every)
    split = splits.by_trajectory(HDF5Dataset(path))
    with HDF5Writer(path, "a") as writer:
        writer.add_split("trajectory", split, kind="trajectory", seed=0)


def learn(data: Path, out: Path, minutes: float, features: int, *, parities: bool = True, labelled: bool = True) -> None:
    """Train a diabatic potential where none is."""
    if not (out / "summary.json").exists():
        train(TrainConfig.build({
            "data": {"path": str(data)}, "model": {"name": "painn", "num_features": features, "num_layers": 2, "cutoff": 6.0},
            "potential": {"surfaces": "diabatic", "couplings": "interstate", "labelled_atoms": labelled,
                          "parities": [-1, 1] if parities else [1, 1]},
            "loss": {"energy": 1.0, "forces": 1.0, "couplings": 1.0}, "batch_size": 20, "epochs": 100_000,
            "clock": "processor", "max_time": minutes, "accelerator": "cpu", "num_threads": 1, "out": str(out),
        }))  # fmt: skip


def symmetry_limits(data: Path, out: Path, minutes: float) -> None:
    """Errors of couplings with and without parities of the states and labels of the atoms, all else alike."""
    print("| parities | labelled atoms | energy meV | forces meV/Å | coupling h meV/Å |\n|---|---|---:|---:|---:|")
    for parities, labelled in ((True, True), (True, False), (False, True)):
        run = out / f"limits-{'parities' if parities else 'alike'}-{'labelled' if labelled else 'unlabelled'}"
        learn(data, run, minutes, 32, parities=parities, labelled=labelled)
        errors = json.loads((run / "summary.json").read_text())["errors"]["test"]
        cells = [f"{errors[key]:.0f}" for key in
                 ("energy_mae_meV", "forces_mae_meV_per_A", "interstate_coupling_mae_meV_per_A")]  # fmt: skip
        print("| " + " | ".join(["yes" if parities else "no", "yes" if labelled else "no", *cells]) + " |")


def populations_figure(reference: Ensemble, learned: Ensemble, path: Path) -> None:
    """Share of the trajectories in the upper state, and its mean quantum population, both with bands."""
    figure = new_figure(9.0, 3.6)
    for axes, name, title in zip(figure.subplots(1, 2, sharey=True), ("upper", "quantum"),
                                 ("trajectories in S2", "quantum population of S2")):
        for each, colour, label in ((reference, BLUE, "vibronic model"), (learned, VERMILION, "learned")):
            values = getattr(each, name).astype(float)
            low, high = bands(values)
            axes.fill_between(each.time, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(each.time, values.mean(axis=0), color=colour, linewidth=1.6, label=label)
        dress(axes, xlabel="time (fs)", ylabel="share" if name == "upper" else "")
        axes.set_title(title, fontsize=11, color=GREY)
        axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
    save(figure, path)


def bands(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the mean over trajectories ``[K, T]``."""
    low, high = bootstrap(values[:, :, None].astype(np.float32))
    return low[:, 0], high[:, 0]


def compare(name: str, reference: Ensemble, other: Ensemble) -> str:
    """A row of the table."""
    cells = [name]
    for quantity in ("upper", "quantum"):
        theirs, mine = getattr(reference, quantity).astype(float), getattr(other, quantity).astype(float).mean(axis=0)
        low, high = bands(theirs)
        inside = (mine >= low - 1e-9) & (mine <= high + 1e-9)
        cells.append(f"{np.abs(mine - theirs.mean(axis=0)).max():.3f}, {100 * inside.mean():.0f} %")
    same = (reference.upper == other.upper).mean()
    cells += [f"{100 * same:.0f} %", str(other.hops), f"{other.drift:.0f}", str(other.stopped), f"{other.seconds:.0f}"]
    return "| " + " | ".join(cells) + " |"


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the runs.")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Picture of the populations.")
@click.option("--minutes", default=8.0, show_default=True, help="Processor time of the training.")
@click.option("--features", default=64, show_default=True, help="Of PaiNN.")
@click.option("--count", default=200, show_default=True, help="Trajectories of each ensemble.")
@click.option("--frames", default=150, show_default=True, help="Trajectories that frames are taken of, every 5 fs.")
@click.option("--limits", type=float, metavar="MINUTES", help="Only train for so long with and without what symmetry asks for.")
def main(
    out: Path, figure: Path | None, minutes: float, features: int, count: int, frames: int, limits: float | None
) -> None:
    """Train, run both ensembles, print how they compare."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    data = out / "pyrazine.h5"
    if not data.exists():
        write_frames(data, frames, round(5 / TIMESTEP))
    if limits is not None:
        symmetry_limits(data, out, limits)
        return
    reference = ensemble(pyrazine(), out / "fixed.npz", count)
    turning = ensemble(TurningPotential(pyrazine()), out / "turning.npz", count)
    run = out / f"painn-{features}"
    learn(data, run, minutes, features)
    surfaces = MLSurfaces(load_potential(run), pyrazine().atomic_numbers, masses=pyrazine().masses)
    learned = ensemble(surfaces, run / "ensemble.npz", count)
    errors = json.loads((run / "summary.json").read_text())["errors"]["test"]
    print({key: value for key, value in errors.items() if isinstance(value, float)})
    print("| trajectories on | share in S2: largest deviation, times in band | quantum population | in the same state | hops "
          "| largest change of energy meV | stopped | processor time s |\n" + "|---" * 8 + "|")
    for name, each in (("vibronic model", reference), ("vibronic model that turns", turning), ("learned", learned)):
        print(compare(name, reference, each))
    if figure is not None:
        populations_figure(reference, learned, figure)


if __name__ == "__main__":
    main()
