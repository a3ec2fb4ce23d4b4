"""The tables that a comparison with peers ends in: each mode beside each of ours, then ours beside the peers' fastest modes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Record = dict[str, Any]
TRAINING = "training"
ENERGY_TOLERANCE = 1e-5
"""Largest relative difference of energies in float32 with the same weights."""


def print_report(records: Sequence[Record], console: Console) -> None:
    """Both tables, and a line on whatever failed, differed or warned."""
    console.print(_every_mode(records))
    console.print()
    for line in [*markdown(records), *_notes(records)]:
        console.print(line, markup=False, highlight=False)


def best_records(records: Sequence[Record]) -> list[Record]:
    """For each workload, peer and model of ours, the record with the peer's fastest mode; those that failed are left out."""
    best: dict[tuple[str, ...], Record] = {}
    for record in (each for each in records if "errors" not in each):
        key = tuple(record[name] for name in ("peer", "model", "mode", "workload"))
        if key not in best or _milliseconds(record["peer_result"]) < _milliseconds(best[key]["peer_result"]):
            best[key] = record
    return list(best.values())


def _every_mode(records: Sequence[Record]) -> Table:
    """One row a pair of modes."""
    title = "Processor time: ms a step (MD) or frames a second (training); peak memory of the process"
    table = _table(title, ("workload", "peer", "mode", "mlff", "mode"),
                   ("peer", "mlff", "times faster (quartiles)", "rounds", "peer MB", "mlff MB", "memory"))  # fmt: skip
    for record in records:
        names = [record[key] for key in ("workload", "peer", "peer_mode", "model", "mode")]
        if "errors" in record:
            table.add_row(*names, *("failed" if side in record["errors"] else "" for side in ("peer", "mlff")))
            continue
        sides = [record["peer_result"], record["mlff_result"]]
        times = [_time(record["workload"], side) for side in sides]
        memory = [f"{side['peak_megabytes']:,.0f}" for side in sides]
        share = f"1/{1 / record['memory_ratio']:.1f}"
        table.add_row(*names, *times, _spread(record["processor_ratio"]), str(sides[0]["rounds"]), *memory, share)
    return table


def markdown(records: Sequence[Record]) -> list[str]:
    """Lines of a table with one row a workload, peer and model of ours, the peer in its fastest mode."""
    lines = [
        "| workload | peer, its fastest mode | mlff | peer | mlff | times faster (quartiles) | peak MB: peer, mlff |",
        "| --- | --- | --- | ---: | ---: | --- | --- |",
    ]
    order = list(dict.fromkeys(record["workload"] for record in records))
    for record in sorted(best_records(records), key=lambda each: order.index(each["workload"])):
        sides = [record["peer_result"], record["mlff_result"]]
        peer, ours = (_time(record["workload"], side) for side in sides)
        memory = ", ".join(f"{side['peak_megabytes']:,.0f}" for side in sides)
        lines.append(
            f"| {record['workload']} | {record['peer']}, {record['peer_mode']} | {record['model']} | {peer} | {ours} "
            f"| {_spread(record['processor_ratio'])} | {memory} |"
        )
    return lines


def _notes(records: Sequence[Record]) -> list[str]:
    notes = []
    for record in records:
        peer, ours = f"{record['peer']} {record['peer_mode']}", f"mlff {record['model']} {record['mode']}"
        for side, error in record.get("errors", {}).items():
            lines = error.strip().splitlines()
            reason = next((line for line in reversed(lines) if re.match(r"\w*Error: ", line)), lines[0])
            notes.append(f"! {record['workload']}, {peer if side == 'peer' else ours}: {reason}")
        if record.get("relative_energy_difference", 0.0) > ENERGY_TOLERANCE:
            difference = record["relative_energy_difference"]
            notes.append(f"! {record['workload']}, {peer}, {ours}: the energies differ by {difference:.1e} of themselves")
        notes += [f"! {record['workload']}, {ours}: {warning}" for warning in record.get("mlff_result", {}).get("warnings", [])]
    return list(dict.fromkeys(notes))


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _time(workload: str, result: dict[str, Any]) -> str:
    """Milliseconds a step, or frames a second in training."""
    if workload == TRAINING:
        return f"{result['frames_per_processor_second']:.1f}"
    milliseconds = _milliseconds(result)
    return f"{milliseconds:,.{2 if milliseconds < 10 else 1 if milliseconds < 1000 else 0}f}"


def _milliseconds(result: dict[str, Any]) -> float:
    """Median processor time of a step."""
    return float(result["processor_milliseconds"]["median"])


def _spread(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['lower_quartile']:.2f}-{ratio['upper_quartile']:.2f})"
