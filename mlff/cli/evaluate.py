"""``mlff evaluate``: a model's errors on a data file."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlff.cli.states import MEANING, METAVAR, parse_states

if TYPE_CHECKING:
    from mlff.data import HDF5Dataset


@click.command(name="evaluate")
@click.argument("model")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("--split-name", metavar="NAME", help="Split of the data file; by default the one that the model was trained on.")
@click.option(
    "--split", "part", default="test", show_default=True, type=click.Choice(["train", "val", "test", "all"]),
    help="Part of the split to evaluate; `all` takes every frame of the file.",
)  # fmt: skip
@click.option(
    "--states", metavar=METAVAR, help=f"The data's state for each state of the model: {MEANING}; as it was trained by default.",
)  # fmt: skip
@click.option("--json", "json_path", metavar="FILE", help="Write the errors as JSON.")
@click.option("--plot", "plot_path", metavar="FILE.png", help="Draw predictions against references (energies, then forces).")
@click.option("--predictions", "predictions_path", metavar="FILE.npz", help="Write predictions and references.")
@click.option("--bins", metavar="torsion:I,J,K,L", help="Errors binned by the torsion |I-J-K-L|; atoms counted from 0.")
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(min=1), help="Frames computed at once.")
@click.option("--device", default=None, metavar="DEVICE", help="cpu, cuda or cuda:1; a GPU where there is one by default.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Arithmetic; as the model was saved by default.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    model: str, data: tuple[str, ...], split_name: str | None, part: str, states: str | None, json_path: str | None,
    plot_path: str | None, predictions_path: str | None, bins: str | None, batch_size: int, device: str | None,
    dtype: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Measure MODEL's errors on DATA: MAE and RMSE of energies and forces, and of couplings, dipoles and spin-orbit couplings
    where MODEL and DATA have them (whatever the signs of the states); of several states a table by their gap, too.

    MODEL is a run folder, a checkpoint, a name that `mlff models` lists, or the folder of a committee, whose mean is
    measured, and its spread compared with the errors (--plot draws that, too). DATA a native HDF5 file, or the word
    `azobenzene`, `chno` or `ch2nh2` for a set inside the package; several files are used as one.

    \b
    mlff evaluate azobenzene-painn azobenzene --plot parity.png
    mlff evaluate runs/painn data.h5 --split val --json errors.json
    mlff evaluate azobenzene-painn azobenzene --split val --bins torsion:5,6,7,8
    """
    import torch
    from rich.console import Console

    from mlff.dynamics.structures import check_outputs
    from mlff.potential.checkpoint import load_potential, read_document
    from mlff.potential.committee import resolve_members
    from mlff.potential.device import chosen_device
    from mlff.train.filtering import criteria_text
    from mlff.train.finish import error_table, gap_table, path_or_paths
    from mlff.train.metrics import check_torsion, errors_by_torsion, evaluate
    from mlff.train.pair_errors import errors_by_gap
    from mlff.train.prepare import open_dataset
    from mlff.train.progress import counting_bar
    from mlff.train.uncertainty import calibration, calibration_text, evaluate_committee

    atoms = parse_bins(bins)
    outputs = [Path(path) for path in (json_path, predictions_path) if path is not None]
    outputs += [] if plot_path is None else pictures(Path(plot_path)).values()
    check_outputs(outputs, inputs=[model, *data], overwrite=overwrite)
    place = chosen_device(device)
    paths = resolve_members(model)
    potentials = [load_potential(path, device=place, dtype=None if dtype is None else getattr(torch, dtype)) for path in paths]
    potential = potentials[0]
    extra = read_document(paths[0])["extra"]
    dataset = open_dataset(*data)
    columns = chosen_states(states, extra, potential.num_states)
    trained_on = extra.get("split")
    if split_name is None and part != "all" and trained_on in dataset.splits:
        split_name = trained_on
    indices, name = chosen_frames(dataset, split_name, part)
    if name != trained_on and extra.get("data") == dataset.name:
        warnings.warn(
            f"the model was trained on split `{trained_on}` of a file of this name, so frames that it was trained on may be "
            f"among these", stacklevel=1
        )  # fmt: skip
    if used := extra.get("filter"):
        warnings.warn(
            f"the model was trained and tested on frames with {criteria_text(used)}; these are all frames, so that the errors "
            f"differ from those of its report", stacklevel=1
        )  # fmt: skip
    if atoms is not None:
        check_torsion(atoms, min(dataset.systems[k].num_atoms for k in set(dataset.locate(indices)[0].tolist())))
    with counting_bar(f"{len(indices)} frames", len(indices) * len(potentials)) as progress:
        if len(potentials) > 1:
            metrics = evaluate_committee(potentials, dataset, indices, batch_size, states=columns, progress=progress)
        else:
            metrics = evaluate(potential, dataset, indices, batch_size, states=columns, progress=progress)
    labels = extra.get("state_labels") or [f"state {state}" for state in columns]
    console = Console()
    title = f"{model} on {dataset.name}, {part} of split {name}" if name else f"{model} on all of {dataset.name}"
    console.print(f"{title}: {metrics.num_frames} frames", highlight=False, markup=False, soft_wrap=True)
    console.print(error_table({part: metrics.errors()}, labels))
    if len(labels) > 1:
        console.print(gap_table(errors_by_gap(metrics.predictions), labels, part))
    report: dict[str, Any] = {
        "model": model, "data": path_or_paths(dataset), "split_name": name, "split": part, "states": columns,
        "state_labels": list(labels), "errors": metrics.table(),
    }  # fmt: skip
    if len(potentials) > 1:
        console.print(f"Mean of {len(potentials)} members, and what their spread says of the error:", highlight=False)
        for line in calibration_text(metrics.predictions):
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        report["members"] = len(potentials)
        report["calibration"] = {name: calibration(metrics.predictions, name) for name in ("energy", "forces")}
    if atoms is not None:
        report["torsion"] = {"atoms": atoms, "bins": errors_by_torsion(metrics, dataset, atoms)}
        console.print(torsion_table(atoms, report["torsion"]["bins"]))
    if json_path is not None:
        write(json_path, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    if plot_path is not None:
        for drawn in draw(metrics.predictions, Path(plot_path), part, list(labels)):
            console.print(f"Drew {drawn}", highlight=False, markup=False, soft_wrap=True)
    if predictions_path is not None:
        write(predictions_path, packed(metrics.predictions))


def parse_bins(text: str | None) -> list[int] | None:
    """The four atoms of ``torsion:I,J,K,L``."""
    if text is None:
        return None
    kind, _, numbers = text.partition(":")
    parts = numbers.split(",")
    if kind != "torsion" or len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"--bins is {text!r}; write torsion:I,J,K,L with four atoms counted from 0, such as torsion:5,6,7,8")
    return [int(part) for part in parts]


