"""``mlff data info``: what a native file holds, in a screenful."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import click

from mlff.cli.data.source import open_data

BOOKKEEPING = ("pbc", "active_state", "active_spin_state", "active_diagonal_state", "hop", "trajectory", "step", "time")
"""What frames have that is no measured quantity: not shown in the table."""


@click.command("info")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(file: Path, as_json: bool) -> None:
    """What FILE holds: systems, states, frames, quantities with units and ranges, splits.

    The words azobenzene and chno stand for the data sets inside the package.
    """
    from mlff.data.summary import summarise

    summary = summarise(open_data(file))
    if as_json:
        import json

        click.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        click.echo(render(summary))


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
