"""How well small sets of surface-hopping data are interpolated: python benchmarks/excited_states.py FOLDER --out RUNS

FOLDER holds the sets of ``SETS`` as their programs wrote them. Each is imported, its frames are divided at random (80/10/10),
a potential with separate energies and one with a diabatic matrix are trained on it for --minutes of processor time, and the
errors on the test frames are printed as the rows of a Markdown table, beside the root mean square of the references. A run that
is finished is not computed again.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from mlff.data import HDF5Dataset, HDF5Writer, splits
from mlff.data.importers import import_sources
from mlff.train.config import TrainConfig
from mlff.train.trainer import train
from mlff.units import DEBYE, INVERSE_CM


@dataclass(frozen=True)
class Set:
    """A set of data: where it is in the folder, what it is called, and what is learned of it."""

    source: str
    title: str
    charge: float
    learned: dict[str, Any]


SETS = {
    "ch2nh2": Set("sharc_v2_ch2nh2", "CH2NH2+, SHARC", 1.0, {"couplings": "interstate", "dipoles": True}),
    "butene": Set("spainn_schnarc_db/3Sing_cis-butene.db", "cis-butene, SPaiNN", 0.0,
                  {"couplings": "interstate", "dipoles": True}),
    "c9h8o": Set("pyrai2md_json", "C9H8O, PyRAI2MD", 0.0, {"soc": True, "multiplicities": [1, 1, 3, 3]}),
}  # fmt: skip


def prepare(folder: Path, name: str, out: Path) -> Path:
    """The native file of a set, with a random split."""
    path = out / f"{name}.h5"
    if not path.exists():
        import_sources([folder / SETS[name].source], path, charge=SETS[name].charge)
        with warnings.catch_warnings(action="ignore"):  # that frames of one trajectory are near each other is the point here
            split = splits.random(HDF5Dataset(path))
        with HDF5Writer(path, "a") as writer:
            writer.add_split("random", split, kind="random", seed=0)
    return path


def measure(path: Path, name: str, surfaces: str, minutes: float, out: Path) -> dict[str, Any]:
    """The summary of the run of a set with these surfaces, which is trained where it is not there yet."""
    run = out / f"{name}-{surfaces}"
    if not (run / "summary.json").exists():
        train(TrainConfig.build({
            "data": {"path": str(path)}, "model": {"name": "painn", "num_features": 64, "num_layers": 2},
            "potential": {**SETS[name].learned, "surfaces": surfaces}, "batch_size": 5, "epochs": 100_000, "clock": "processor",
            "max_time": minutes, "accelerator": "cpu", "num_threads": 1, "out": str(run),
        }))  # fmt: skip
    return json.loads((run / "summary.json").read_text())


def sizes(path: Path, indices: np.ndarray) -> dict[str, float]:
    """Root mean squares of the references of frames: of energies around each state's mean, and of what errors are told of."""
    dataset = HDF5Dataset(path)
    (system,) = dataset.systems
    held = {name: system.read(name, indices) for name in ("energy", "forces", "dipole", "soc_magnitude") if system.has(name)}
    energy = held["energy"]
    found = {"energy": 1000 * float(np.sqrt(np.square(energy - energy.mean(0)).mean()))}
    if system.has("interstate_coupling"):
        held["interstate_coupling"] = system.read("interstate_coupling", indices)
    elif system.has("nac"):
        i, j = np.array(system.nac_pairs).T
        held["interstate_coupling"] = system.read("nac", indices) * (energy[:, j] - energy[:, i])[:, None, :, None]
    factors = {"dipole": 1000 / DEBYE, "soc_magnitude": 1 / INVERSE_CM}
    for name in held.keys() - {"energy"}:
        found[name] = factors.get(name, 1000.0) * float(np.sqrt(np.nanmean(np.square(held[name]))))
    return found


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the runs.")
@click.option("--only", type=click.Choice(list(SETS)), help="One of the sets.")
@click.option("--minutes", default=3.0, show_default=True, help="Processor time of each training.")
def main(folder: Path, out: Path, only: str | None, minutes: float) -> None:
    """Train on every set and print the table."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    keys = {
        "energy": "energy_mae_meV", "forces": "forces_mae_meV_per_A",
        "interstate_coupling": "interstate_coupling_mae_meV_per_A",
        "dipole": "dipole_mae_mD", "soc_magnitude": "soc_magnitude_mae_per_cm",
    }  # fmt: skip
    rows = []
    for name, each in SETS.items():
        if only not in (None, name):
            continue
        path = prepare(folder, name, out)
        size = sizes(path, HDF5Dataset(path).split("random")["test"])
        rows.append([each.title, "RMS of the reference", *(f"{size[key]:.0f}" if key in size else "" for key in keys), ""])
        for surfaces in ("separate", "diabatic"):
            summary = measure(path, name, surfaces, minutes, out)
            errors = summary["errors"]["test"]
            cosines = [row.get("coupling_cosine") for row in errors["gaps"] if row["to"] is None and row["from"] == 0]
            cells = [errors.get(key) for key in keys.values()]
            shown = ["" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in cells]
            cosine = f"{np.mean(cosines):.2f}" if None not in cosines else ""
            rows.append([each.title, f"{surfaces}, {summary['epochs']} epochs", *shown, cosine])
    print("\n| data | surfaces | energy meV | forces meV/Å | coupling meV/Å | dipole mD | SOC cm⁻¹ | cosine |")
    print("|---" * 8 + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
