"""Tables of runs: mean and spread over seeds at the best learning rate, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mlff.train.state import replace_file

from .row import Row

COLUMNS: dict[str, tuple[str, str]] = {
    "val_energy_mae": ("val E", ".1f"), "val_forces_mae": ("val F", ".1f"),
    "test_energy_mae": ("test E", ".1f"), "test_forces_mae": ("test F", ".1f"),
    "test_energy_rmse": ("test E RMSE", ".1f"), "test_forces_rmse": ("test F RMSE", ".1f"),
    "parameters": ("parameters", ",.0f"), "epochs": ("epochs", ".1f"), "frames_per_second": ("frames/s", ".1f"),
    "md_step": ("ms/MD step", ".2f"), "peak_megabytes": ("peak MB", ",.0f"),
}  # fmt: skip
"""Column (a field or property of Row) -> its heading and format. Errors are meV and meV/angstrom."""


@dataclass(frozen=True)
class Summary:
    """The runs of one model on one data set under one budget, at the learning rate with the lowest error on val."""

    rows: tuple[Row, ...]
    """One a seed."""
    tried: tuple[float, ...]
    """Learning rates that were tried."""

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def name(self) -> str:
        """The model, with its package where that is another one."""
        return self.first.model if self.first.package == "mlff" else f"{self.first.package} {self.first.model}"

    def values(self, column: str) -> list[float]:
        """The values of a column that are known."""
        return [float(value) for row in self.rows if (value := getattr(row, column)) is not None]

    def cell(self, column: str) -> str:
        """Mean and, of several seeds, the standard deviation of one."""
        values, style = self.values(column), COLUMNS[column][1]
        if not values:
            return "-"
        text = format(mean(values), style)
        if column in ("parameters",) or len(values) < 2:
            return text
        return f"{text} ± {format(stdev(values), style)}"

    @property
    def md_mode(self) -> str | None:
        """How the MD steps were computed."""
        modes = sorted({row.md_mode for row in self.rows if row.md_mode})
        return "/".join(modes) or None


def summarize(rows: Sequence[Row]) -> list[Summary]:
    """The runs by data set, budget, package and model: of each the best learning rate, those with the lowest test error first.

    The learning rate is chosen by the error on val with the lowest seed that has all of them; test plays no part in it.
    """
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.budget, row.package, row.model), []).append(row)
    summaries = []
    for group in groups.values():
        first_seed = min(row.seed for row in group)
        candidates = [row for row in group if row.seed == first_seed]
        best = min(candidates, key=lambda row: row.criterion).learning_rate
        chosen = sorted((row for row in group if row.learning_rate == best), key=lambda row: row.seed)
        summaries.append(Summary(tuple(chosen), tuple(sorted({row.learning_rate for row in group}))))

    def order(summary: Summary) -> tuple[str, str, float]:
        errors = summary.values("test_forces_mae") or summary.values("test_energy_mae") or [float("inf")]
        return summary.first.data, summary.first.budget, mean(errors)

    return sorted(summaries, key=order)


def shown_columns(summaries: Sequence[Summary]) -> list[str]:
    """The columns that any summary has values for."""
    return [column for column in COLUMNS if any(summary.values(column) for summary in summaries)]


def cells(summary: Summary, columns: Sequence[str]) -> list[str]:
    """The cells of a summary: name, learning rate, seeds (those that did not diverge of all), columns."""
    total, whole = len(summary.rows), sum(row.error is None for row in summary.rows)
    found = [summary.name, f"{summary.first.learning_rate:g}", str(total) if whole == total else f"{whole} of {total}"]
    for column in columns:
        cell = summary.cell(column)
        found.append(f"{cell} {summary.md_mode}" if column == "md_step" and summary.md_mode else cell)
    return found


def headings(columns: Sequence[str]) -> list[str]:
    """The headings of those cells."""
    return ["model", "rate", "seeds", *(COLUMNS[column][0] for column in columns)]


def sections(summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """The summaries of each data set and budget, by a title that says both."""
    found: dict[str, list[Summary]] = {}
    for summary in summaries:
        found.setdefault(f"{summary.first.data}, {summary.first.budget} a run", []).append(summary)
    return found


def markdown(summaries: Sequence[Summary]) -> str:
    """A table for each data set and budget."""
    blocks = [
        "Mean absolute errors (and RMSE) in meV and meV/Å; ± is the standard deviation over seeds. The time of an MD step is\n"
        "processor time where one thread computes it, wall time elsewhere.\n"
    ]
    for title, group in sections(summaries).items():
        columns = shown_columns(group)
        lines = [f"| {' | '.join(headings(columns))} |", "| --- |" + " ---: |" * (len(columns) + 2)]
        lines += [f"| {' | '.join(cells(summary, columns))} |" for summary in group]
        blocks.append(f"{title}:\n\n" + "\n".join(lines) + "\n")
    return "\n".join(blocks)


def write_tables(rows: Sequence[Row], folder: Path, machine: dict[str, Any]) -> list[Path]:
    """``runs.csv`` and ``runs.json`` with a row a run, and ``table.md``; each is whole or as it was before."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Row)])
    writer.writeheader()
    writer.writerows(row.document() for row in rows)
    document = {"machine": machine, "runs": [row.document() for row in rows]}
    contents = {
        "runs.csv": text.getvalue(),
        "runs.json": json.dumps(document, indent=2, allow_nan=False) + "\n",
        "table.md": markdown(summarize(rows)),
    }
    for name, content in contents.items():
        replace_file(folder / name, content.encode())
    return [folder / name for name in contents]
