"""H5MD (https://nongnu.org/h5md/h5md.html): a trajectory for each particles group; ours with all that frames carry.

Units come from the `unit` attributes; where a file has none, angstrom, fs, eV and amu are assumed, and that is reported.
Elements that were sampled at other steps than the positions are put at their steps. Species are enumerations of element
symbols or atomic numbers; the elements follow from the masses where there are no species.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from mlff.data.importers.h5md.elements import ParticlesGroup, text
from mlff.data.importers.h5md.system import atomic_numbers, stored_facts
from mlff.data.importers.trajectory import (
    ImportedTrajectory,
    Importer,
    ImportOptions,
    SystemFacts,
    sha256,
    spacing,
)
from mlff.data.schema import DAMAGE, FRAME_DATASETS, SPLIT_PARTS, STATUSES
from mlff.properties import PROPERTIES

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_STANDARD = {"positions": "position", "velocities": "velocity"}  # ours -> H5MD's name
_ENERGIES = ("energy", "potential_energy")
_READ_APART = {"position", "velocity", "force", "box", "species", "mass", "id", "charge", "image"}


def read_h5md(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectories of each file, one at a time."""
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path.name} is a folder; an H5MD file was expected")
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path.name} is damaged or no HDF5 file: {error}") from error
        with file:
            yield from _read(file, path)


def _read(file: h5py.File, path: Path) -> Iterator[ImportedTrajectory]:
    try:
        anything = "particles" in file
        groups = [file[f"particles/{name}"] for name in (file["particles"] if anything else ())]
        groups = [group for group in groups if isinstance(group, h5py.Group) and "position" in group]
    except DAMAGE as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if not anything:
        raise ValueError(f"{path.name} is no H5MD file: it has no group `particles`")
    if not groups:
        raise ValueError(f"{path.name} holds no trajectory: no group under `particles` has a `position`")
    digest = sha256(path)
    for group in groups:
        parts = ParticlesGroup(group, f"{path.name} {group.name.rsplit('/', 1)[1]}")
        try:
            trajectory = _trajectory(file, path, parts, alone=len(groups) == 1)
        except DAMAGE as error:
            message = str(error)
            trajectory = ImportedTrajectory(SystemFacts(()), {}, None)
            parts.problems.append(
                message if message.startswith(parts.label) else f"{parts.label}: it cannot be read: {message}"
            )
        trajectory.problems = parts.problems
        trajectory.source, trajectory.sha256 = f"{path}:{group.name}", digest
        yield trajectory


def _trajectory(file: h5py.File, path: Path, parts: ParticlesGroup, *, alone: bool) -> ImportedTrajectory:
    name = parts.name
    kept = file.get(f"parameters/mlff/trajectories/{name}")
    positions = parts.positions()
    num_frames, num_atoms = positions.shape[:2]
    columns: dict[str, np.ndarray] = {"positions": positions}
    observables = [each for each in (f"observables/{name}", "observables" if alone else "") if each in file]
    if kept is not None:
        facts = stored_facts(file[f"parameters/mlff/systems/{text(kept.attrs['system'])}"], parts)
        _stored_columns(file, parts, columns)
    else:
        masses, numbers = parts.masses(num_atoms), atomic_numbers(parts, num_atoms)
        facts = SystemFacts(numbers, masses=masses, program=_program(file))
        _general_columns(file, parts, columns, observables, num_frames, num_atoms)
        if "energy" in columns and columns["energy"].shape[1] > 1:
            facts = SystemFacts(numbers, columns["energy"].shape[1], masses=masses, program=_program(file))
    columns |= parts.box(num_frames)
    time, step = parts.times()
    if time is not None:
        columns["time"] = time
    if step is not None:
        columns["step"] = step
    held = ", ".join(each for each in columns if each not in ("time", "step", "hop", "pbc"))
    said = [f"{parts.label}: {num_frames} frames; {held}"]
    if kept is None:
        return ImportedTrajectory(
            facts, columns, path.stem if alone else name, dt=spacing(columns.get("time", np.zeros(0))), notes=said,
            group=path.stem,
        )  # fmt: skip
    codes, notes = _split(kept)
    status = text(kept.attrs.get("status", "complete"))
    return ImportedTrajectory(
        facts,
        columns,
        text(kept.attrs["name"]) if "name" in kept.attrs else None,
        dt=float(kept.attrs.get("dt", np.nan)),
        status=status if status in STATUSES[:3] else "complete",  # type: ignore[arg-type]
        notes=said + [f"{parts.label}: {note}" for note in notes],
        parts=codes,
        group=path.stem,
    )


