"""Energy conservation: python benchmarks/conservation.py MODEL STRUCTURE [--time 10] [--timestep 0.5 --timestep 0.25]

A thermostat brings the structure to the temperature; from that one state a simulation at constant energy runs with each
time step, in float64. Of the total energy the drift (slope by least squares) and the RMS about that line are printed. Both
come from the integrator if the forces are the derivative of the energy: the RMS then falls fourfold when the step halves.
The first 0.2 ps show that best: later the trajectories part, and with them how much energy the stiff bonds hold.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import torch
from ase.io import read

from mlff import MLFFCalculator
from mlff.dynamics import EnergyLog, run_md

BEGINNING = 200.0
"""fs."""


def beginning(energies: EnergyLog) -> EnergyLog:
    """The log up to ``BEGINNING``."""
    early = energies.time <= BEGINNING
    names = ("step", "time", "potential", "kinetic", "temperature")
    return replace(energies, **{name: getattr(energies, name)[early] for name in names})


@click.command()
@click.argument("model")
@click.argument("structure", type=click.Path(exists=True, dir_okay=False))
@click.option("--temperature", default=300.0, show_default=True, help="K.")
@click.option("--time", "length", default=10.0, show_default=True, help="Simulated time with each time step, ps.")
@click.option("--equilibrate", default=2.0, show_default=True, help="Time with the thermostat before, ps.")
@click.option("--timestep", "timesteps", multiple=True, default=(0.5, 0.25), show_default=True, help="fs; may be repeated.")
@click.option("--seed", default=0, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Folder for a plot of each simulation.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="File for the figures.")
def main(
    model: str, structure: str, temperature: float, length: float, equilibrate: float, timesteps: tuple[float, ...],
    seed: int, plot: Path | None, json_file: Path | None,
) -> None:  # fmt: skip
    """Measure how well MODEL conserves the energy of STRUCTURE."""
    torch.set_num_threads(1)
    start = read(structure)
    start.calc = MLFFCalculator(model, dtype="float64")
    thermal = run_md(
        start, steps=round(1000 * equilibrate / 0.5), ensemble="langevin", temperature=temperature, timestep=0.5, seed=seed
    ).atoms
    rows = []
    click.echo("timestep fs   time ps   mean K   drift meV/atom/ps   RMS meV/atom   RMS of the first 0.2 ps")
    for timestep in timesteps:
        energies = run_md(thermal, steps=round(1000 * length / timestep), timestep=timestep, interval=4).energies
        row = {
            "timestep_fs": timestep,
            "time_ps": length,
            "temperature_K": float(energies.temperature.mean()),
            "drift_meV_per_atom_ps": energies.drift,
            "rms_meV_per_atom": energies.fluctuation,
            "rms_beginning_meV_per_atom": beginning(energies).fluctuation,
        }
        rows.append(row)
        click.echo(
            f"{timestep:11g}   {length:7g}   {row['temperature_K']:6.0f}   {energies.drift:17.4f}   "
            f"{energies.fluctuation:12.4f}   "
            f"{row['rms_beginning_meV_per_atom']:22.4f}"
        )
        if plot is not None:
            plot.mkdir(parents=True, exist_ok=True)
            energies.plot(plot / f"nve_{timestep:g}fs.png", f"{model}, {timestep:g} fs")
    if json_file is not None:
        json_file.write_text(json.dumps({"model": model, "structure": structure, "runs": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
