"""The report of a training run: PNG files and one self-contained ``report.html``, made from the run folder alone.

Read are ``config.yaml``, ``metrics.csv``, ``predictions_val.npz``, ``predictions_test.npz`` and ``summary.json``; any
of them may be missing (a run that was stopped early, a data set without a test split), and the report then says so. The
errors in the table are computed here from the prediction arrays. The page holds its pictures and its style, no script
and no reference to anything outside, so that it opens offline and can be sent to someone as one file.
"""

from __future__ import annotations

import base64
import csv
import json
import math
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mlff.figure import readable
from mlff.train import plots
from mlff.train.metrics import UNITS, Errors, error_list

SPLITS = {"val": "validation", "test": "test"}
NAMES = {
    "energy": "Energy",
    "energy_per_atom": "Energy per atom",
    "forces": "Force component",
    "stress": "Stress component",
}


def write_report(run_dir: str | Path) -> list[Path]:
    """Draw the plots of a run folder and write ``report.html`` into it; returns the paths written, the page last.

    Every file is written aside and renamed. The pictures are ``learning_curves.png`` and, where predictions exist,
    ``parity_energy.png``, ``parity_forces.png``, ``parity_stress.png`` and ``error_distribution.png``.
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
            plots.plot_learning_curves(columns, run / "learning_curves.png", best_epoch=summary.get("best_epoch")),
        )
    ]
    for name, quantity in plots.QUANTITIES.items():
        if any(plots.has(arrays, name) for arrays in predictions.values()):
            path = plots.plot_parity(predictions, run / f"parity_{name}.png", quantity=name, state_labels=labels)
            caption = "Predicted against reference values, with the errors below."
            if name == "energy":
                caption += " Energies are relative to the mean of the reference of each panel."
            pictures.append((f"Parity: {quantity.label.lower()}", caption, path))
    if len(pictures) > 1:
        path = plots.plot_error_distribution(predictions, run / "error_distribution.png", state_labels=labels)
        caption = "Prediction minus reference. What lies beyond an axis is counted in its outermost bin."
        pictures.append(("Error distribution", caption, path))
    page = run / "report.html"
    _write_aside(page, _page(run, summary, columns, predictions, pictures))
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


def error_rows(
    predictions: plots.Predictions, state_labels: Sequence[str] | None = None
) -> list[tuple[str, str, str, dict[str, Errors]]]:
    """Rows of the table of errors: quantity, state, unit, and the errors in each split that has references."""
    labels = plots.name_states(state_labels, plots.num_states(predictions))
    rows: dict[tuple[str, int | None], dict[str, Errors]] = {}
    for split, arrays in predictions.items():
        for errors in error_list(dict(arrays)):
            rows.setdefault((errors.quantity, errors.state), {})[split] = errors
    order = {key: (list(UNITS).index(key[0]), len(labels) if key[1] is None else key[1]) for key in rows}
    return [
        (NAMES[quantity], "all states" if state is None else labels[state], UNITS[quantity], rows[quantity, state])
        for quantity, state in sorted(rows, key=order.__getitem__)
    ]


def _page(
    run: Path,
    summary: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
    predictions: plots.Predictions,
    pictures: Iterable[tuple[str, str, Path]],
) -> str:
    config_text = (run / "config.yaml").read_text(encoding="utf-8") if (run / "config.yaml").is_file() else ""
    title = f"Training report: {run.resolve().name}"
    figures = "".join(
        f"<section><h2>{escape(heading)}</h2><p>{escape(caption)}</p>{_image(path, heading)}</section>"
        for heading, caption, path in pictures
    )
    facts = _facts(summary, columns)
    usage = _usage(run, summary, "test" if "test" in predictions else "val")
    machine = {name: summary[name] for name in ("device", "processes", "threads") if name in summary}
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{_paragraph(summary.get('stop_reason'), 'Why it stopped: ')}"
        f'<dl class="cards">{facts}</dl>'
        f"<section><h2>Errors</h2>{_error_section(predictions, summary.get('state_labels'))}"
        f"</section><section><h2>Use the model</h2>{usage}</section>{figures}"
        f"<section><h2>Data</h2>{_table(_flat(summary.get('dataset', {})))}</section>"
        f"<section><h2>Settings</h2>{_settings(config_text)}</section>"
        f"<section><h2>Machine and versions</h2>{_table(_flat(machine | dict(summary.get('versions', {}))))}</section>"
        "</main></body></html>\n"
    )


def _facts(summary: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> str:
    """Cards: what a reader wants to know first about the run."""
    epochs = summary.get("epochs", len(columns.get("epoch", ())))
    values = {
        "Model": str(summary.get("model", "")),
        "Wall time": _duration(summary.get("wall_time_s")),
        "Processor time": _duration(summary.get("processor_time_s")),
        "Throughput": _quantity(summary.get("frames_per_second"), "frames/s"),
        "Parameters": _integer(summary.get("num_parameters")),
        "Epochs": _integer(epochs),
        "Best epoch": _integer(summary.get("best_epoch")),
        "Steps": _integer(summary.get("steps")),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in values.items() if value)


def _error_section(predictions: plots.Predictions, state_labels: Sequence[str] | None) -> str:
    rows = error_rows(predictions, state_labels)
    if not rows:
        return "<p>No predictions were stored, so there are no errors to show.</p>"
    splits = [split for split in SPLITS if split in predictions]
    heads = "".join(f'<th colspan="3" class="group">{SPLITS[split].capitalize()}</th>' for split in splits)
    names = "<th>MAE</th><th>RMSE</th><th>largest</th>" * len(splits)
    body = ""
    for quantity, state, unit, by_split in rows:
        body += f"<tr><td>{quantity}</td><td>{escape(state)}</td><td>{unit}</td>"
        for split in splits:
            found = by_split.get(split)
            mae, rmse, largest = (found.mae, found.rmse, found.maximum) if found else (math.nan,) * 3
            body += f'<td class="number main">{readable(mae)}</td>'
            body += "".join(f'<td class="number">{readable(value)}</td>' for value in (rmse, largest))
        body += "</tr>"
    counts = "; ".join(_count(split, predictions[split]) for split in splits)
    missing = "" if "test" in splits else " There was no test split, or it was not evaluated."
    return (
        f'<div class="wide"><table class="errors"><thead><tr><th rowspan="2">Quantity</th><th rowspan="2">State</th>'
        f'<th rowspan="2">Unit</th>{heads}</tr><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="note">{escape(counts)}. Values without a reference are left out.{missing}</p>'
    )


def _count(split: str, arrays: plots.Arrays) -> str:
    num_frames = next((len(arrays[name]) for name in ("num_atoms", "energy", "stress") if name in arrays), 0)
    return f"{SPLITS[split].capitalize()}: {num_frames:,} frame{'' if num_frames == 1 else 's'}"


def _usage(run: Path, summary: Mapping[str, Any], part: str) -> str:
    """The lines that use the model, with its absolute path: as the summary gives it, or where the folder is now."""
    stated = summary.get("model_path")
    model = str(stated) if stated and Path(stated).exists() else str((run / "model").resolve())
    dataset = summary.get("dataset")
    known = dataset if isinstance(dataset, Mapping) else {}
    paths = known.get("path", "DATA.h5")
    data = shlex.join(map(str, paths) if isinstance(paths, list) else [str(paths)])
    split = f"--split-name {shlex.quote(str(known['split']))} " if known.get("split") else ""
    python = (
        "from ase.io import read\nfrom mlff import MLFFCalculator\n\n"
        f'atoms = read("molecule.xyz")\natoms.calc = MLFFCalculator({json.dumps(model, ensure_ascii=False)})\n'
        "energy, forces = atoms.get_potential_energy(), atoms.get_forces()  # eV, eV/Å"
    )
    quoted = shlex.quote(model)
    shell = (
        f"mlff evaluate {quoted} {data} {split}--split {part}\n"
        f"mlff optimize {quoted} molecule.xyz\nmlff md {quoted} molecule.xyz"
    )
    return f"<h3>Python</h3><pre>{escape(python)}</pre><h3>Command line</h3><pre>{escape(shell)}</pre>"


def _settings(text: str) -> str:
    if not text.strip():
        return "<p>The run folder holds no config.yaml.</p>"
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        loaded = None
    if not isinstance(loaded, dict):
        return f"<pre>{escape(text)}</pre>"
    top: dict[str, Any] = {key: value for key, value in loaded.items() if not isinstance(value, dict)}
    groups = ({"general": top} if top else {}) | {
        key: value for key, value in loaded.items() if isinstance(value, dict) and value
    }
    parts = (f"<div><h3>{escape(str(name))}</h3>{_table(_flat(group))}</div>" for name, group in groups.items())
    return f'<div class="columns">{"".join(parts)}</div>'


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text); lists and scalars as YAML would show them."""
    if isinstance(value, Mapping):
        names = {key: f"{prefix}.{key}" if prefix else str(key) for key in value}
        return [pair for key, inner in value.items() for pair in _flat(inner, names[key])]
    if isinstance(value, bool) or value is None:
        return [(prefix, {True: "yes", False: "no", None: "–"}[value])]
    if isinstance(value, list | tuple):
        return [(prefix, ", ".join(str(item) for item in value) or "–")]
    return [(prefix, str(value) or "–")]


