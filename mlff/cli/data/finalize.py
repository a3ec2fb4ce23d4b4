"""``mlff data finalize``: bring a native file to its final form, in the current version of the schema."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("finalize")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Rewrite FILE as reading is fastest: after a writer was killed, or from an older version of the schema.

    A file that is as it should be is left alone. What the killed writer had added whole is kept.
    """
    from mlff.data import HDF5Dataset, HDF5Writer

    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}")
    before = file.stat()
    with HDF5Writer(file, "a"):
        pass
    dataset = HDF5Dataset(file)
    done = "is final already" if file.stat().st_mtime_ns == before.st_mtime_ns else "finalized"
    click.echo(
        f"{file} {done}: {len(dataset):,} frames, {len(dataset.trajectories):,} trajectories, "
        f"schema {dataset.attrs['schema_version']}"
    )
