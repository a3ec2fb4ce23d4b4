"""Peers' accuracy under one budget: python benchmarks/peers/accuracy.py [PEER ...] --data FILE.h5 --minutes 60 -o FOLDER

Each run is a process in its package's environment (install.sh) and leaves a row in FOLDER/DATA/PEER/lr-RATE/seed-SEED, as
those of `mlff benchmark accuracy` do; finished ones are read, not repeated. Every learning rate is tried with the first
seed, and the one with the lowest force error on val goes on with the others. The time of an MD step is that of the
peer's speed script, in its best mode. Give FOLDER to `mlff benchmark accuracy` as its -o, and its tables and picture have
both sides.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from mlff.benchmarks.accuracy.data import write_structure
from mlff.benchmarks.accuracy.row import ROW_FILE, Row, read_row, read_rows, write_row
from mlff.benchmarks.accuracy.spec import DataEntry
from mlff.benchmarks.accuracy.table import markdown, summarize
from mlff.train.clock import CLOCKS

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contender:
    """A script that trains a peer, and the learning rates to try: the documented one, and a step to either side."""

    environment: str
    script: str
    learning_rates: tuple[float, ...]
    speed_script: str
    speed_mode: str = "eager"

    def command(self, script: str, *arguments: str) -> list[str]:
        """The command line of a script in its environment."""
        python = ROOT / self.environment / "bin" / "python"
        return [str(python), "-W", "ignore", str(ROOT / "benchmarks" / "peers" / script), *arguments]


CONTENDERS = {
    "schnetpack-painn": Contender(".venv-peers", "train_schnetpack_painn.py", (5e-4, 1e-3, 2e-3), "schnetpack_painn.py"),
    "torchmdnet-tensornet": Contender(
        ".venv-peers", "train_torchmdnet_tensornet.py", (5e-4, 1e-3, 2e-3), "torchmdnet_tensornet.py"
    ),
    "nequip-l1": Contender(".venv-nequip", "train_nequip_l1.py", (5e-3, 1e-2, 2e-2), "nequip_l1.py", "compiled"),
}


def finish_run(
    name: str, learning_rate: float, seed: int, folder: Path, arguments: Sequence[str], threads: int
) -> Row | None:
    """The row of a run, trained now where it is not finished; None where its process failed."""
    out = folder / name / f"lr-{learning_rate:g}" / f"seed-{seed}"
    if (row := read_row(out)) is None:
        out.parent.mkdir(parents=True, exist_ok=True)
        log = out.with_suffix(".log")
        click.echo(f"{name}, learning rate {learning_rate:g}, seed {seed} (output in {log})", err=True)
        options = ["--learning-rate", repr(learning_rate), "--seed", str(seed), "--threads", str(threads), "--out", str(out)]
        with log.open("ab") as output:
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            command = CONTENDERS[name].command(CONTENDERS[name].script, *arguments, *options)
            code = subprocess.run(command, stdout=output, stderr=output, env=environment).returncode
        row = read_row(out)
        if row is None:
            click.echo(f"  it ended with exit code {code} and left no row", err=True)
    return row


def add_speed(name: str, rows_in: Path, structure: Path, threads: int) -> None:
    """Put the time of an MD step into the rows of a peer that lack it; it does not depend on the weights."""
    folders = {path.parent: read_row(path.parent) for path in sorted(rows_in.rglob(ROW_FILE))}
    rows = {folder: row for folder, row in folders.items() if row is not None and row.md_milliseconds is None}
    if not rows:
        return
    contender = CONTENDERS[name]
    options = ["--workload", str(structure), "--mode", contender.speed_mode, "--threads", str(threads)]
    done = subprocess.run(contender.command(contender.speed_script, *options), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        click.echo(f"the time of an MD step of {name} could not be measured (exit code {done.returncode})", err=True)
        return
    (found,) = json.loads(done.stdout[done.stdout.index("{") :])["results"]
    for folder, row in rows.items():
        timed = replace(
            row, md_mode=contender.speed_mode, md_milliseconds=found["milliseconds"]["median"],
            md_processor_milliseconds=found["processor_milliseconds"]["median"],
        )  # fmt: skip
        write_row(folder, timed)


@click.command()
@click.argument("peers", nargs=-1, type=click.Choice(list(CONTENDERS)))
@click.option("--data", required=True, type=click.Path(), help="Native file, or azobenzene.")
@click.option("--split", help="Split of it; time, given or the only one where it is left out.")
@click.option("--num-train", type=click.IntRange(1), help="Training frames, evenly spaced; all by default.")
@click.option("--num-val", type=click.IntRange(1), help="Likewise, as the next.")
@click.option("--num-test", type=click.IntRange(1))
@click.option("--minutes", required=True, type=click.FloatRange(0, min_open=True), help="Budget of each run.")
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--learning-rate", "rates", type=float, multiple=True, help="Rates to try; three a peer by default.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1, 2), show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
def main(
    peers: tuple[str, ...], data: str, split: str | None, num_train: int | None, num_val: int | None, num_test: int | None,
    minutes: float, clock: str, rates: tuple[float, ...], seeds: tuple[int, ...], threads: int, out: Path,
) -> None:  # fmt: skip
    """Train PEERS (all by default) under one budget and print the table of all rows in the folder."""
    chosen = peers or tuple(CONTENDERS)
    for name in chosen:
        if not Path(CONTENDERS[name].command("")[0]).exists():
            raise click.ClickException(f"there is no environment for {name}; make it with benchmarks/peers/install.sh {name}")
    arguments = ["--data", data, "--minutes", f"{minutes:g}", "--clock", clock]
    options = {"--split": split, "--num-train": num_train, "--num-val": num_val, "--num-test": num_test}
    arguments += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    folder = out / Path(data).stem
    best: dict[str, float] = {}
    for name in chosen:
        tried = rates or CONTENDERS[name].learning_rates
        rows = [finish_run(name, rate, seeds[0], folder, arguments, threads) for rate in tried]
        if all(row is not None for row in rows):
            best[name] = min((row for row in rows if row is not None), key=lambda row: row.criterion).learning_rate
    for seed in seeds[1:]:
        for name, rate in best.items():
            finish_run(name, rate, seed, folder, arguments, threads)
    entry = DataEntry(path=data, split=split)
    structure = write_structure(entry, entry.paths, out / "data" / f"{Path(data).stem}.xyz")
    for name in chosen:
        add_speed(name, folder / name, structure, threads)
    click.echo(markdown(summarize(read_rows(out))))
    if len(best) < len(chosen):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
