"""The picture of azobenzene_trial.py: frequencies, torsion, total energy over time, longest bonds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from bond_graph import FACTOR

from mlff.figure import BLUE, GREY, ORANGE, VERMILION, dress, new_figure, save

COLOURS = {300: BLUE, 600: ORANGE, 1400: VERMILION}
LONGEST = 1.5
"""Over the sum of the radii; what is longer is drawn at the edge."""


def draw(trial: dict[str, Any], reference: dict[str, Any], path: Path) -> None:
    """Draw a trial beside the reference."""
    asked, found = trial["asked"], trial["structures"]
    figure = new_figure(11.0, 8.4)
    (frequencies, torsion), (energy, bonds) = figure.subplots(2, 2)

    frequencies.axhline(0, color=GREY, lw=0.8)
    for isomer, marker, colour in (("trans", "o", BLUE), ("cis", "s", ORANGE)):
        ours, theirs = (np.array(each["isomers"][isomer]["frequencies_per_cm"]) for each in (found, reference))
        mae = found["isomers"][isomer]["frequency_mae_per_cm"]
        frequencies.plot(theirs, ours - theirs, marker, ms=4, color=colour, alpha=0.8, label=f"{isomer}: MAE {mae:.1f} 1/cm")
    frequencies.legend(frameon=False)
    dress(frequencies, xlabel="GFN2-xTB frequency (1/cm)", ylabel="model - GFN2-xTB (1/cm)")

    angles = found["torsion"]["angles_degrees"]
    for each, style, name, colour in ((reference, "o-", "GFN2-xTB", GREY), (found, "s-", asked["model"], VERMILION)):
        values = np.array(each["torsion"]["energies_eV"]) - each["isomers"]["trans"]["energy_eV"]
        torsion.plot(angles, values, style, ms=4, lw=1.2, color=colour, label=name)
    torsion.legend(frameon=False)
    torsion.set_xticks(range(0, 181, 30))
    dress(torsion, xlabel="torsion |CNNC| (degrees), the rest relaxed", ylabel="energy above trans (eV)")

    for each in reversed(trial["simulations"]):  # the hottest below the others
        for time, change in zip(each["time_ps"], each["energy_change_meV_per_atom"]):
            energy.plot(time, change, color=COLOURS[each["temperature_K"]], lw=0.5, alpha=0.5)
    for kelvin in sorted({each["temperature_K"] for each in trial["simulations"]}):
        energy.plot([], [], color=COLOURS[kelvin], label=f"{kelvin:,} K")
    energy.legend(frameon=False, ncols=3)
    changes = np.concatenate([change for each in trial["simulations"] for change in each["energy_change_meV_per_atom"]])
    lowest, highest = (1.3 * value for value in np.nanpercentile(changes, (0.1, 99.9)))  # a molecule that comes apart leaves
    energy.set_ylim(lowest, highest)
    dress(energy, xlabel="time at constant energy (ps)", ylabel="E(t) - E(0) (meV/atom)")

    longest = trial["data"]["longest_bond_over_radii"]
    for value, words, style in ((FACTOR, "counted as broken above this", "--"), (longest, "longest in GFN2-xTB's frames", ":")):
        bonds.axhline(value, color=GREY, ls=style, lw=1)
        bonds.text(0.02, value, words, color=GREY, va="bottom", transform=bonds.get_yaxis_transform())
    labels = []
    for place, each in enumerate(trial["simulations"]):
        values = each["longest_bond_over_radii"]
        spread = place + np.linspace(-0.2, 0.2, len(values))
        colour, beyond = COLOURS[each["temperature_K"]], np.array(values) > LONGEST
        bonds.plot(spread[~beyond], np.array(values)[~beyond], "o", ms=4, color=colour, alpha=0.8)
        bonds.plot(spread[beyond], np.full(beyond.sum(), LONGEST - 0.01), "^", ms=5, color=colour)
        labels.append(f"{each['isomer']}\n{each['temperature_K']:,} K")
    bonds.set_xticks(range(len(labels)), labels)
    bonds.set_ylim(1.0, LONGEST)
    dress(bonds, ylabel="longest bond / sum of radii (triangles: longer)")

    figure.suptitle(f"{asked['model']}: {asked['replicas']} replicas x {asked['picoseconds']:g} ps of each start", fontsize=13)
    save(figure, path)
