"""``mlff data``: trajectories into the native file, a look into it, splits."""

from __future__ import annotations

import click

from mlff.cli.group import LazyGroup

COMMANDS = {
    "import": ("mlff.cli.data.import_", "Read trajectories and write one native file."),
    "info": ("mlff.cli.data.info", "What a native file holds, in a screenful."),
    "plot": ("mlff.cli.data.plot", "Draw energies, gaps, forces, populations, coordinates."),
    "split": ("mlff.cli.data.split", "Divide the frames into train, val and test."),
    "export": ("mlff.cli.data.export", "Write the frames in another format."),
    "finalize": ("mlff.cli.data.finalize", "Make a growing or older file final."),
}


@click.group(name="data", cls=LazyGroup, commands_in=COMMANDS)
def command() -> None:
    """Import trajectories, look into a data file, split it, export it.

    \b
    mlff data import azo.zip -o azo.h5
    mlff data info azo.h5
    mlff data plot azo.h5
    mlff data split azo.h5 --by trajectory --fractions 0.8 0.1 0.1
    mlff data export azo.h5 --to extxyz -o azo.xyz
    """
