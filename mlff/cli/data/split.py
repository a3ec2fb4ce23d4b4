"""``mlff data split``: divide the frames of a native file into train, val and test."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("split")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--by",
    required=True,
    type=click.Choice(["time", "trajectory", "random"]),
    help="time: the end of every trajectory is held out; trajectory: whole ones; random: single frames.",
)
@click.option(
    "--fractions", nargs=3, type=float, metavar="TRAIN VAL TEST", help="Their shares; 0.8 0.1 0.1 if not given."
)
@click.option("--val", help="With --by trajectory: names of the trajectories that validate, with commas.")
@click.option("--test", help="With --by trajectory: names of the trajectories that test, with commas.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random choice; 0 if not given.")
@click.option("--split-name", help="Name of the split; that of --by if not given.")
@click.option("--overwrite", is_flag=True, help="Replace a split of this name.")
def command(
    file: Path,
    by: str,
    fractions: tuple[float, float, float] | None,
    val: str | None,
    test: str | None,
    seed: int | None,
    split_name: str | None,
    overwrite: bool,
) -> None:
    """Divide the frames of FILE into train, val and test, and store the division in the file."""
    from mlff.data import HDF5Dataset, HDF5Writer, splits

    chosen = val is not None or test is not None
    if chosen and by != "trajectory":
        raise click.UsageError(f"--val and --test name trajectories, which goes with --by trajectory, not --by {by}")
    if chosen and fractions:
        raise click.UsageError("give either --fractions or --val and --test, not both")
    if seed is not None and (by == "time" or chosen):
        raise click.UsageError("--seed has no effect here: nothing is chosen at random")
    dataset, shares = HDF5Dataset(file), fractions or (0.8, 0.1, 0.1)
    if by == "time":
        split = splits.by_time(dataset, shares)
    elif by == "random":
        split = splits.random(dataset, shares, seed=seed or 0)
    elif chosen:
        split = splits.by_trajectory(dataset, val=_names(val), test=_names(test))
    else:
        split = splits.by_trajectory(dataset, shares, seed=seed or 0)
    name = by if split_name is None else split_name
    if name in dataset.splits and not overwrite:
        raise ValueError(f"{file} has a split {name!r} already; choose another with --split-name, or give --overwrite")
    drawn = by == "random" or (by == "trajectory" and not chosen)
    with HDF5Writer(file, "a") as writer:
        writer.add_split(
            name,
            split,
            kind=by,
            seed=(seed or 0) if drawn else None,
            fractions=None if chosen else shares,
            overwrite=overwrite,
        )
    sizes = ", ".join(f"{part} {len(rows):,}" for part, rows in split.items())
    click.echo(f"split {name!r} by {by} stored in {file}: {sizes}")


def _names(text: str | None) -> list[str]:
    return [each.strip() for each in (text or "").split(",") if each.strip()]
