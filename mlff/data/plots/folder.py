"""A folder of pictures: every kind that the frames allow, for each system of a native file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from mlff.data.dataset import HDF5Dataset
from mlff.data.internal import parse_internal
from mlff.data.plots.coordinates import plot_coordinates
from mlff.data.plots.energies import plot_energies
from mlff.data.plots.forces import plot_forces
from mlff.data.plots.gaps import plot_gaps
from mlff.data.plots.populations import plot_populations
from mlff.data.plots.shown import NothingToDraw
from mlff.figure import FORMATS, save

_PLOTS: dict[str, Callable[..., Figure]] = {
    "energies": plot_energies,
    "gaps": plot_gaps,
    "forces": plot_forces,
    "populations": plot_populations,
    "coordinates": plot_coordinates,
}
KINDS = tuple(_PLOTS)


@dataclass(frozen=True)
class Picture:
    """One picture of one system: its file and what it shows, or why there is none."""

    system: str
    kind: str
    path: Path | None  #: None where it was left out
    words: str  #: what it shows, or why it was left out


def draw_pictures(
    dataset: HDF5Dataset,
    folder: str | os.PathLike[str],
    *,
    kinds: Sequence[str] = KINDS,
    trajectories: Sequence[str] | None = None,
    internal: Sequence[str] | None = None,
    format: str = "png",
    overwrite: bool = False,
) -> Iterator[Picture]:
    """Draw the kinds of pictures for every system into ``folder``, and yield a Picture for each as it is done.

    Files are called KIND.FORMAT, of several systems SYSTEM-KIND.FORMAT. With ``trajectories`` the pictures are of these
    frames alone, and of the systems that have them. Refused before anything is drawn, by a ValueError, are unknown
    kinds, formats, trajectories and coordinates, and files that exist already unless ``overwrite``.
    """
    folder = Path(folder)
    _check(kinds, format)
    systems = _systems(dataset, trajectories, internal)
    prefix = {name: f"{name}-" if len(dataset.systems) > 1 else "" for name in systems}
    paths = {(name, kind): folder / f"{prefix[name]}{kind}.{format}" for name in systems for kind in kinds}
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the pictures with -o")
    existing = [path for path in paths.values() if path.exists()]
    if existing and not overwrite:
        raise ValueError(f"{existing[0]} exists already; name another folder with -o, or give --overwrite")

    def draw() -> Iterator[Picture]:
        for (name, kind), path in paths.items():
            plot = _PLOTS[kind]
            options = {"internal": internal} if kind == "coordinates" else {}
            try:
                if kind == "coordinates" and internal:
                    _check_atoms(dataset, name, internal)
                figure = plot(dataset, name, trajectories=systems[name], **options)
            except NothingToDraw as reason:
                yield Picture(name, kind, None, str(reason))
                continue
            folder.mkdir(parents=True, exist_ok=True)
            yield Picture(name, kind, save(figure, path), figure.get_suptitle().splitlines()[0])

    return draw()


def _check(kinds: Sequence[str], format: str) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"there is no picture {unknown[0] if unknown else ''!r}; there are: {', '.join(KINDS)}")
    if format not in FORMATS:
        raise ValueError(f"pictures are written as {', '.join(FORMATS)}; got {format!r}")


def _systems(
    dataset: HDF5Dataset, trajectories: Sequence[str] | None, internal: Sequence[str] | None
) -> dict[str, list[str] | None]:
    """Systems to draw, each with those of the trajectories that are its own (None: all frames)."""
    names = [each.name for each in dataset.systems]
    largest = max((each.num_atoms for each in dataset.systems), default=0)
    for text in internal or ():
        parse_internal(text, largest)
    if trajectories is None:
        return dict.fromkeys(names)
    owned: dict[str, list[str] | None] = {}
    for wanted in trajectories:
        dataset.trajectory(wanted)  # says which there are where there is none of this name
        for each in dataset.trajectories:
            if each.name == wanted:
                held = owned.setdefault(names[each.system], [])
                assert held is not None
                held.append(wanted)
    return owned


def _check_atoms(dataset: HDF5Dataset, name: str, internal: Sequence[str]) -> None:
    """A coordinate that fits only larger systems of the file leaves this one out."""
    num_atoms = next(each.num_atoms for each in dataset.systems if each.name == name)
    for text in internal:
        try:
            parse_internal(text, num_atoms)
        except ValueError as error:
            raise NothingToDraw(str(error)) from error
