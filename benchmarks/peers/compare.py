"""mlff and its peers side by side: python benchmarks/peers/compare.py [PEER ...] [--workload azobenzene,water-192,water-1536]

For each peer and workload, the peer in each of its modes and mlff in each of its own run in processes that take turns,
A B A B, with the same structures, the same velocity Verlet, the same clocks, threads and allocator settings (those of the
environment that this is started in). Where the models are the same, mlff's has the peer's weights, and the energies are
compared. Printed are medians, and medians and quartiles of the ratios round by round. What cannot be done, or takes more
memory than processes are given, is said in its row, and the others go on. `make bench-peers` makes the environments first.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.opponents import OPPONENTS, SAME_WEIGHTS
from benchmarks.peers.report import TRAINING, print_report
from mlff.benchmarks.candidates import MODES, Candidate
from mlff.benchmarks.contest import ROUNDS, Timing, Worker, ratio_of, take_turns, worker_of
from mlff.benchmarks.machine import free_memory, limit_memory
from mlff.benchmarks.speed import TRAINING as TRAINED_ON
from mlff.benchmarks.speed import machine_facts
from mlff.cli.benchmark.options import Listed
from mlff.dynamics.aside import written_aside
from mlff.dynamics.structures import check_outputs

MOST_SECONDS = 60.0
"""Processor time of the rounds of one contest after which no further round begins (but there are ``LEAST_ROUNDS``)."""
MEMORY_SHARE = 0.4
"""Of the free memory, for one process: a peer's modes are in memory at the same time."""


def measure(
    name: str, workload: str, modes: Sequence[str], *, rounds: int, threads: int, folder: Path,
    tell: Callable[[str], object],
) -> list[dict[str, Any]]:  # fmt: skip
    """One record a pair of a peer's mode and ours, both documents and the ratios in it; `workload` may be ``TRAINING``."""
    opponent, training = OPPONENTS[name], workload == TRAINING
    kind: Literal["md", "training"] = "training" if training else "md"
    asked = ["--training"] if training else ["--workload", workload]
    theirs = {
        mode: partial(Worker, opponent.command(*asked, "--mode", mode, "--threads", str(threads), "--serve"), threads)
        for mode in (opponent.training_modes if training else opponent.modes)
    }
    ours = {
        (model, mode): partial(
            worker_of, Candidate(path, TRAINED_ON if training else workload, mode, kind=kind, threads=threads)
        )
        for model, path in opponent.our_models(TRAINED_ON if training else workload, training=training, folder=folder).items()
        for mode in modes
    }
    timings = take_turns([*theirs.values(), *ours.values()], rounds, tell=tell, most_seconds=MOST_SECONDS)
    their_timings = dict(zip(theirs, timings))
    our_timings = dict(zip(ours, timings[len(theirs) :]))
    records = []
    for their_mode, their in their_timings.items():
        for (model, mode), our in our_timings.items():
            record: dict[str, Any] = {
                "peer": name, "peer_mode": their_mode, "model": model, "mode": mode, "threads": threads,
                "workload": workload,
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


@click.command(help="Time mlff beside PEERs (all of them by default).")
@click.argument("peers", nargs=-1, type=click.Choice(list(OPPONENTS)))
@click.option("--workload", "workloads", type=Listed(), default="azobenzene,water-192", show_default=True)
@click.option("--mode", "modes", type=Listed(tuple(MODES)), default="eager,compiled", show_default=True, help="Of mlff.")
@click.option("--training/--no-training", default=True, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=ROUNDS, show_default=True,
              help=f"At most: none begins once those of a contest took {MOST_SECONDS:.0f} s of processor time.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--most-memory", type=click.FloatRange(1), metavar="GB",
              help="What takes more fails, and says so.  [default: 40 % of what is free]")  # fmt: skip
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write every figure as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@click.option("--resume", is_flag=True, help="Keep what the file has: only peers and workloads that it lacks are measured.")
def main(
    peers: tuple[str, ...], workloads: tuple[str, ...], modes: tuple[str, ...], training: bool, rounds: int, threads: int,
    most_memory: float | None, json_path: Path | None, overwrite: bool, resume: bool,
) -> None:  # fmt: skip
    from rich.console import Console

    names = peers or tuple(OPPONENTS)
    missing = sorted({OPPONENTS[name].environment for name in names if not OPPONENTS[name].python.is_file()})
    if missing:
        raise click.ClickException(f"there is no environment {', '.join(missing)}; run `make bench-peers`, which makes them")
    try:
        check_outputs([] if json_path is None else [json_path], overwrite=overwrite or resume)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    machine = machine_facts(threads, "cpu")
    limit_memory(MEMORY_SHARE * free_memory() if most_memory is None else 1e9 * most_memory)
    records: list[dict[str, Any]] = []
    if resume and json_path is not None and json_path.exists():
        records = json.loads(json_path.read_text())["results"]
    known = {(record["peer"], record["workload"]) for record in records}
    contests = [(name, workload) for name in names for workload in (*workloads, *[TRAINING] * training)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name, workload in (each for each in contests if each not in known):

            def tell(line: str, what: str = f"{name}, {workload}") -> None:
                click.echo(f"{time.monotonic() - began:6.0f} s  {what}: {line}", err=True)

            records += measure(name, workload, modes, rounds=rounds, threads=threads, folder=Path(folder), tell=tell)
            records.sort(key=lambda record: list(OPPONENTS).index(record["peer"]))
            if json_path is not None:  # after each, because the whole takes long
                with written_aside(json_path) as aside:
                    aside.write_text(json.dumps({"machine": machine, "results": records}, indent=2) + "\n")
    console = Console(width=None if sys.stdout.isatty() else 200)
    print_report(records, console)
    load = machine["load_average"]
    console.print(f"{machine['processor']}, {threads} thread(s), load {load:.1f} at the start", highlight=False)


if __name__ == "__main__":
    main()
