"""``mlff benchmark speed``: how long steps take, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlff.cli.benchmark.options import Listed, candidate_options


@click.command()
@candidate_options
@click.option("--workload", "workloads", type=Listed(), metavar="NAMES",
              help="azobenzene (24 atoms), water-N (periodic, N atoms), structure files; commas between.  "
                   "[default: azobenzene,water-192, where the model knows the elements]")
@click.option("--training", is_flag=True, help="Also time training, in batches of 32 azobenzene frames.")
@click.option("--steps", type=click.IntRange(1), help="Steps a round.  [default: as many as take 0.2 s, from 1 to 20]")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="Samples of each, taken in turns.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write every figure as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def command(
    models: tuple[str, ...], modes: tuple[str, ...], device: str, threads: int, dtype: str, workloads: tuple[str, ...] | None,
    training: bool, steps: int | None, rounds: int, json_path: Path | None, overwrite: bool,
) -> None:  # fmt: skip
    """Time velocity-Verlet steps through ASE, and training steps.

    Every model and mode runs in a process of its own; those of one workload take turns, so that other programs disturb
    all alike. Shown are medians and quartiles of wall time, the median processor time, the process's peak memory, and
    the limit: the model's arithmetic at the rate at which this machine multiplies matrices of the same shapes.

    \b
    mlff benchmark speed --workload azobenzene,water-192,water-1536 --mode eager,compiled
    mlff benchmark speed --model runs/painn --training --json speed.json
    """
    import json

    from mlff.benchmarks.speed import machine_facts, measure_speed, speed_candidates
    from mlff.dynamics.aside import written_aside
    from mlff.dynamics.structures import check_outputs
    from mlff.potential.device import chosen_device

    check_outputs([] if json_path is None else [json_path], overwrite=overwrite)
    chosen_device(device)
    candidates = speed_candidates(
        models, workloads, modes, training=training, device=device, threads=threads, dtype=dtype
    )
    machine = machine_facts(threads, device)
    records = measure_speed(candidates, rounds=rounds, steps=steps, tell=lambda line: click.echo(line, err=True))
    if json_path is not None:
        with written_aside(json_path) as aside:
            aside.write_text(json.dumps({"machine": machine, "results": records}, indent=2) + "\n")
    print_speed(machine, records)


def print_speed(machine: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """One table for MD and one for training, then what should be known of them."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: do not break lines
    for kind, title in (("md", "MD, velocity Verlet through ASE"), ("training", "Training, batches of 32 azobenzene frames")):
        rows = [record for record in records if record["kind"] == kind and "error" not in record]
        if not rows:
            continue
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        headings = ["workload", "model", "mode", "parameters", "ms/step (quartiles)", "processor ms"]
        headings += ["peak MB", "limit ms", "times the limit"] if kind == "md" else ["frames/s", "peak MB", "start s"]
        for index, heading in enumerate(headings):
            table.add_column(heading, justify="left" if index < 3 else "right")
        for row in rows:
            wall = row["milliseconds"]
            cells = [row["workload"], row["model"], row["mode"], f"{row['parameters']:,}",
                     f"{wall['median']:.2f} ({wall['lower_quartile']:.2f}-{wall['upper_quartile']:.2f})",
                     f"{row['processor_milliseconds']['median']:.2f}"]  # fmt: skip
            peak = f"{row['peak_megabytes']:,.0f}"
            if kind == "md":
                cells += [peak, f"{row['limit']['milliseconds']:.2f}", f"{row['times_the_limit']:.1f}"]
            else:
                cells += [f"{row['frames_per_second']:.1f}", peak, f"{row['start_seconds']:.0f}"]
            table.add_row(*cells)
        console.print(table)
    for record in records:
        name = f"{record['model']} {record['mode']}, {record['workload']} ({record['kind']})"
        for note in [record["error"]] if "error" in record else record["warnings"]:
            console.print(f"! {name}: {note}", markup=False, highlight=False)
    where = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    known = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if name in ("mlff", "torch"))
    console.print(
        f"{where}, {machine['threads']} thread(s) of {machine['cores']} cores, "
        f"load {machine['load_average']:.1f} at the start; {known}; "
        f"{machine['gigaflop_per_second']:.0f} GFLOP/s in matrix products, {machine['gigabytes_per_second']:.0f} GB/s copying",
        highlight=False,
    )