def _stored_columns(file: h5py.File, parts: ParticlesGroup, columns: dict[str, np.ndarray]) -> None:
    """Every quantity of a file that `mlff data export` wrote."""
    observables = file.get(f"observables/{parts.name}", {})
    for name, each in PROPERTIES.items():
        parent = parts.group if "N" in each.axes else observables
        key = _STANDARD.get(name, name)
        if name == "positions" or key not in parent or not isinstance(parent[key], h5py.Group):
            continue
        values = parts.values(parent[key], each.unit, each.name)
        if values is not None:
            columns[name] = values.astype(FRAME_DATASETS[name][0])


def _general_columns(
    file: h5py.File,
    parts: ParticlesGroup,
    columns: dict[str, np.ndarray],
    observables: Sequence[str],
    num_frames: int,
    num_atoms: int,
) -> None:
    """Velocities, forces and energies of a file that another program wrote."""
    for name, key in (("velocities", "velocity"), ("forces", "force")):
        if key not in parts.group:
            continue
        values = parts.values(parts.group[key], PROPERTIES[name].unit, key)
        if values is not None and values.shape == (num_frames, num_atoms, 3):
            columns[name] = values
        elif values is not None:
            parts.problems.append(f"{parts.label}: `{key}` has shape {values.shape}: not read")
    for where in observables:
        energy = next((each for each in _ENERGIES if each in file[where]), None)
        if energy is None:
            continue
        values = parts.values(file[where][energy], "eV", energy)
        if values is not None and values.ndim <= 2 and len(values) == num_frames:
            columns["energy"] = values.reshape(num_frames, -1).astype(np.float64)
            if energy == "potential_energy" and "h5md/modules/thermodynamics" in file:  # there: of one particle
                columns["energy"] *= num_atoms
            break
    if "forces" in columns:
        num_states = columns["energy"].shape[1] if "energy" in columns else 1
        forces = np.full((num_frames, num_atoms, num_states, 3), np.nan)
        forces[:, :, 0] = columns["forces"]
        columns["forces"] = forces
        if num_states > 1:
            parts.problems.append(
                f"{parts.label}: {num_states} energies and one force: taken as that of the first state"
            )
    for key in sorted(set(parts.group) - _READ_APART):
        parts.problems.append(f"{parts.label}: `{key}` is not read: not a quantity that is known here")
    if "image" in parts.group:
        parts.problems.append(f"{parts.label}: `image` is not read: positions are as they are in the box")


def _split(kept: h5py.Group) -> tuple[tuple[str | None, ...], list[str]]:
    """The part of each frame in the file's split, and a line where there are several."""
    splits = list(kept.get("splits", {}))
    if not splits:
        return (), []
    name = "given" if "given" in splits else str(splits[0])
    words: tuple[str | None, ...] = (None, *SPLIT_PARTS)
    others = [each for each in splits if each != name]
    notes = [f"its split {name!r} is read, not {', '.join(others)}"] if others else []
    return tuple(words[int(code)] for code in kept[f"splits/{name}"][:]), notes


def _program(file: h5py.File) -> str:
    creator = file.get("h5md/creator")
    if creator is None:
        return ""
    return " ".join(text(creator.attrs[key]) for key in ("name", "version") if key in creator.attrs)


def _is_h5md(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(8) != _SIGNATURE:
            return False
    try:
        with h5py.File(path, "r") as file:
            return "h5md" in file and "particles" in file
    except DAMAGE:
        return path.suffix.lower() == ".h5md"  # damaged; reading it says how


H5MD = Importer(_is_h5md, read_h5md, ("every",), description="molecular dynamics in HDF5 (H5MD)")
