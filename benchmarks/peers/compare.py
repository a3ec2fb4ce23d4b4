"""mlff and its peers side by side: python benchmarks/peers/compare.py [PEER ...] [--workload azobenzene,water-192,water-1536]

For each peer and workload, the peer in each of its modes and mlff in each of its own run in processes that take turns,
A B A B, with the same structures, the same velocity Verlet, the same clocks, threads and allocator settings (those of the
environment that this is started in). Where the models are the same, mlff's has the peer's weights, and the energies are
compared. Printed are medians, and medians and quartiles of the ratios round by round. `make bench-peers` makes the
environments first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from mlff.benchmarks.candidates import MODES, Candidate
from mlff.benchmarks.contest import ROUNDS, Timing, Worker, ratio_of, take_turns, worker_of
from mlff.benchmarks.speed import machine_facts
from mlff.cli.benchmark.options import Listed
from mlff.dynamics.aside import written_aside
from mlff.dynamics.structures import check_outputs

ROOT = Path(__file__).parents[2]
SAME_WEIGHTS = "same weights"
ENERGY_TOLERANCE = 1e-5
"""Largest relative difference of energies in float32 with the same weights."""


@dataclass(frozen=True)
class Opponent:
    """A peer's script, its environment, and what of ours it meets."""

    environment: str
    script: str
    ours: tuple[str, ...]
    """``SAME_WEIGHTS``, or models of mlff with fresh weights."""
    modes: tuple[str, ...]
    training_modes: tuple[str, ...]

    @property
    def python(self) -> Path:
        return ROOT / self.environment / "bin" / "python"

    def command(self, *arguments: str) -> list[str]:
        """The command line of the script in its environment."""
        return [str(self.python), str(ROOT / "benchmarks" / "peers" / self.script), *arguments]


OPPONENTS = {
    "schnetpack-painn": Opponent(".venv-peers", "schnetpack_painn.py", (SAME_WEIGHTS,), ("eager",), ("eager",)),
    "torchmdnet-tensornet": Opponent(".venv-peers", "torchmdnet_tensornet.py", (SAME_WEIGHTS,), ("eager",), ("eager",)),
    "torchmdnet-et": Opponent(".venv-peers", "torchmdnet_et.py", (SAME_WEIGHTS,), ("eager",), ("eager",)),
    "nequip-l1": Opponent(
        ".venv-nequip", "nequip_l1.py", ("painn", "tensornet"), ("eager", "compiled"), ("eager", "compiled")
    ),
    "mace-l1": Opponent(".venv-mace", "mace_l1.py", ("painn", "tensornet"), ("eager",), ("eager",)),
}


def our_models(opponent: Opponent, folder: Path) -> dict[str, str]:
    """Name in the table -> model to measure; a checkpoint with the peer's weights is written into the folder."""
    if opponent.ours != (SAME_WEIGHTS,):
        return {name: name for name in opponent.ours}
    checkpoint = folder / Path(opponent.script).stem
    subprocess.run(opponent.command("--save-ours", str(checkpoint)), check=True, stdout=subprocess.DEVNULL)
    return {SAME_WEIGHTS: str(checkpoint)}


def measure(
    name: str, models: dict[str, str], workload: str, modes: Sequence[str], *, training: bool, rounds: int, threads: int,
    tell: Callable[[str], object],
) -> list[dict[str, Any]]:  # fmt: skip
    """One record a pair of a peer's mode and ours, both documents and the ratios in it."""
    opponent = OPPONENTS[name]
    kind = ["--training"] if training else ["--workload", workload]
    theirs = {
        mode: partial(Worker, opponent.command(*kind, "--mode", mode, "--threads", str(threads), "--serve"), threads)
        for mode in (opponent.training_modes if training else opponent.modes)
    }
    ours = {
        (model, mode): partial(
            worker_of, Candidate(path, workload, mode, kind="training" if training else "md", threads=threads)
        )
        for model, path in models.items()
        for mode in modes
    }
    timings = take_turns([*theirs.values(), *ours.values()], rounds, tell=tell)
    their_timings = dict(zip(theirs, timings))
    our_timings = dict(zip(ours, timings[len(theirs) :]))
    records = []
    for their_mode, their in their_timings.items():
        for (model, mode), our in our_timings.items():
            record: dict[str, Any] = {
                "peer": name, "peer_mode": their_mode, "model": model, "mode": mode, "threads": threads,
                "workload": "training" if training else workload,
            }  # fmt: skip
            errors = {side: str(each) for side, each in (("peer", their), ("mlff", our)) if isinstance(each, Exception)}
            if isinstance(their, Timing) and isinstance(our, Timing):
                record |= {
                    "peer_result": their.document(), "mlff_result": our.document(),
                    "processor_ratio": asdict(ratio_of(their, our, "processor")),
                    "wall_ratio": asdict(ratio_of(their, our, "wall")),
                    "memory_ratio": our.peak_memory / their.peak_memory,
                }  # fmt: skip
                if model == SAME_WEIGHTS and not training:
                    energy = their.facts["energy"]
                    record["relative_energy_difference"] = abs(our.facts["energy"] - energy) / abs(energy)
            records.append(record | ({"errors": errors} if errors else {}))
    return records


