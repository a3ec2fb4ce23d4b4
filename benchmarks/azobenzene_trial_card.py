"""The section of a model's card that tells how it did in azobenzene_trial.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HEADING = "## Tried on azobenzene"
TEMPERATURES = (300, 600, 1400)
"""K, of molecular dynamics."""
ARRIVED = 3.0
"""meV above the model's minimum, of a relaxation that has found it."""


def section(trial: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """Lines of Markdown."""
    asked, found = trial["asked"], trial["structures"]
    kelvins = sorted({each["temperature_K"] for each in trial["simulations"]})
    missing = [kelvin for kelvin in TEMPERATURES if kelvin not in kelvins]
    some = "".join(f"--temperature {kelvin} " for kelvin in kelvins) if missing else ""
    trans, cis = (found["isomers"][isomer] for isomer in ("trans", "cis"))
    energies, theirs = (
        {isomer: each["isomers"][isomer]["energy_eV"] for isomer in ("trans", "cis")} for each in (found, reference)
    )
    lines = [
        HEADING,
        "",
        f"`python benchmarks/azobenzene_trial.py {asked['model']} --picoseconds {asked['picoseconds']:g} --equilibrate "
        f"{asked['equilibrate_ps']:g} {some}--card models/{asked['model']}`; the reference is GFN2-xTB "
        f"(benchmarks/azobenzene_reference.json).",
        "",
        "![frequencies, torsion, energy over time, bonds](trial.png)",
        "",
        "| | model | GFN2-xTB | difference |",
        "| --- | ---: | ---: | ---: |",
    ]
    rows = [("E(cis) - E(trans), meV", 1e3 * (energies["cis"] - energies["trans"]), 1e3 * (theirs["cis"] - theirs["trans"]))]
    ours, own = (np.array(each["torsion"]["energies_eV"]) for each in (found, reference))
    for isomer in ("trans", "cis"):
        rows.append((f"torsion barrier from {isomer}, eV", ours.max() - energies[isomer], own.max() - theirs[isomer]))
    for name, model, expected in rows:
        digits = 0 if "meV" in name else 3
        lines.append(f"| {name} | {model:.{digits}f} | {expected:.{digits}f} | {model - expected:+.{digits}f} |")
    lines += [
        "",
        f"Minima: {trans['rmsd_A']:.3f} Å (trans) and {cis['rmsd_A']:.3f} Å (cis) from GFN2-xTB's (root mean square of the "
        f"atoms). Harmonic frequencies, 66 each in ascending order: mean absolute error "
        f"{trans['frequency_mae_per_cm']:.1f} 1/cm (trans) and {cis['frequency_mae_per_cm']:.1f} 1/cm (cis), the largest error "
        f"{trans['frequency_largest_per_cm']:+.0f} and {cis['frequency_largest_per_cm']:+.0f} 1/cm; "
        f"{trans['num_imaginary']} and {cis['num_imaginary']} imaginary. The torsion CNNC is scanned in steps of 10 degrees, "
        f"the rest relaxed.",
        "",
        f"Relaxations from distorted structures (atoms moved by 0.1 Å, CNNC turned by 20 degrees: some 13 eV up): "
        f"{arrived(trial['relaxations'])}.",
        "",
        f"Molecular dynamics: {asked['replicas']} replicas of each start, {asked['equilibrate_ps']:g} ps with a Langevin "
        f"thermostat, then {asked['picoseconds']:g} ps at constant energy, steps of 0.5 fs, float32. Bonds are atoms nearer "
        f"than 1.3 times the sum of their covalent radii, looked at every 2.5 fs. Hot C-H bonds swing beyond that without "
        f"breaking: by the same measure {100 * trial['data']['with_other_bonds'] / trial['data']['frames']:.1f} % of the "
        f"{trial['data']['frames']:,} frames of GFN2-xTB that come with the package (about 1,400 K) have other bonds, the "
        f"longest being {trial['data']['longest_bond_over_radii']:.2f} times the radii."
        f"{' Not tried at ' + ', '.join(f'{kelvin:,} K' for kelvin in missing) + '.' if missing else ''}",
        "",
        "| start | K | mean K | drift, meV/atom/ps: mean, largest | RMS, meV/atom | looks with other bonds | replicas with "
        "other bonds at the end | longest bond / radii | exploded | ended as the other isomer |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in trial["simulations"]:
        drift = np.array(each["drift_meV_per_atom_ps"])
        changed = 100 * sum(each["looks_with_other_bonds"]) / max(1, sum(each["looks"]))
        at_end = sum(not intact for intact in each["bonds_at_end_are_those_of_the_start"])
        other = sum((angle > 90) != (each["isomer"] == "trans") for angle in each["torsion_at_end_degrees"])
        lines.append(
            f"| {each['isomer']} | {each['temperature_K']:,} | {each['mean_temperature_K']:.0f} | {drift.mean():+.3f}, "
            f"{drift[np.abs(drift).argmax()]:+.3f} | {np.mean(each['rms_meV_per_atom']):.3f} | {changed:.2f} % | "
            f"{at_end} | {max(each['longest_bond_over_radii']):.2f} | {len(each['exploded'])} | {other} |"
        )
    times = [each.get("processor_ms_per_step_and_replica") for each in trial["simulations"] if not each["exploded"]]
    times = [time for time in times if time is not None]
    if times:
        lines += ["", f"Speed: {np.median(times):.2f} ms of processor time a step of one replica, compiled, in a batch of "
                  f"{asked['replicas']}, bonds looked at."]  # fmt: skip
    return [*lines, ""]


def arrived(relaxations: list[dict[str, Any]]) -> str:
    """How many found the minimum of the model, and where the others ended."""
    others = [each for each in relaxations if not abs(each["above_minimum_meV"]) < ARRIVED]
    text = f"{len(relaxations) - len(others)} of {len(relaxations)} find the minimum again (to {ARRIVED:g} meV)"
    energies = (each["above_minimum_meV"] for each in others)
    shown = (f"{energy:+,.0f}" if abs(energy) < 1e7 else f"{energy:+.1e}" for energy in energies)
    places = [f"{each['isomer']} {energy} meV from it" for each, energy in zip(others, shown)]
    return text + "; the others end elsewhere: " * bool(places) + ", ".join(places)


def write_section(card: Path, lines: list[str]) -> None:
    """Put the section at the end of the card, before the settings to train it again; an older section goes."""
    text = card.read_text()
    start = text.find(HEADING)
    if start >= 0:
        end = text.find("\nTo train it again", start)
        text = text[:start] + (text[end + 1 :] if end >= 0 else "")
    place = text.find("To train it again")
    place = len(text) if place < 0 else place
    card.write_text(text[:place].rstrip() + "\n\n" + "\n".join(lines) + "\n" + text[place:])
