"""SHNITSEL: netCDF 4 files with a group per compound and in it one per trajectory, units in attributes.

Their "forces" are gradients for several sources and their velocities are not always velocities, so both are measured
along each trajectory: the sign is corrected, what cannot be confirmed is masked, and the report says so.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from mlff.data.importers.shnitsel.measures import Agreement, energy_against_forces, velocities_against_positions
from mlff.data.importers.shnitsel.members import Member, members
from mlff.data.importers.shnitsel.netcdf import TrajectoryGroup, attribute, damaged_heap
from mlff.data.importers.shnitsel.own_process import in_own_process
from mlff.data.importers.shnitsel.soc import spin_orbit
from mlff.data.importers.shnitsel.system import state_pairs, system_facts, whole_number
from mlff.data.importers.trajectory import (
    ImportedTrajectory,
    Importer,
    ImportOptions,
    Status,
    SystemFacts,
    hops,
    sha256,
    spacing,
)
from mlff.data.schema import DAMAGE

_KNOWN = {"atXYZ", "energy", "forces", "nacs", "velocities", "dip_perm", "dip_trans", "e_kin", "time", "astate"}
_KNOWN |= {"sdiag", "socs", "soc"}
_COORDINATES = {"atNames", "atNums", "atom", "direction", "from", "to", "state", "statecomb", "time"}
_MARKS = (b"__shnitsel_format_version", b"DataTree_Level", b"atXYZ")


def read_shnitsel(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectories of each file, one at a time; the HDF5 library may end a process on a damaged file."""
    for path in paths:
        yield from in_own_process(read_file, path)


def read_file(path: Path) -> Iterator[ImportedTrajectory]:
    """The trajectories of one file, one at a time."""
    if (heap := damaged_heap(path)) is not None:
        raise ValueError(f"{path.name} is damaged: its strings cannot be read from byte {heap} on")
    try:
        file = h5py.File(path, "r")
    except DAMAGE as error:
        raise ValueError(f"{path.name} is damaged or no netCDF 4 file: {error}") from error
    with file:
        yield from _read(file, path)


def _read(file: h5py.File, path: Path) -> Iterator[ImportedTrajectory]:
    lost: list[str] = []
    unclear: list[str] = []
    try:
        found = members(file, lost, unclear)
    except DAMAGE as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if not found and not unclear:
        raise ValueError(f"{path.name} holds no trajectory: no group has a variable `atXYZ`")
    if lost or unclear:
        problems = [f"{path.name}: the group or variable {name} is damaged: not read" for name in lost]
        problems += [f"{path.name} {each}" for each in unclear]
        yield ImportedTrajectory(SystemFacts(()), {}, None, source=str(path), problems=problems)
    digest = sha256(path)
    pooled: dict[str, Agreement] = {}
    for member in found:
        parts = member.open(file, "")
        inside = _name(parts, path)
        parts.label = f"{path.name} {inside}"
        name = member.group
        said = ImportedTrajectory(SystemFacts(()), {}, None, source=str(path), problems=parts.problems)
        try:
            system, columns = _columns(parts)
            if "forces" in columns:
                _judge_forces(file, found, path, parts, columns, pooled)
        except DAMAGE as error:
            text = str(error)
            said.problems.append(
                text if text.startswith(path.name) else f"{parts.label}: the trajectory cannot be read: {text}"
            )
            yield said
            continue
        _judge_velocities(parts, columns)
        held = ", ".join(each for each in columns if each not in ("time", "hop"))
        yield ImportedTrajectory(
            system,
            columns,
            inside,
            dt=_dt(parts, columns),
            status=_status(parts, len(columns["positions"])),
            source=f"{path}:{name}",
            sha256=digest,
            problems=parts.problems,
            notes=[f"{parts.label}: {len(columns['positions'])} frames; {held}"],
            group=f"{path.stem}{name.rpartition('/')[0]}",
        )


def _name(parts: TrajectoryGroup, path: Path) -> str:
    """The folder that the trajectory came from, else its number."""
    source = attribute(parts.group, "trajectory_input_path") if parts.rows.identity is None else None
    if isinstance(source, str) and source.strip("/"):
        return source.rstrip("/").rsplit("/", 1)[-1]
    number = attribute(parts.group, "trajid") if parts.rows.identity is None else parts.rows.identity
    return str(number) if number is not None else (str(parts.group.name).strip("/").rsplit("/", 1)[-1] or path.stem)