def print_records(records: Sequence[dict[str, Any]], console: Console) -> None:
    """One row a pair of modes; times are processor time, which other programs disturb least."""
    table = Table(title="Processor time: ms a step (MD) or frames a second (training)", title_justify="left", box=None)
    for heading in ("workload", "peer", "mode", "mlff", "mode"):
        table.add_column(heading)
    for heading in ("peer", "mlff", "times faster (quartiles)", "peer MB", "mlff MB", "memory"):
        table.add_column(heading, justify="right")
    for record in records:
        names = [record[key] for key in ("workload", "peer", "peer_mode", "model", "mode")]
        if "errors" in record:
            table.add_row(*names, *("failed" if side in record["errors"] else "" for side in ("peer", "mlff")))
            continue
        sides = [record["peer_result"], record["mlff_result"]]
        if record["workload"] == "training":
            times = [f"{side['frames_per_processor_second']:.1f}" for side in sides]
        else:
            times = [f"{side['processor_milliseconds']['median']:.1f}" for side in sides]
        ratio = record["processor_ratio"]
        spread = f"{ratio['median']:.2f} ({ratio['lower_quartile']:.2f}-{ratio['upper_quartile']:.2f})"
        memory = [f"{side['peak_megabytes']:,.0f}" for side in sides]
        table.add_row(*names, *times, spread, *memory, f"1/{1 / record['memory_ratio']:.1f}")
    console.print(table)
    for record in records:
        where = f"{record['workload']}, {record['peer']} {record['peer_mode']}, mlff {record['model']} {record['mode']}"
        for side, error in record.get("errors", {}).items():
            console.print(f"! {where}: {side}: {error}", markup=False, highlight=False)
        if record.get("relative_energy_difference", 0.0) > ENERGY_TOLERANCE:
            difference = record["relative_energy_difference"]
            console.print(f"! {where}: the energies differ by {difference:.1e} of themselves", markup=False, highlight=False)
        for warning in record.get("mlff_result", {}).get("warnings", []):
            console.print(f"! {where}: {warning}", markup=False, highlight=False)


@click.command(help="Time mlff beside PEERs (all of them by default).")
@click.argument("peers", nargs=-1, type=click.Choice(list(OPPONENTS)))
@click.option("--workload", "workloads", type=Listed(), default="azobenzene,water-192", show_default=True)
@click.option("--mode", "modes", type=Listed(tuple(MODES)), default="eager,compiled", show_default=True, help="Of mlff.")
@click.option("--training/--no-training", default=True, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=ROUNDS, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write every figure as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def main(
    peers: tuple[str, ...], workloads: tuple[str, ...], modes: tuple[str, ...], training: bool, rounds: int, threads: int,
    json_path: Path | None, overwrite: bool,
) -> None:  # fmt: skip
    names = peers or tuple(OPPONENTS)
    missing = sorted({OPPONENTS[name].environment for name in names if not OPPONENTS[name].python.is_file()})
    if missing:
        raise click.ClickException(f"there is no environment {', '.join(missing)}; run `make bench-peers`, which makes them")
    try:
        check_outputs([] if json_path is None else [json_path], overwrite=overwrite)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    console = Console(width=None if sys.stdout.isatty() else 200)
    machine = machine_facts(threads, "cpu")
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            models = our_models(OPPONENTS[name], Path(folder))
            for workload, is_training in [(each, False) for each in workloads] + [("azobenzene", True)] * training:
                what = f"{name}, {'training' if is_training else workload}"
                found = measure(
                    name, models, workload, modes, training=is_training, rounds=rounds, threads=threads,
                    tell=lambda line, what=what: click.echo(f"{what}: {line}", err=True),
                )  # fmt: skip
                records += found
                if json_path is not None:  # after each, because the whole takes long
                    with written_aside(json_path) as aside:
                        aside.write_text(json.dumps({"machine": machine, "results": records}, indent=2) + "\n")
    print_records(records, console)
    load = machine["load_average"]
    console.print(f"{machine['processor']}, {threads} thread(s), load {load:.1f} at the start", highlight=False)


if __name__ == "__main__":
    main()
