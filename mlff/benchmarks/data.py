"""How fast data are read: batches of a native file, extended xyz and SHARC text, each beside what people use for it.

Ours and theirs take turns within one process; what counts is the ratio, round by round, of their processor times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.importers import FORMATS, ImportOptions, import_sources

from .spread import Spread

ROUNDS = 7
BATCH = 32
ATOMS, STATES = 12, 3
COPIES = 4
BATCH_QUANTITIES = ("positions", "energy", "energy_valid", "forces", "forces_valid", "pbc", "cell", "stress", "stress_valid")
"""What a Batch holds, where the file has it."""


@dataclass(frozen=True)
class Comparison:
    """One line of the table: how many times faster ours is than theirs (or slower, where ``limit`` says so)."""

    name: str
    ours: Spread
    theirs: Spread
    unit: str
    ratio: Spread
    goal: float
    limit: bool = False  #: the ratio is ours / theirs and should stay below the goal; else theirs / ours, and above

    @property
    def reached(self) -> bool:
        """Whether the median ratio reaches the goal."""
        return self.ratio.median <= self.goal if self.limit else self.ratio.median >= self.goal

    def document(self) -> dict[str, Any]:
        """The line as values for JSON."""
        return {**asdict(self), "reached": self.reached}


def compare(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    frames: int,
    unit: str,
    goal: float,
    limit: bool = False,
) -> Comparison:
    """Time both in turn; ``frames`` are what one call goes through, ``unit`` is us/frame or ms/frame."""
    factor = {"us/frame": 1e6, "ms/frame": 1e3}[unit] / frames
    ours(), theirs()
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(ROUNDS)]
    ratios = (a / b if limit else b / a for a, b in times)
    return Comparison(
        name,
        Spread.of(a * factor for a, _ in times),
        Spread.of(b * factor for _, b in times),
        unit,
        Spread.of(ratios),
        goal,
        limit,
    )


def batch_comparisons(folder: Path, file: Path | None, num_frames: int) -> Iterator[Comparison]:
    """Shuffled batches of a native file beside h5py on a gzip-chunked copy, and beside numpy on arrays in memory.

    ``file`` is the native file; without one a file of ``num_frames`` frames of random numbers is made in ``folder``.
    h5py is given the indices in the rising order that it wants, and its frames are left in it.
    """
    dataset = HDF5Dataset(file or _made_file(folder / "frames.h5", num_frames))
    if len(dataset.systems) != 1:
        raise ValueError(f"{dataset.path} has {len(dataset.systems)} systems; a file with one was expected")
    system = dataset.systems[0]
    names = [name for name in BATCH_QUANTITIES if system.has(name)]
    memory = {name: system.read(name) for name in names}
    order = np.random.default_rng(0).permutation(len(dataset))[: 200 * BATCH]
    batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]

    def ours() -> None:
        for batch in batches:
            dataset.batch(batch)

    def from_memory() -> None:
        for batch in batches:
            for values in memory.values():
                values[batch]

    few = batches[:: max(1, len(batches) // 20)]
    with _gzip_copy(folder / "gzip.h5", memory) as copy:

        def h5py_indexing() -> None:
            for batch in few:
                rising = np.sort(batch)
                for name in names:
                    copy[name][rising]

        def ours_again() -> None:
            for batch in few:
                dataset.batch(batch)

        read = sum(len(batch) for batch in few)
        what = f"shuffled batches of {BATCH}, {len(dataset):,} frames of {system.num_atoms} atoms, {system.num_states} states"
        yield compare(f"{what}; h5py, gzip chunks", ours_again, h5py_indexing, frames=read, unit="us/frame", goal=20)
    yield compare(
        f"{what}; numpy, copied from memory", ours, from_memory, frames=len(order), unit="us/frame", goal=3, limit=True
    )


def xyz_comparison(folder: Path, file: Path | None) -> Comparison:
    """Import of an extended-xyz file into a native one, checks included, beside ``ase.io.iread`` of the same file.

    Raises:
        ValueError: the two read different numbers.
    """
    from ase.io import iread

    path = _made_xyz(folder / "azobenzene.xyz") if file is None else file
    imported = folder / "xyz.h5"

    def ours() -> None:
        import_sources([path], imported, overwrite=True)

    def theirs() -> list[Any]:
        return list(iread(path, index=":", format="extxyz"))

    ours()
    dataset, frames = HDF5Dataset(imported), theirs()
    if len(dataset) != len(frames):
        raise ValueError(f"{path}: ours read {len(dataset)} frames, ASE {len(frames)}")
    found = {_key(frame.positions): frame for frame in dataset}  # copies of a frame have the same numbers
    for atoms in frames:
        mine, known = found.get(_key(atoms.positions)), {} if atoms.calc is None else atoms.calc.results
        if mine is None or ("energy" in known and (mine.energy is None or mine.energy[0] != known["energy"])):
            raise ValueError(f"{path}: a frame's positions or energy differ from those that ASE reads")
        if mine.forces is not None and "forces" in known and (mine.forces[:, 0] != known["forces"].astype("f4")).any():
            raise ValueError(f"{path}: a frame's forces differ from those that ASE reads")
    what = f"extended xyz, {len(frames):,} frames; ase.io.iread"
    return compare(what, ours, theirs, frames=len(frames), unit="ms/frame", goal=5)


def sharc_comparisons(folder: Path, run: Path) -> Iterator[Comparison]:
    """A SHARC run read into arrays, and imported into a file (checks included), beside shnitsel-tools' way to the same.

    Raises:
        ImportError: shnitsel-tools is not installed.
    """
    try:
        from shnitsel.io import read, write_shnitsel_file  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError("shnitsel-tools is not installed; `pip install shnitsel-tools` to compare with it") from error
    options = ImportOptions()

    def ours() -> int:
        return sum(each.num_frames for each in FORMATS["sharc"].read([run], options))

    def whole() -> None:
        import_sources([run], folder / "sharc.h5", overwrite=True, format="sharc")

    def theirs() -> Any:
        return read(str(run), kind="sharc")

    def theirs_whole() -> None:
        write_shnitsel_file(theirs(), str(folder / "sharc.nc"))

    frames = ours()
    what = f"SHARC text, {frames:,} frames; shnitsel-tools"
    yield compare(f"{what}, into memory", ours, theirs, frames=frames, unit="ms/frame", goal=1)
    yield compare(f"{what}, into a file", whole, theirs_whole, frames=frames, unit="ms/frame", goal=1)


def _seconds(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


def _key(positions: np.ndarray) -> bytes:
    return np.ascontiguousarray(positions, dtype=np.float64).tobytes()


def _made_file(path: Path, num_frames: int) -> Path:
    """Random numbers in the shape of a surface-hopping data set: what is timed does not depend on their values."""
    random = np.random.default_rng(0)
    with HDF5Writer(path, durable=False) as writer:
        writer.add_system("made", [6] * ATOMS, num_states=STATES)
        for first in range(0, num_frames, 5000):
            count = min(5000, num_frames - first)
            columns = {
                "positions": random.normal(size=(count, ATOMS, 3)),
                "energy": random.normal(size=(count, STATES)),
                "forces": random.normal(size=(count, ATOMS, STATES, 3)),
            }
            writer.add_trajectory("made", columns, name=f"t{first}")
    return path


def _gzip_copy(path: Path, arrays: dict[str, np.ndarray]) -> Any:
    """The arrays in chunks of 64 frames, compressed as people compress them; open."""
    import h5py

    file = h5py.File(path, "w")
    for name, values in arrays.items():
        file.create_dataset(name, data=values, chunks=(min(64, len(values)), *values.shape[1:]), compression="gzip")
    file.flush()
    return file


def _made_xyz(path: Path) -> Path:
    """The embedded frames of azobenzene as ASE writes them, four times: as many frames as the published set has."""
    from ase.io import write

    from mlff.datasets import azobenzene

    atoms = [frame.to_ase() for frame in azobenzene()]
    for copy in range(COPIES):
        for each in atoms:
            each.info["trajectory"] = f"{each.info['trajectory']}-{copy}"
        write(path, atoms, format="extxyz", append=copy > 0)
    return path
