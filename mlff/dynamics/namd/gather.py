"""The trajectories of several runs, finished or not, as one dataset in which each is whole."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlff.data.dataset import HDF5Dataset
from mlff.data.pieces import merge_pieces

from .folder import RunFolder


@contextmanager
def gathered(sources: Sequence[Path]) -> Iterator[HDF5Dataset]:
    """The trajectories of runs (folders) and native files.

    What one finished file holds is read from it; else a copy is made, in which pieces of a run that still goes on, or that
    was killed, are put together. It goes when the block ends.

    Raises:
        ValueError: a folder without a run, a run that has written nothing yet, sources of different systems, or with
            trajectories of the same name.
    """
    files = [native_files(each) for each in sources]
    if len(files) == 1 and len(files[0]) == 1:
        dataset = HDF5Dataset(files[0][0])
        if max(Counter(each.name for each in dataset.trajectories if each.name).values(), default=1) == 1:
            yield dataset
            return
    names: dict[str, Path] = {}
    for source, held in zip(sources, files, strict=True):
        for name in {each.name for each in HDF5Dataset(held).trajectories if each.name}:
            own = name.partition("@")[0]  # several files of one run share their names
            if names.setdefault(own, source) != source:
                raise ValueError(f"{names[own]} and {source} both have a trajectory {own}; number those of further runs on, "
                                 f"with --first-trajectory")
    with tempfile.TemporaryDirectory(prefix="mlff-") as folder:
        whole = Path(folder) / "trajectories.h5"
        merge_pieces([each for held in files for each in held], whole)
        yield HDF5Dataset(whole)


def native_files(source: Path) -> list[Path]:
    """The native files of a run, finished or not, or the one that was named; a ValueError where there are none yet."""
    if not source.is_dir():
        return [source]
    run = RunFolder(source)
    run.read_about()
    files = [each.trajectories for each in (run, *run.parts) if each.trajectories.exists()]
    if not files:
        raise ValueError(f"the run in `{source}` has written no trajectories yet")
    return files
