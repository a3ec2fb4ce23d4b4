"""The energies of many simulations over time in one picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .conservation import EnergyLog


def plot_replicas(logs: Sequence[EnergyLog], path: str | os.PathLike[str], title: str) -> None:
    """Draw how total energy and temperature of each replica change with time, and the mean temperature in black.

    Replicas without a logged step are left out; where they ended at different times the mean is of those still running.
    """
    from mlff.figure import BLUE, VERMILION, dress, new_figure, save

    logs = [log for log in logs if len(log.time)]
    figure = new_figure(7.5, 6.0)
    energy, temperature = figure.subplots(2, 1, sharex=True)
    for log in logs:
        energy.plot(log.time / 1000, (log.total - log.total[0]) * 1000 / log.num_atoms, color=BLUE, lw=0.8, alpha=0.6)
        temperature.plot(log.time / 1000, log.temperature, color=VERMILION, lw=0.5, alpha=0.35)
    if logs:
        longest = max(logs, key=lambda log: len(log.time))
        values = np.full((len(logs), len(longest.time)), np.nan)
        for row, log in zip(values, logs):
            row[: len(log.time)] = log.temperature
        temperature.plot(longest.time / 1000, np.nanmean(values, axis=0), color="black", lw=1.2, label=f"mean of {len(logs)}")
        temperature.legend(loc="upper right", frameon=False)
    dress(energy, ylabel="E(t) - E(0) (meV/atom)")
    dress(temperature, xlabel="time (ps)", ylabel="temperature (K)")
    figure.suptitle(title)
    save(figure, Path(path))
