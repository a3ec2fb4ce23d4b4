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
@click.option("--system", metavar="NAME", help="Show what this system holds; of up to two all are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(file: Path, system: str | None, as_json: bool) -> None:
    """What FILE holds: systems, states, frames, quantities with units and ranges, splits.

    The words azobenzene, chno and ch2nh2 stand for the data sets inside the package.
    """
    from mlff.data.summary import summarise

    summary = summarise(open_data(file))
    names = [each["name"] for each in summary["systems"]]
    if system is not None and system not in names:
        raise ValueError(f"{file} has no system {system!r}; it has: {', '.join(names[:30]) or 'none'}")
    if as_json:
        import json

        click.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        click.echo(render(summary, system))


def render(summary: dict[str, Any], only: str | None = None) -> str:
    """The summary in one screenful, with what a system holds: of one or two, or of the one called ``only``."""
    from mlff.data.sentences import condensed

    lines = [summary["path"]]
    unfinished = "" if summary["finalized"] else ", not finalized"
    lines.append(
        f"  schema {summary['schema_version']}, {summary['bytes'] / 1e6:.1f} MB, written {summary['created'][:10]} "
        f"by mlff {summary['program_version']}{unfinished}"
    )
    trajectories = _count(summary["num_trajectories"], "trajectory", "trajectories")
    if summary["num_frames_without_trajectory"]:
        trajectories += f" and {summary['num_frames_without_trajectory']:,} frames of unknown trajectory"
    odd = ", ".join(f"{count} {status}" for status, count in summary["statuses"].items() if status != "complete")
    systems = _count(len(summary["systems"]), "system")
    lines.append(f"  {summary['num_frames']:,} frames, {systems}, {trajectories}{odd and f' ({odd})'}")
    shown = [each for each in summary["systems"] if each["name"] == only] if only else summary["systems"]
    if len(shown) <= 2:
        for system in shown:
            lines += ["", *_render_system(system)]
    else:
        lines += ["", *_table(shown[:25])]
        lines += [f"  and {len(shown) - 25} more"] if len(shown) > 25 else []
        lines.append("  more of one of them: --system NAME")
    if summary["report"]:
        lines += ["", f"problems found on import: {len(summary['report']):,} (in full: --json)"]
        lines += [f"  ! {each if len(each) <= 112 else each[:109] + '...'}" for each in condensed(summary["report"], 8)]
    lines += ["", "splits" if summary["splits"] else "no splits; make one with `mlff data split FILE --by time`"]
    for name, split in summary["splits"].items():
        sizes = ", ".join(f"{part} {split[part]:,}" for part in ("train", "val", "test"))
        lines.append(f"  {name:<12} {sizes} ({split['kind']})")
    return "\n".join(lines)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _table(systems: list[dict[str, Any]]) -> list[str]:
    """A line a system."""
    rows = [("system", "frames", "trajectories", "atoms", "states", "charge", "program and level of theory")]
    rows += [
        (
            each["name"],
            f"{each['num_frames']:,}",
            f"{each['num_trajectories']:,}",
            str(each["num_atoms"]),
            str(each["num_states"]),
            _charge(each["charge"]),
            f"{each['program']} {each['level_of_theory']}".strip()[:50],
        )
        for each in systems
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        f"  {row[0]:<{widths[0]}}  " + "  ".join(f"{row[k]:>{widths[k]}}" for k in range(1, 6)) + f"  {row[6]}".rstrip()
        for row in rows
    ]


def _charge(charge: float) -> str:
    return f"{charge:+g}" if charge else "0"


def _render_system(system: dict[str, Any]) -> list[str]:
    facts = [
        _count(system["num_frames"], "frame"),
        _count(system["num_atoms"], "atom"),
        _count(system["num_states"], "state"),
        f"charge {_charge(system['charge'])}",
        _count(system["num_trajectories"], "trajectory", "trajectories"),
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
            text += f"; {_count(system['num_hops'], 'hop')}" if system["num_hops"] is not None else ""
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
