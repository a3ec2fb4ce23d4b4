"""What breaks when atoms are not connected by distance alone: python benchmarks/graph_kinds.py --out RUNS [--minutes 0.3]

Three small potentials learn azobenzene, the same but for `graph`, each for as many minutes of processor time. Then, of each:
errors on test frames; how often the connections change within a simulation at constant energy, its drift and fluctuation, and
the largest change of the total energy in one step; and the largest jump of the energy while a hydrogen atom is pulled from its
carbon. A jump is what the energy rises by beyond what forces foretell. A run that is finished is not computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from ase import Atoms
from azobenzene_reference import isomer_structure

from mlff import MLFFCalculator
from mlff.datasets import azobenzene
from mlff.dynamics import run_replicas
from mlff.graph import Graph, GraphConfig, batch_graph, build_graph, collate, connect
from mlff.potential.checkpoint import load_potential
from mlff.potential.potential import Potential
from mlff.train.config import TrainConfig
from mlff.train.metrics import evaluate
from mlff.train.trainer import train

KINDS = {"radius": GraphConfig(), "knn": GraphConfig(kind="knn", neighbors=8), "bonds": GraphConfig(kind="bonds")}
SETTINGS: dict[str, Any] = {
    "data": {"validation_frames": 100}, "model": {"name": "painn", "num_features": 32, "num_layers": 2}, "batch_size": 10,
    "epochs": 10_000, "clock": "processor", "num_threads": 1,
}  # fmt: skip
CUTOFF = 5.0  # of the model, angstrom
STEPS, TIMESTEP = 500, 0.5  # fs


def pairs_of(graph: Graph) -> set[tuple[int, ...]]:
    return {tuple(sorted(pair)) for pair in graph.pairs.T.tolist()}


def connections(kind: GraphConfig) -> str:
    """Pairs a frame of the embedded data, and in how many frames they are others than in the trajectory's frame before."""
    data = azobenzene()
    graphs = [connect(batch_graph(data.batch(np.array([k])), CUTOFF), kind) for k in range(len(data))]
    sets = [pairs_of(graph) for graph in graphs]
    trajectories = [data[k].trajectory for k in range(len(data))]
    followed = [k for k in range(1, len(data)) if trajectories[k] == trajectories[k - 1]]
    changed = sum(sets[k] != sets[k - 1] for k in followed)
    start = connect(build_graph(*structure(isomer_structure("trans")), CUTOFF), kind)
    other = sum(each != pairs_of(start) for each in sets)
    return (f"{np.mean([len(each) for each in sets]):.1f} pairs a frame; others than in the frame before: {changed} of "
            f"{len(followed)}; others than in the trans minimum: {other} of {len(sets)}")


def structure(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    return atoms.positions, atoms.numbers


def trained(name: str, minutes: float, out: Path) -> Potential:
    """The potential of a finished run, which is trained where it is not there yet."""
    folder = out / name
    if not (folder / "summary.json").exists():
        graph = KINDS[name].model_dump()
        train(TrainConfig.build({**SETTINGS, "graph": graph, "max_time": minutes, "out": str(folder)}))
    return load_potential(folder)


def simulated(potential: Potential, temperature: float) -> str:
    """One simulation at constant energy from the trans minimum of GFN2-xTB."""
    atoms = isomer_structure("trans")
    atoms.calc = MLFFCalculator(potential, dtype="float64", compile=False)
    sets: list[set[tuple[int, ...]]] = []

    def look(replica: int, row: tuple[float, ...], moving: Atoms) -> None:
        if row[0] >= 0:  # after the thermostat
            graph = build_graph(*structure(moving), potential.cutoff)
            sets.append(pairs_of(connect(graph, potential.config.graph)))

    result = run_replicas([atoms], steps=STEPS, equilibrate=100, timestep=TIMESTEP, temperature=temperature, seed=0, interval=1,
                          callback=look)  # fmt: skip
    log = result.simulations[0].energies
    changes = sum(first != second for first, second in zip(sets, sets[1:]))
    steps = np.abs(np.diff(log.total)) * 1000
    return (f"{len(steps)} steps of {TIMESTEP} fs: connections changed in {changes}; drift {log.drift:.2f} meV/atom/ps, RMS "
            f"{log.fluctuation:.3f} meV/atom; change of the total energy in a step: largest {steps.max():.2f} meV, median "
            f"{np.median(steps):.3f} meV")


@torch.no_grad()
def pulled(potential: Potential) -> str:
    """The largest jump of the energy while a hydrogen leaves its carbon along their bond, from 0.95 to 3 Å."""
    atoms, potential = isomer_structure("trans"), potential.double().eval()
    distances = atoms.get_all_distances()
    hydrogen = int(np.flatnonzero(atoms.numbers == 1)[0])
    carbon = int(np.argsort(distances[hydrogen])[1])
    direction = (atoms.positions[hydrogen] - atoms.positions[carbon]) / distances[hydrogen, carbon]
    lengths = np.arange(0.95, 3.0, 0.002)
    graphs = []
    for length in lengths:
        positions = atoms.positions.copy()
        positions[hydrogen] = positions[carbon] + length * direction
        graphs.append(build_graph(positions, atoms.numbers, potential.cutoff))
    results = [potential(collate(graphs[k : k + 64])) for k in range(0, len(graphs), 64)]
    energy = torch.cat([each["energy"][:, 0] for each in results]).numpy()
    forces = torch.cat([each["forces"][:, 0] for each in results]).view(len(lengths), len(atoms), 3)[:, hydrogen].numpy()
    slope = -forces @ direction
    jumps = np.diff(energy) - (slope[1:] + slope[:-1]) / 2 * np.diff(lengths)
    largest = int(np.abs(jumps).argmax())
    place, above = lengths[largest : largest + 2].mean(), int((np.abs(jumps) > 1e-3).sum())
    return (f"largest jump {1000 * jumps[largest]:+.2f} meV, at {place:.3f} Å; {above} above 1 meV; "
            f"dE/dr at 2 Å {slope[np.abs(lengths - 2.0).argmin()]:+.3f} eV/Å")


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--minutes", default=0.3, show_default=True, help="Processor time of each training.")
@click.option("--only", multiple=True, type=click.Choice(list(KINDS)), help="These kinds alone.")
@click.option("--temperature", default=300.0, show_default=True, help="Of the simulations, K.")
def main(out: Path, minutes: float, only: tuple[str, ...], temperature: float) -> None:
    torch.set_num_threads(1)
    data = azobenzene()
    test = data[data.split("time")["test"]]
    for name in only or KINDS:
        potential = trained(name, minutes, out)
        found = evaluate(potential, test)
        print(f"{name}: MAE on {found.num_frames} test frames {found.error('energy').mae:.1f} meV, "
              f"{found.error('forces').mae:.1f} meV/Å")
        print(f"  frames      {connections(KINDS[name])}")
        print(f"  dynamics    {simulated(potential, temperature)}")
        print(f"  rupture     {pulled(potential)}", flush=True)


if __name__ == "__main__":
    main()
