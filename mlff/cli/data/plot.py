"""``mlff data plot``: pictures of what a native file holds."""

from __future__ import annotations

from pathlib import Path

import click

KINDS = ("energies", "gaps", "forces", "populations", "coordinates")
"""The pictures, repeated here so that ``--help`` imports none of them; a test holds the two together."""


@click.command("plot")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FOLDER", type=click.Path(path_type=Path),
    help="Folder of the pictures; FILE's name with -plots, in the working folder, if not given.",
)
@click.option(
    "--kind", "kinds", metavar="KIND,...", help=f"Which pictures to draw, with commas: {', '.join(KINDS)}; all if not given."
)
@click.option(
    "--trajectory", "trajectories", metavar="NAME", multiple=True,
    help="Draw the frames of this trajectory alone; may be given several times.",
)
@click.option(
    "--internal", metavar="I-J[-K[-L]]", multiple=True,
    help="A distance I-J, an angle I-J-K or a torsion I-J-K-L, atoms counted from 0; may be given several times. "
    "Those that vary the most if not given.",
)
@click.option(
    "--format", "format_", type=click.Choice(["png", "pdf", "svg"]), default="png", show_default=True,
    help="Format of the pictures.",
)
@click.option("--overwrite", is_flag=True, help="Replace pictures that exist.")
def command(
    file: Path, output: Path | None, kinds: str | None, trajectories: tuple[str, ...], internal: tuple[str, ...],
    format_: str, overwrite: bool,
) -> None:  # fmt: skip
    """Draw what FILE holds, each system on its own.

    Energies along trajectories with active state and hops, gaps between states, forces, populations in time, internal
    coordinates. Without names a few trajectories are chosen evenly. What the frames do not allow is left out, and said.
    The words azobenzene, chno and ch2nh2 stand for the data sets inside the package.

    \b
    mlff data plot ch2nh2.h5
    mlff data plot azobenzene --kind coordinates --internal 5-6-7-8 --internal 6-7
    mlff data plot ch2nh2.h5 --trajectory TRAJ_00002 --kind energies,populations --format pdf
    """
    from mlff.cli.data.source import open_data
    from mlff.data.plots.folder import draw_pictures

    dataset = open_data(file)
    pictures = draw_pictures(
        dataset,
        Path(f"{file.stem}-plots") if output is None else output,
        kinds=KINDS if kinds is None else list(dict.fromkeys(each.strip() for each in kinds.split(","))),
        trajectories=trajectories or None,
        internal=internal or None,
        format=format_,
        overwrite=overwrite,
    )
    left_out, drawn = [], 0
    for picture in pictures:
        if picture.path is None:
            left_out.append(picture)
        else:
            drawn += 1
            click.echo(f"{picture.path}: {picture.words}")
    reasons = [f"{each.kind} of {each.system}: {each.words}" for each in left_out]
    if not drawn:
        raise ValueError(f"no picture could be drawn from {file}: {'; '.join(reasons) or 'it has no frames'}")
    for reason in reasons:
        click.echo(f"left out: {reason}")
