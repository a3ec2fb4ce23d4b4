"""``mlff benchmark accuracy``: models side by side on data, under one budget."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option("-o", "--out", metavar="FOLDER", type=click.Path(path_type=Path), help="Folder of the runs; `out` of the SPEC.")
@click.option("--table-only", is_flag=True, help="Train nothing; write the tables of the runs that are finished.")
def command(spec: Path, out: Path | None, table_only: bool) -> None:
    """Train every model of SPEC.yaml on every data set of it, each run under the same budget, and compare the errors.

    Each run has a folder FOLDER/DATA/MODEL/lr-RATE/seed-SEED and a process of its own. Runs that are finished are read, one
    that was interrupted (Ctrl-C stops between two steps) goes on when the same command is given again. Written are
    runs.csv, runs.json, table.md and errors_and_cost.png, of all runs in FOLDER.

    \b
    data: [azobenzene, {path: rmd17_aspirin.npz, divide: random, num_train: 950}]
    models: [painn, {name: painn-64, model: {name: painn, num_features: 64}}]
    budget: {minutes: 60}            # or processor_minutes, epochs, patience
    seeds: [0, 1, 2]
    learning_rates: [2.0e-3, 4.0e-3, 8.0e-3]
    settings: {batch_size: 10, num_threads: 2, compile: true}
    out: runs/accuracy
    """
    from mlff.benchmarks.accuracy.comparison import Comparison, Interrupted
    from mlff.benchmarks.accuracy.plot import plot_accuracy
    from mlff.benchmarks.accuracy.row import read_rows
    from mlff.benchmarks.accuracy.spec import Spec
    from mlff.benchmarks.accuracy.table import cells, headings, sections, shown_columns, summarize, write_tables
    from mlff.benchmarks.machine import describe_machine

    specification = Spec.from_yaml(spec)
    folder = out or (None if specification.out is None else Path(specification.out))
    if folder is None:
        raise ValueError("no folder for the runs was given; name one with -o FOLDER, or as `out` in the specification")
    problems: list[str] = []
    interrupted = False
    if not table_only:
        try:
            problems = Comparison(specification, folder, lambda line: click.echo(line, err=True)).train()
        except (Interrupted, KeyboardInterrupt):
            interrupted = True
    rows = read_rows(folder) if folder.is_dir() else []
    if rows:
        from rich.console import Console
        from rich.table import Table

        console = Console()
        if not console.is_terminal:
            console.width = 200  # a pipe has no width: do not break lines
        machine = describe_machine(int(specification.settings.get("num_threads") or 1))
        written = write_tables(rows, folder, machine)
        summaries = summarize(rows)
        picture = plot_accuracy(summaries, folder / "errors_and_cost.png")
        for title, group in sections(summaries).items():
            columns = shown_columns(group)
            table = Table(title=f"{title}: MAE in meV and meV/Å", title_justify="left", box=None, pad_edge=False)
            for index, heading in enumerate(headings(columns)):
                table.add_column(heading, justify="left" if index == 0 else "right")
            for summary in group:
                table.add_row(*cells(summary, columns))
            console.print(table)
        for row in rows:
            if row.error is not None:
                console.print(f"! {row.model}, learning rate {row.learning_rate:g}, seed {row.seed}: {row.error}", markup=False)
        names = ", ".join(path.name for path in [*written, *([picture] if picture else [])])
        console.print(f"Written to {folder}: {names}", highlight=False, soft_wrap=True)
    elif table_only:
        raise ValueError(f"no run in `{folder}` is finished; leave --table-only out to train")
    for problem in problems:
        click.echo(f"! {problem}", err=True)
    if interrupted:
        again = f" -o {out}" if out is not None else ""
        click.echo(f"Interrupted; go on with: mlff benchmark accuracy {spec}{again}")
        raise SystemExit(130)
    if problems:
        raise SystemExit(1)
