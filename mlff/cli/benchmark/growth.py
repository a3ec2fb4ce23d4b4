"""``mlff benchmark growth``: time and memory against the number of atoms."""

from __future__ import annotations

from pathlib import Path

import click

from mlff.cli.benchmark.options import candidate_options


@click.command()
@candidate_options
@click.option("--sizes", metavar="N,N,...", help="Atoms, multiples of 3.  [default: 24,81,192,648,1536,5184,12000]")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Samples of each.")
@click.option("-o", "--output", metavar="FILE.png", default="growth.png", show_default=True, type=click.Path(path_type=Path))
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write every figure as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    models: tuple[str, ...], modes: tuple[str, ...], device: str, threads: int, dtype: str, sizes: str | None, rounds: int,
    output: Path, json_path: Path | None, overwrite: bool,
) -> None:  # fmt: skip
    """Draw time and memory of an MD step of water boxes against the number of atoms, and fit the powers.

    A box is left out, and the output says so, where memory would not suffice for it by the growth so far.

    \b
    mlff benchmark growth --model painn --mode eager,compiled -o growth.png
    """
    import json

    from mlff.benchmarks.growth import SIZES, measure_growth, plot_growth
    from mlff.benchmarks.speed import machine_facts, speed_candidates
    from mlff.dynamics.aside import written_aside
    from mlff.dynamics.structures import check_outputs
    from mlff.potential.device import chosen_device

    if output.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise click.UsageError(f"--output is {output}; give a name that ends in .png, .pdf or .svg")
    check_outputs([path for path in (output, json_path) if path is not None], overwrite=overwrite)
    chosen_device(device)
    numbers = SIZES if sizes is None else _numbers(sizes)
    speed_candidates(models, [f"water-{number}" for number in numbers], modes)  # complains before anything is measured
    options = {"device": device, "threads": threads, "dtype": dtype}
    records = measure_growth(models, modes, numbers, rounds=rounds, tell=lambda line: click.echo(line, err=True), **options)
    if json_path is not None:
        with written_aside(json_path) as aside:
            aside.write_text(json.dumps({"machine": machine_facts(threads, device), "results": records}, indent=2) + "\n")
    plot_growth(records, output)
    for record in records:
        click.echo(f"{record['model']} {record['mode']}")
        click.echo("  atoms         " + "".join(f"{number:>10,}" for number in record["atoms"]))
        click.echo("  processor ms  " + "".join(f"{time:>10,.1f}" for time in record["processor_milliseconds"]))
        click.echo("  peak MB       " + "".join(f"{size:>10,.0f}" for size in record["peak_megabytes"]))
        for name in ("time", "memory"):
            power = record[f"{name}_exponent"]
            known = f"grows as N^{power:.2f} from 192 atoms on" if power is not None else "has too few points for a power"
            click.echo(f"  {name} {known}")
        for line in record["left_out"]:
            click.echo(f"  left out: {line}")
    click.echo(f"drawn in {output}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise click.UsageError(f"--sizes is {text!r}; give numbers of atoms with commas between, such as 192,1536") from None