def _columns(parts: TrajectoryGroup) -> tuple[SystemFacts, dict[str, np.ndarray]]:
    """Facts and columns, with the forces and velocities as the file has them; frames without positions left out."""
    positions = parts.read("atXYZ", ("time", "atom", "direction"))
    if positions is None:
        raise ValueError("its positions are not (time, atom, direction)")
    energy = parts.read("energy", ("time", "state"))
    if energy is None:
        raise ValueError("it has no energies")
    if positions.shape[2] != 3 or len(energy) != len(positions):
        raise ValueError(f"positions {positions.shape} and energies {energy.shape} do not fit together")
    num_frames, num_atoms, num_states = len(positions), positions.shape[1], energy.shape[1]
    states = parts.read("state", ("state",)) if "state" in parts.group else None
    labels = list(range(1, num_states + 1)) if states is None else [whole_number(value) for value in states]
    pairs, signs = state_pairs(parts, labels)
    columns: dict[str, np.ndarray] = {"positions": positions, "energy": energy}
    for name, source, axes, shape in (
        ("forces", "forces", ("time", "atom", "state", "direction"), (num_atoms, num_states, 3)),
        ("nac", "nacs", ("time", "atom", "statecomb", "direction"), (num_atoms, len(pairs), 3)),
        ("velocities", "velocities", ("time", "atom", "direction"), (num_atoms, 3)),
        ("kinetic_energy", "e_kin", ("time",), ()),
        ("time", "time", ("time",), ()),
        ("active_state", "astate", ("time",), ()),
        ("active_diagonal_state", "sdiag", ("time",), ()),
    ):
        values = parts.read(source, axes) if source in parts.group else None
        if values is not None and values.shape == (num_frames, *shape):
            columns[name] = values
        elif values is not None:
            parts.problems.append(f"{parts.label}: `{source}` has shape {values.shape}: not read")
    for name in ("forces", "nac"):
        if name in columns and num_atoms > 1:  # exact zeros of all atoms: not computed
            zero = (columns[name] == 0).all(axis=(1, 3), keepdims=True)
            columns[name] = np.where(zero, np.nan, columns[name])
    if "nac" in columns:
        order = sorted(range(len(pairs)), key=pairs.__getitem__)
        columns["nac"] = columns["nac"][:, :, order] * np.array(signs)[order, None]
        pairs = [pairs[k] for k in order]
    dipole_pairs = _dipoles(parts, columns, num_frames, num_states, *state_pairs(parts, labels)[:1])
    if "active_state" in columns:
        index = {label: k for k, label in enumerate(labels)}
        columns["active_state"] = np.array(
            [index.get(whole_number(v), -1) for v in columns["active_state"]], dtype=np.int16
        )
    if "active_diagonal_state" in columns:
        diagonal = [whole_number(value) for value in columns["active_diagonal_state"]]
        columns["active_diagonal_state"] = np.array([max(value - 1, -1) for value in diagonal], dtype=np.int16)
    coupling, soc_pairs, components = spin_orbit(parts, labels, num_frames)
    columns |= coupling
    unread = sorted(
        name
        for name, node in parts.group.items()
        if isinstance(node, h5py.Dataset)
        and name not in _KNOWN | _COORDINATES
        and node.ndim > 1
        and not name.startswith(("state_", "full_statecomb"))
    )
    parts.problems += [f"{parts.label}: `{name}` is not read: not a quantity that is known here" for name in unread]
    whole = np.isfinite(positions).all(axis=(1, 2)) & np.isfinite(energy).any(axis=1)
    if not whole.any():
        raise ValueError("no frame has positions and energies")
    if not whole.all():
        parts.problems.append(f"{parts.label}: {int((~whole).sum())} frames dropped without positions or energies")
    columns = {name: values[whole] for name, values in columns.items()}
    if "active_state" in columns:
        columns["hop"] = hops(columns["active_state"])
    facts = system_facts(parts, num_atoms, num_states, tuple(pairs) if "nac" in columns else (), dipole_pairs)
    return replace(facts, soc_pairs=soc_pairs, spin_states=components), columns


