"""``mlff data``: import trajectories into the native file, look into it, split it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlff.data import HDF5Dataset

FORMATS = ("sharc", "spainn-db", "newton-x", "pyrai2md-log", "pyrai2md-json", "shnitsel", "extxyz", "xxmd", "folder")
"""The importers' names, repeated here so that ``--help`` imports none of them; a test holds the two together."""

BOOKKEEPING = ("pbc", "active_state", "active_spin_state", "hop", "trajectory", "step", "time")
"""What frames have that is no measured quantity: not shown in the table."""


@click.group(name="data")
def command() -> None:
    """Import trajectories, look into a data file, split it.

    \b
    mlff data import azo.zip -o azo.h5
    mlff data info azo.h5
    mlff data split azo.h5 --by trajectory --fractions 0.8 0.1 0.1
    """


@command.command("import")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The native HDF5 file to write.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Format of the sources; recognised if not given.")
@click.option(
    "--split-name",
    default="given",
    show_default=True,
    help="Name of the split that the sources' names give (..._train, ..._val, ..._test).",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Keep every so-many-th frame of each trajectory (of xyz files: of each file, so of each given split).",
)
@click.option("--energy-key", help="Key of the energy (eV) in the comment lines; found if not given.")
@click.option("--forces-key", help="Name of the force columns (eV/angstrom); found if not given.")
@click.option(
    "--level-of-theory", default="", help='What the energies are of, such as "B3LYP/6-31G*"; kept in the file.'
)
@click.option("--charge", type=float, help="Total charge (e), where the sources do not say it; 0 if not given.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that read runs side by side."
)
@click.option("--strict", is_flag=True, help="Write nothing if anything had to be dropped or masked, or looks wrong.")
@click.option("--overwrite", is_flag=True, help="Replace the output file if it exists.")
def import_command(
    sources: tuple[Path, ...],
    output: Path,
    format_: str | None,
    split_name: str,
    every: int,
    energy_key: str | None,
    forces_key: str | None,
    level_of_theory: str,
    charge: float | None,
    workers: int,
    strict: bool,
    overwrite: bool,
) -> None:
    """Read trajectories and write one native HDF5 file.

    SRC is an extended xyz file, a zip of such files (the layout of the xxMD data), a folder of either, a run of another
    program (see --format), or a folder of runs. Damaged files give every whole frame; what was dropped is said. The
    output appears only when it is whole.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mlff.data.importers import import_sources

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        report = import_sources(
            sources,
            output,
            format=format_,
            split_name=split_name,
            every=every,
            energy_key=energy_key,
            forces_key=forces_key,
            level_of_theory=level_of_theory,
            charge=charge,
            strict=strict,
            overwrite=overwrite,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    click.echo(report.text())
    click.echo(f"{report.num_frames:,} frames written to {output}")


@command.command("info")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def info_command(file: Path, as_json: bool) -> None:
    """What FILE holds: systems, states, frames, quantities with units and ranges, splits.

    The word azobenzene stands for the data set inside the package.
    """
    from mlff.data.summary import summarise

    summary = summarise(open_data(file))
    if as_json:
        import json

        click.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        click.echo(render(summary))


@command.command("split")
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
@click.option("--seed", type=int, help="Seed of the random choice; 0 if not given.")
@click.option("--name", help="Name of the split; that of --by if not given.")
@click.option("--overwrite", is_flag=True, help="Replace a split of this name.")
def split_command(
    file: Path,
    by: str,
    fractions: tuple[float, float, float] | None,
    val: str | None,
    test: str | None,
    seed: int | None,
    name: str | None,
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
    name = by if name is None else name
    if name in dataset.splits and not overwrite:
        raise ValueError(f"{file} has a split {name!r} already; choose another with --name, or give --overwrite")
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


def open_data(file: Path) -> HDF5Dataset:
    """The data of ``file``, or the embedded set for the word azobenzene."""
    if str(file) == "azobenzene" and not file.exists():
        from mlff.datasets import azobenzene

        return azobenzene()
    from mlff.data import HDF5Dataset

    return HDF5Dataset(file)


def _names(text: str | None) -> list[str]:
    return [each.strip() for each in (text or "").split(",") if each.strip()]


def render(summary: dict[str, Any]) -> str:
    """The summary in one screenful."""
    lines = [summary["path"]]
    unfinished = "" if summary["finalized"] else ", not finalized"
    lines.append(
        f"  schema {summary['schema_version']}, {summary['bytes'] / 1e6:.1f} MB, written {summary['created'][:10]} "
        f"by mlff {summary['program_version']}{unfinished}"
    )
    trajectories = f"{summary['num_trajectories']:,} trajectories"
    if summary["num_frames_without_trajectory"]:
        trajectories += f" and {summary['num_frames_without_trajectory']:,} frames of unknown trajectory"
    odd = ", ".join(f"{count} {status}" for status, count in summary["statuses"].items() if status != "complete")
    systems = f"{len(summary['systems'])} system{'s' * (len(summary['systems']) != 1)}"
    lines.append(f"  {summary['num_frames']:,} frames, {systems}, {trajectories}{odd and f' ({odd})'}")
    for system in summary["systems"][:5]:
        lines += ["", *_render_system(system)]
    if len(summary["systems"]) > 5:
        lines += [
            "",
            f"and {len(summary['systems']) - 5} more systems: "
            f"{', '.join(each['name'] for each in summary['systems'][5:30])}",
        ]
    if summary["report"]:
        lines += ["", f"on import {len(summary['report'])} problems were found"]
        lines += [f"  ! {each if len(each) <= 112 else each[:109] + '...'}" for each in summary["report"][:5]]
        if len(summary["report"]) > 5:
            lines.append(f"  ! and {len(summary['report']) - 5} more: --json")
    lines += ["", "splits" if summary["splits"] else "no splits; make one with `mlff data split FILE --by time`"]
    for name, split in summary["splits"].items():
        sizes = ", ".join(f"{part} {split[part]:,}" for part in ("train", "val", "test"))
        lines.append(f"  {name:<12} {sizes} ({split['kind']})")
    return "\n".join(lines)


def _render_system(system: dict[str, Any]) -> list[str]:
    states = f"{system['num_states']} state{'s' * (system['num_states'] > 1)}"
    facts = [
        f"{system['num_frames']:,} frames",
        f"{system['num_atoms']} atoms",
        states,
        f"charge {system['charge']:+g}",
        f"{system['num_trajectories']} trajectories",
    ]
    if system["level_of_theory"]:
        facts.append(system["level_of_theory"])
    if system["periodic_frames"]:
        facts.append(f"{system['periodic_frames']:,} frames periodic")
    if system["program"]:
        facts.append(system["program"])
    lines = textwrap.wrap(f"system {system['name']}: {', '.join(facts)}", 118, subsequent_indent="  ")
    if any(system["state_labels"]):
        text = " ".join(system["state_labels"])
        if system["spin_states"]:
            text += f" ({len(system['spin_states'])} spin components)"
        if system["active_frames"]:
            held = zip(system["state_labels"], system["active_frames"])
            text += "; active in " + ", ".join(f"{label} {count:,}" for label, count in held if count) + " frames"
            text += f"; {system['num_hops']:,} hops" if system["num_hops"] is not None else ""
        lines += textwrap.wrap(f"states {text}", 116, initial_indent="  ", subsequent_indent="    ")
    width = max([14, *(len(name) for name in system["quantities"])])
    for name, each in system["quantities"].items():
        if name in BOOKKEEPING:
            continue
        shape = "x".join(map(str, each["shape"])) or "1"
        text = f"  {name:<{width}} {shape:<10} {each['dtype']:<4} {each['unit']:<13}"
        if each.get("range"):
            text += f" {each['range'][0]:.4f} to {each['range'][1]:.4f}"
            text += (
                f", rms {each['rms']:.4f}"
                if name != "energy"
                else f", standard deviation {each['standard_deviation']:.4f}"
            )
        if each.get("valid", 1.0) < 1.0:
            text += f"  ({each['valid']:.1%} known)"
        lines.append(text.rstrip())
    signs = [
        f"{name} {each['convention']}"
        for name, each in system["quantities"].items()
        if each["convention"] and name not in BOOKKEEPING and name not in ("cell", "kinetic_energy")
    ]
    lines += textwrap.wrap(f"signs: {'; '.join(signs)}", 116, initial_indent="  ", subsequent_indent="    ")
    if system["time_fs"]:
        steps = f", a frame every {system['timestep_fs'][0]:g} fs" if len(system["timestep_fs"]) == 1 else ""
        lines.append(f"  time {system['time_fs'][0]:g} to {system['time_fs'][1]:g} fs{steps}")
    if system["smallest_distance_angstrom"] is not None:
        looked = (
            ""
            if system["smallest_distance_frames"] == system["num_frames"]
            else f" (of {system['smallest_distance_frames']:,} frames)"
        )
        lines.append(f"  smallest distance {system['smallest_distance_angstrom']:.3f} angstrom{looked}")
    return lines
