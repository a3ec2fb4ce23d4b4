"""The tables of errors in a run's report, as HTML: by quantity and state or pair of states, and by the gap of two states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from mlff.figure import readable
from mlff.train import plots
from mlff.train.metrics import UNITS, Errors, error_list
from mlff.train.pair_errors import errors_by_gap, pair_name

SPLITS = {"val": "validation", "test": "test"}
NAMES = {
    "energy": "Energy",
    "energy_per_atom": "Energy per atom",
    "forces": "Force component",
    "stress": "Stress component",
    "interstate_coupling": "Interstate coupling",
    "nac": "Nonadiabatic coupling",
    "dipole": "Dipole component",
    "soc_magnitude": "Spin-orbit coupling",
}


def error_rows(
    predictions: plots.Predictions, state_labels: Sequence[str] | None = None
) -> list[tuple[str, str, str, dict[str, Errors]]]:
    """Rows of the table of errors: quantity, state or pair, unit, and the errors in each split that has references."""
    labels = plots.name_states(state_labels, plots.num_states(predictions))
    rows: dict[tuple[str, int | None, tuple[int, int] | None], dict[str, Errors]] = {}
    for split, arrays in predictions.items():
        for errors in error_list(dict(arrays)):
            rows.setdefault((errors.quantity, errors.state, errors.pair), {})[split] = errors
    order = list(UNITS)

    def place(key: tuple[str, int | None, tuple[int, int] | None]) -> tuple[int, bool, int, tuple[int, ...]]:
        quantity, state, pair = key
        return order.index(quantity), state is None and pair is None, -1 if state is None else state, pair or ()

    return [
        (NAMES[key[0]], next(iter(rows[key].values())).whose(labels), UNITS[key[0]], rows[key])
        for key in sorted(rows, key=place)
    ]


def error_section(predictions: plots.Predictions, state_labels: Sequence[str] | None) -> str:
    """The table of errors, and under it how many frames they are of."""
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
        f'<div class="wide"><table class="errors"><thead><tr><th rowspan="2">Quantity</th><th rowspan="2">State or pair</th>'
        f'<th rowspan="2">Unit</th>{heads}</tr><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="note">{escape(counts)}. Values without a reference are left out.{missing}</p>'
    )


def _count(split: str, arrays: plots.Arrays) -> str:
    num_frames = next((len(arrays[name]) for name in ("num_atoms", "energy", "stress") if name in arrays), 0)
    return f"{SPLITS[split].capitalize()}: {num_frames:,} frame{'' if num_frames == 1 else 's'}"


def gap_section(predictions: plots.Predictions, state_labels: Sequence[str] | None) -> str:
    """Tables of the errors of pairs of states by their gap; nothing where there is one state."""
    labels = plots.name_states(state_labels, plots.num_states(predictions))
    if len(labels) == 1:
        return ""
    tables = "".join(
        f"<h3>{SPLITS[split].capitalize()}</h3>{_gap_rows(errors_by_gap(dict(predictions[split])), labels)}"
        for split in SPLITS
        if split in predictions
    )
    note = (
        "Gaps are those of the reference. The cosine is that of the angle between predicted and reference coupling, with the "
        "signs of the states that agree best."
    )
    return f'<section><h2>Pairs of states by their gap</h2>{tables}<p class="note">{note}</p></section>' if tables else ""


def _gap_rows(rows: list[dict[str, Any]], labels: Sequence[str]) -> str:
    columns = {
        "num_frames": "Frames", "gap_mae_meV": "Gap MAE, meV", "interstate_coupling_mae_meV_per_A": "Coupling MAE, meV/Å",
        "interstate_coupling_rmse_meV_per_A": "RMSE, meV/Å", "nac_mae_per_A": "NAC MAE, 1/Å", "coupling_cosine": "Cosine",
    }  # fmt: skip
    shown = {key: title for key, title in columns.items() if any(key in row for row in rows)}
    heads = "".join(f"<th>{title}</th>" for title in shown.values())
    body = ""
    for row in rows:
        every = row["from"] == 0 and row["to"] is None
        width = "all" if every else f"over {row['from']:g}" if row["to"] is None else f"{row['from']:g} to {row['to']:g}"
        name = escape(pair_name((row["pair"][0], row["pair"][1]), labels)) if every else ""
        cells = "".join(f'<td class="number">{readable(math.nan if (v := row.get(key)) is None else v)}</td>' for key in shown)
        body += f"<tr><td>{name}</td><td>{width}</td>{cells}</tr>"
    return (
        f'<div class="wide"><table class="errors"><thead><tr><th>Pair</th><th>Gap, eV</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