def _dipoles(
    parts: TrajectoryGroup,
    columns: dict[str, np.ndarray],
    num_frames: int,
    num_states: int,
    pairs: list[tuple[int, int]],
) -> tuple[tuple[int, int], ...]:
    """Put state and transition dipoles into one column; their pairs."""
    found: dict[tuple[int, int], np.ndarray] = {}
    diagonal = [(state, state) for state in range(num_states)]
    for name, axis, at in (("dip_perm", "state", diagonal), ("dip_trans", "statecomb", pairs)):
        values = parts.read(name, ("time", axis, "direction")) if name in parts.group else None
        if values is not None and values.shape == (num_frames, len(at), 3):
            found |= {pair: values[:, k] for k, pair in enumerate(at)}
    if found:
        columns["dipole"] = np.stack([found[pair] for pair in sorted(found)], axis=1)
    return tuple(sorted(found))


def _judge_forces(
    file: h5py.File,
    found: Sequence[Member],
    path: Path,
    parts: TrajectoryGroup,
    columns: dict[str, np.ndarray],
    pooled: dict[str, Agreement],
) -> None:
    """Correct the sign of the forces, or mask them, by dE against -F.dx of this trajectory, else of its program's."""
    seen = energy_against_forces(columns["positions"], columns["energy"], columns["forces"])
    along = "along the trajectory"
    if not seen.sign and not (seen.known and abs(seen.correlation) > 0.9):
        program = str(parts.said("input_format"))
        if program not in pooled:
            pooled[program] = _pool(file, found, path, program)
        seen, along = pooled[program], f"along all trajectories of {program} in the file"
    if seen.sign == -1:
        columns["forces"] = -columns["forces"]
        parts.problems.append(
            f"{parts.label}: its forces are gradients (dE is {seen.slope:.2f} times -F.dx {along}): sign corrected"
        )
    elif not seen.sign:
        columns["forces"] = np.full_like(columns["forces"], np.nan)
        why = (
            f"dE is {seen.slope:.2f} times -F.dx {along}, correlation {seen.correlation:.2f}"
            if seen.known
            else "too few frames with forces to measure their sign"
        )
        parts.problems.append(f"{parts.label}: its forces are masked: {why}")


def _pool(file: h5py.File, found: Sequence[Member], path: Path, program: str) -> Agreement:
    """The agreement over all trajectories of one program."""
    total = Agreement()
    for member in found:
        parts = member.open(file, path.name)
        if str(parts.said("input_format")) != program:
            continue
        try:
            _, columns = _columns(parts)
        except DAMAGE:
            continue
        if "forces" in columns:
            total += energy_against_forces(columns["positions"], columns["energy"], columns["forces"])
    return total


def _judge_velocities(parts: TrajectoryGroup, columns: dict[str, np.ndarray]) -> None:
    """Mask velocities that are not the time derivatives of the positions."""
    if "velocities" not in columns:
        return
    time = columns.get("time", np.full(len(columns["positions"]), np.nan))
    seen = velocities_against_positions(columns["positions"], columns["velocities"], time)
    if not seen.known:
        parts.problems.append(f"{parts.label}: its velocities could not be compared with finite differences")
    elif seen.sign != 1:
        columns["velocities"] = np.full_like(columns["velocities"], np.nan)
        parts.problems.append(
            f"{parts.label}: its velocities are masked: they are {seen.slope:.2f} times the finite differences of the "
            f"positions, correlation {seen.correlation:.2f}"
        )


def _dt(parts: TrajectoryGroup, columns: dict[str, np.ndarray]) -> float:
    if "time" in columns and len(columns["time"]) > 1:
        return spacing(columns["time"])
    said = parts.said("delta_t")
    return float(said) if isinstance(said, int | float) and said > 0 else float("nan")


def _status(parts: TrajectoryGroup, num_frames: int) -> Status:
    if parts.said("completed") in (False, 0):
        parts.problems.append(f"{parts.label}: the run did not complete ({num_frames} frames)")
        return "crashed"
    planned = parts.said("max_ts")
    if isinstance(planned, int) and num_frames < planned:
        parts.problems.append(f"{parts.label}: {num_frames} frames of {planned}")
        return "truncated"
    return "complete"


def _is_shnitsel(path: Path) -> bool:
    if path.suffix.lower() not in (".nc", ".nc4") or not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(8) != b"\x89HDF\r\n\x1a\n":
            return False
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(mark) >= 0 for mark in _MARKS)


SHNITSEL = Importer(_is_shnitsel, read_shnitsel, ("every",), description="trajectories of SHNITSEL (netCDF 4, .nc)")
