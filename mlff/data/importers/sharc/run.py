"""SHARC runs (versions 2, 3, 4): a folder with ``output.dat``, ``output.dat`` + ``output.dat.nc``, or ``output.xyz``.

The active MCH state is the primary one: hops between diagonal states are mostly relabelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mlff.data.importers.sharc.ascii import read_ascii
from mlff.data.importers.sharc.lastqm import read_input, read_last_qm
from mlff.data.importers.sharc.netcdf import read_netcdf
from mlff.data.importers.sharc.raw import SharcFrames, SharcHeader, in_order
from mlff.data.importers.sharc.states import convert
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, Status, sha256, spacing


def matches(path: Path) -> bool:
    """A folder that SHARC ran in, or an ``output.dat`` of SHARC under any name."""
    if path.is_dir():
        if (path / "output.dat").is_file():
            return _begins(path / "output.dat")
        return all((path / name).is_file() for name in ("output.xyz", "input", "geom"))
    return path.is_file() and path.suffix == ".dat" and _begins(path)


def _begins(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(64).lstrip().startswith(b"SHARC_version")


def read_sharc(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectory of each run."""
    for path in paths:
        yield _trajectory(path)


def _trajectory(path: Path) -> ImportedTrajectory:
    folder = path if path.is_dir() else path.parent
    output = folder / "output.dat" if path.is_dir() else path
    if output.with_name("output.dat.nc").is_file() and output.name == "output.dat":
        source, (header, frames) = output.with_name("output.dat.nc"), read_netcdf(folder)
    elif output.is_file():
        source, (header, frames) = output, read_ascii(output)
    else:
        source, (header, frames) = folder / "output.xyz", read_last_qm(folder)
    frames = in_order(frames)
    name = path.resolve().name if path.is_dir() else f"{folder.resolve().name}/{path.stem}"
    facts, columns, doubts = convert(header, frames, _charge(folder, header))
    status, ending = _ending(folder, header, frames)
    problems = [f"{name}: {problem}" for problem in (*frames.problems, *ending, *doubts)]
    found = ", ".join(each for each in columns if each not in ("positions", "time", "step", "hop", "active_spin_state"))
    without_place = f"; no place for: {', '.join(frames.without_place)}" if frames.without_place else ""
    return ImportedTrajectory(
        facts,
        columns,
        name,
        dt=spacing(columns["time"]),
        status=status,
        source=str(source),
        sha256=sha256(source),
        problems=problems,
        notes=[f"{name}: {len(frames.step)} frames of {facts.program}, {source.name}: {found}{without_place}"],
        group=folder.resolve().parent.name,
    )


def _ending(folder: Path, header: SharcHeader, frames: SharcFrames) -> tuple[Status, list[str]]:
    """How the run ended: complete, crashed before its last step, or a file that holds less than the run wrote."""
    last = int(frames.step[-1])
    if header.nsteps < 0 or last >= header.nsteps:
        return ("truncated" if frames.cut else "complete"), []
    listed = _last_listed(folder / "output.lis")
    if listed > last + 1:
        return "truncated", [f"the frames end at step {last}, but the run went on to step {listed}"]
    return "crashed", [f"the run ended at step {last} of {header.nsteps}"]


def _last_listed(path: Path) -> int:
    if not path.is_file():
        return -1
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4096))
        words = [line.split() for line in stream.read().decode(errors="replace").splitlines()[1:]]
    return max((int(row[0]) for row in words if len(row) > 4 and row[0].isdigit()), default=-1)


def _charge(folder: Path, header: SharcHeader) -> float | None:
    """The total charge where the run's input says it: one number for each multiplicity, from SHARC 4 on."""
    words = read_input(folder).get("charge", [])
    try:
        charges = {float(word) for word, count in zip(words, header.states_per_multiplicity) if count}
    except ValueError:
        return None
    return charges.pop() if len(charges) == 1 else None


SHARC = Importer(matches, read_sharc, description="a folder of a SHARC run (output.dat, output.dat.nc or output.xyz)")
