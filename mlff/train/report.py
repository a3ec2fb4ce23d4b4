"""The report of a training run: PNG files and one self-contained ``report.html``, made from the run folder alone.

Read are ``config.yaml``, ``metrics.csv``, ``predictions_val.npz``, ``predictions_test.npz`` and ``summary.json``; any
of them may be missing (a run that was stopped early, a data set without a test split), and the report then says so. The
errors in the table are computed here from the prediction arrays. The page holds its pictures and its style, no script
and no reference to anything outside, so that it opens offline and can be sent to someone as one file.
"""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from mlff.train import plots
from mlff.train.learning_curves import plot_learning_curves
from mlff.train.report_errors import SPLITS
from mlff.train.report_page import make_page


def write_report(run_dir: str | Path) -> list[Path]:
    """Draw the plots of a run folder and write ``report.html`` into it; returns the paths written, the page last.

    Every file is written aside and renamed. The pictures are ``learning_curves.png`` and, where predictions exist,
    ``parity_QUANTITY.png`` (energy, forces, stress, interstate_coupling, dipole, soc_magnitude) and
    ``error_distribution.png``.
    """
    run = Path(run_dir)
    if not run.is_dir():
        raise ValueError(f"no run folder at {run}: give the folder that `mlff train` wrote")
    summary = _read_summary(run / "summary.json")
    columns = read_metrics(run / "metrics.csv")
    predictions = _read_predictions(run)
    labels = summary.get("state_labels")
    pictures = [
        (
            "Learning curves",
            "Mean absolute errors and learning rate against epochs and time. The dotted line is the epoch whose weights"
            " were kept.",
            plot_learning_curves(columns, run / "learning_curves.png", best_epoch=summary.get("best_epoch")),
        )
    ]
    for name, quantity in (plots.QUANTITIES | plots.PAIR_QUANTITIES).items():
        if any(plots.has(arrays, name) for arrays in predictions.values()):
            path = plots.plot_parity(predictions, run / f"parity_{name}.png", quantity=name, state_labels=labels)
            caption = "Predicted against reference values, with the errors below."
            if name == "energy":
                caption += " Energies are relative to the mean of the reference of each panel."
            if name in ("interstate_coupling", "dipole"):
                caption += " The signs of the states are those that agree best with the reference, structure by structure."
            pictures.append((f"Parity: {quantity.label.lower()}", caption, path))
    if len(pictures) > 1:
        path = plots.plot_error_distribution(predictions, run / "error_distribution.png", state_labels=labels)
        caption = "Prediction minus reference. What lies beyond an axis is counted in its outermost bin."
        pictures.append(("Error distribution", caption, path))
    page = run / "report.html"
    _write_aside(page, make_page(run, summary, columns, predictions, pictures))
    return [path for _, _, path in pictures] + [page]


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of ``metrics.csv`` as float64 ``[epochs]``; empty or unreadable cells are NaN, a cut-off last row too."""
    path = Path(path)
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in (rows[0] if rows else {}) if name]
    return {name: np.array([_number(row.get(name)) for row in rows], dtype=np.float64) for name in names}


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _read_summary(path: Path) -> dict[str, Any]:
    loaded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(loaded, dict):
        raise ValueError(f"{path} holds {type(loaded).__name__}, not a JSON object: it was not written by `mlff train`")
    return loaded


def _read_predictions(run: Path) -> dict[str, dict[str, np.ndarray]]:
    predictions = {}
    for split in SPLITS:
        path = run / f"predictions_{split}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as stored:
                predictions[split] = {name: stored[name] for name in stored.files}
    return predictions


def _write_aside(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