def chosen_states(text: str | None, extra: dict[str, Any], num_states: int) -> list[int]:
    """The data's state behind each of the model's: as given, as it was trained, or the same numbers."""
    if text is not None:
        return parse_states(text)
    trained = extra.get("states")
    return [int(state) for state in trained] if trained else list(range(num_states))


def chosen_frames(dataset: HDF5Dataset, split_name: str | None, part: str) -> tuple[Any, str | None]:
    """Indices of the frames to evaluate and the split's name (None where all frames were asked for)."""
    import numpy as np

    from mlff.train.prepare import choose_split

    if part == "all":
        if split_name is not None:
            raise ValueError(f"--split all takes every frame, so --split-name {split_name} has no meaning; leave one out")
        return np.arange(len(dataset)), None
    name = choose_split(dataset, split_name)
    indices = dataset.split(name)[part]
    if len(indices) == 0:
        raise ValueError(f"the split `{name}` of `{dataset.files}` has no {part} frames; choose another with --split")
    return indices, name


def torsion_table(atoms: list[int], rows: list[dict[str, Any]]) -> Any:
    """A table of the errors in each bin of the torsion."""
    from rich.table import Table

    table = Table(title=f"Errors by the torsion |{'-'.join(map(str, atoms))}|")
    for title in ("degrees", "frames", "energy MAE meV", "energy RMSE meV", "force MAE meV/Å", "force RMSE meV/Å"):
        table.add_column(title, justify="right")
    keys = ("energy_mae_meV", "energy_rmse_meV", "forces_mae_meV_per_A", "forces_rmse_meV_per_A")
    for row in rows:
        cells = ["-" if row.get(key) is None else f"{row[key]:.1f}" for key in keys]
        table.add_row(f"{row['from']:.0f}-{row['to']:.0f}", str(row["num_frames"]), *cells)
    return table


def pictures(path: Path) -> dict[str, Path]:
    """Where each quantity is drawn: energies at `path`, the others beside it, ``_forces`` and so on in their names."""
    from mlff.train.plots import PAIR_QUANTITIES

    others = ("forces", *PAIR_QUANTITIES, "calibration")
    return {"energy": path} | {name: path.with_name(f"{path.stem}_{name}{path.suffix}") for name in others}


def draw(predictions: dict[str, Any], path: Path, part: str, labels: list[str]) -> list[Path]:
    """Parity plots of what the data have; of a committee its calibration, too."""
    from mlff.train.plots import has, plot_parity
    from mlff.train.uncertainty import plot_calibration

    targets = pictures(path)
    calibrated = targets.pop("calibration")
    drawn = [
        plot_parity({part: predictions}, target, quantity=quantity, state_labels=labels)
        for quantity, target in targets.items() if has(predictions, quantity)
    ]  # fmt: skip
    if not drawn:
        raise ValueError("the data hold no reference energies or forces, so there is nothing to plot")
    return [*drawn, plot_calibration(predictions, calibrated)] if "energy_uncertainty" in predictions else drawn


def packed(arrays: dict[str, Any]) -> bytes:
    """Arrays as the content of an .npz file."""
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def write(path: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    from mlff.train.state import replace_file

    replace_file(Path(path), data)
