"""The page of a run's report: one HTML file that holds its pictures and its style and refers to nothing outside."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mlff.figure import readable
from mlff.train import plots
from mlff.train.report_errors import error_section, gap_section


def make_page(
    run: Path,
    summary: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
    predictions: plots.Predictions,
    pictures: Iterable[tuple[str, str, Path]],
) -> str:
    """The whole page: facts, errors, how to use the model, data and settings; `pictures` are (heading, caption, path)."""
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
        f"<section><h2>Errors</h2>{error_section(predictions, summary.get('state_labels'))}"
        f"</section>{gap_section(predictions, summary.get('state_labels'))}"
        f"<section><h2>Use the model</h2>{usage}</section>{figures}"
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