def _table(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return "<p>Not recorded.</p>"
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<table class="pairs"><tbody>{body}</tbody></table>'


def _image(path: Path, heading: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{escape(heading)}" src="data:image/png;base64,{data}">'


def _paragraph(value: Any, before: str) -> str:
    return f'<p class="lead">{escape(before)}{escape(str(value))}</p>' if value else ""


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _integer(value: float | None) -> str:
    return "" if value is None else f"{int(value):,}"


def _quantity(value: float | None, unit: str) -> str:
    return "" if value is None else f"{readable(float(value))} {unit}"


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


STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5f6670; --line: #dfe3e8; --tint: #f5f7f9; --accent: #0072b2; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 44px 0 10px; padding-bottom: 6px; border-bottom: 2px solid var(--line); }
h3 { font-size: 15px; margin: 18px 0 6px; color: var(--soft); }
p { margin: 6px 0 12px; max-width: 75ch; }
.lead { color: var(--soft); font-size: 17px; }
.note { color: var(--soft); font-size: 14px; margin-top: 10px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 22px 0 0; }
.cards div { background: var(--tint); border-radius: 8px; padding: 12px 16px; }
.cards dt { color: var(--soft); font-size: 14px; }
.cards dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; font-size: 15px; }
th, td { padding: 6px 12px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide { overflow-x: auto; }
.errors { width: 100%; }
.errors thead th { background: var(--tint); vertical-align: bottom; white-space: nowrap; }
.errors thead tr + tr th, .errors .group { text-align: right; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.main { font-weight: 600; color: var(--accent); }
.pairs th { font-weight: 400; color: var(--soft); white-space: nowrap; }
.pairs td { overflow-wrap: anywhere; }
.columns { columns: 2 400px; column-gap: 36px; }
.columns div { break-inside: avoid; }
.columns table { width: 100%; }
pre { background: var(--tint); border-left: 4px solid var(--accent); border-radius: 4px; padding: 12px 16px;
  overflow-x: auto; font: 14px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
img { display: block; max-width: 100%; height: auto; margin: 12px auto; }
@media print { section { break-inside: avoid; } h2 { break-after: avoid; } }
"""
