"""SHNITSEL: netCDF 4 with a group for each compound and in it one for each trajectory, in atomic units, NaN where missing.

netCDF 4 is HDF5 whose axes are dimension scales, so h5py writes it. Names, axes and units are those of SHNITSEL 1.2, whose
attributes are JSON text. Only trajectories have a place in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase.data import chemical_symbols

from mlff.data.exporters.selection import Block, Piece, Told, left_out
from mlff.data.output_file import OutputFile
from mlff.data.system import System
from mlff.units import ATOMIC_VELOCITY, BOHR, DEBYE, HARTREE

_HELD = {"positions", "velocities", "energy", "forces", "nac", "dipole", "soc_magnitude", "kinetic_energy", "active_state",
         "hop", "time"}  # fmt: skip
_VARIABLES: dict[str, tuple[tuple[str, ...], str, str, str]] = {
    "atXYZ": (("time", "atom", "direction"), "Bohr", "length", "Positions"),
    "energy": (("time", "state"), "Hartree", "energy", "Absolute energy"),
    "e_kin": (("time",), "Hartree", "energy", "Kinetic energy"),
    "velocities": (("time", "atom", "direction"), "au", "velocity", "Velocities of the atoms"),
    "forces": (("time", "state", "atom", "direction"), "Hartree/Bohr", "force", "Per-atom forces, -dE/dR"),
    "nacs": (("time", "statecomb", "atom", "direction"), "1/Bohr", "nacs", "Nonadiabatic couplings <i|d/dR|j>"),
    "dip_perm": (("time", "state", "direction"), "debye", "dipole", "Permanent dipoles"),
    "dip_trans": (("time", "statecomb", "direction"), "debye", "dipole", "Transition dipoles"),
    "socs": (
        ("time", "full_statecomb"),
        "au",
        "socs",
        "Spin-orbit couplings, root of the sum over the spin components",
    ),
    "astate": (("time",), "", "", "Active state in dynamic trajectories (MCH)"),
}  # name -> axes, unit, kind of unit, description
_PROGRAMS = {"newton-x": "newtonx", "sharc": "sharc", "pyrai2md": "pyrai2md"}
_TEXT = h5py.string_dtype()


def write_shnitsel(pieces: Sequence[Piece], path: Path, state: int, advance: Callable[[int], None]) -> Told:
    """Write every trajectory as a group; frames of no known trajectory are left out and counted in a sentence."""
    sentences = left_out(pieces, _HELD | {"pbc"}, "SHNITSEL")
    loose = sum(len(piece) for piece in pieces if piece.trajectory.name is None)
    if loose == sum(len(piece) for piece in pieces):
        raise ValueError(
            "SHNITSEL holds trajectories, and no frame that was chosen says which trajectory it is of; "
            "use `--to h5md`, `extxyz` or `ase-db`"
        )
    if loose:
        sentences.append(f"SHNITSEL holds trajectories: {loose} frames of no known trajectory were left out")
        advance(loose)
    if any(piece.system.has("pbc") and piece.system.read("pbc", piece.rows).any() for piece in pieces):
        sentences.append("SHNITSEL has no place for pbc: left out")
    with OutputFile(path, "w", track_order=True) as file:
        _attributes(file, {"DataTree_Level": "ShnitselDBRoot", "_MultiIndex_levels_from_attrs": 1})
        file.attrs["__shnitsel_format_version"] = "v1.2"
        number = 0
        for piece in pieces:
            if piece.trajectory.name is None:
                continue
            system = piece.system.name
            if system not in file:
                compound = file.create_group(system, track_order=True)
                info = {"compound_name": system}
                _attributes(compound, {"DataTree_Level": "CompoundGroup", "compound_info": info})
            _write_trajectory(file[system].create_group(str(number)), piece, number, advance)
            number += 1
            file.check()
    return sentences, loose


def _attributes(node: h5py.Group, values: dict[str, Any]) -> None:
    node.attrs["__attrs_json_encoded"] = 1
    node.attrs.update({key: json.dumps(value) for key, value in values.items()})


def _write_trajectory(group: h5py.Group, piece: Piece, number: int, advance: Callable[[int], None]) -> None:
    system, trajectory = piece.system, piece.trajectory
    program, _, version = system.program.partition(" ")
    facts = {
        "DataTree_Level": "TrajectoryData",
        "_MultiIndex_levels_for_statecomb": ["from", "to"],
        "_MultiIndex_levels_for_full_statecomb": ["full_statecomb_from", "full_statecomb_to"],
        "_MultiIndex_levels_from_attrs": 1,
        "input_format": _PROGRAMS.get(program.lower(), program or "unknown"),
        "input_format_version": version or "unknown",
        "input_type": "dynamic",
        "completed": trajectory.status == "complete",
        "max_ts": len(piece),
        "trajectory_input_path": trajectory.name,
        "trajid": number,
        "num_singlets": system.multiplicities.count(1),
        "num_doublets": system.multiplicities.count(2),
        "num_triplets": system.multiplicities.count(3),
    }
    facts |= {"delta_t": piece.dt, "t_max": piece.dt * (len(piece) - 1)} if np.isfinite(piece.dt) else {}
    facts |= {"est_level": system.level_of_theory} if system.level_of_theory else {}
    _attributes(group, facts)
    _write_coordinates(group, system, len(piece))
    for block in piece.blocks(advance):
        times = block.read("time")
        group["time"][block.at] = np.nan if times is None else times
        for name, values in _values(block).items():
            if name not in group:
                _variable(group, name, len(piece), values)
            group[name][block.at] = values


def _write_coordinates(group: h5py.Group, system: System, num_frames: int) -> None:
    """Dimension scales and what is known of atoms, states and pairs of states."""
    num_states, pairs = system.num_states, _pairs(system)
    group.create_dataset("time", (num_frames,), "f8", fillvalue=np.nan)
    _attributes_of(group["time"], "fs", "time", "Time in trajectory or timestep")
    group["state"] = np.arange(1, num_states + 1)
    group["atom"] = np.arange(system.num_atoms)
    group.create_dataset("direction", data=["x", "y", "z"], dtype=_TEXT)
    for name in ("time", "state", "atom", "direction"):
        group[name].make_scale(name)
    labels = [label or f"state {k + 1}" for k, label in enumerate(system.state_labels)]
    coordinates: dict[str, tuple[str, Any, Any]] = {
        "atNums": ("atom", system.atomic_numbers.astype("i8"), None),
        "atNames": ("atom", [chemical_symbols[number] for number in system.atomic_numbers], _TEXT),
        "state_names": ("state", labels, _TEXT),
        "state_types": ("state", np.array(system.multiplicities, dtype="i1"), None),
        "state_charges": ("state", np.full(num_states, system.charge, dtype="f4"), None),
    }
    for axis, joined, ends in (
        ("statecomb", pairs, ("from", "to")),
        ("full_statecomb", _ordered_pairs(system), ("full_statecomb_from", "full_statecomb_to")),
    ):
        if joined:
            scale = group.create_dataset(axis, (len(joined),), ">f4")
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{len(joined):10d}")
            for end, states in zip(ends, np.array(joined).T + 1, strict=True):
                coordinates[end] = (axis, states, None)
    for name, (axis, data, dtype) in coordinates.items():
        group.create_dataset(name, data=data, dtype=dtype).dims[0].attach_scale(group[axis])
    _attributes_of(group["state_charges"], "e", "charge", "Charge of the various states.")


def _variable(group: h5py.Group, name: str, num_frames: int, values: np.ndarray) -> None:
    axes, unit, kind, description = _VARIABLES[name]
    missing = np.nan if values.dtype.kind == "f" else -1
    made = group.create_dataset(name, (num_frames, *values.shape[1:]), values.dtype, fillvalue=missing)
    for k, axis in enumerate(axes):
        made.dims[k].attach_scale(group[axis])
    _attributes_of(made, unit, kind, description)


def _attributes_of(variable: h5py.Dataset, unit: str, kind: str, description: str) -> None:
    variable.attrs["long_name"] = json.dumps(description)
    if unit:
        variable.attrs["units"], variable.attrs["unitdim"] = json.dumps(unit), json.dumps(kind)
    if variable.dtype.kind == "f":
        variable.attrs["_FillValue"] = np.array([np.nan], variable.dtype)


def _pairs(system: System) -> list[tuple[int, int]]:
    return [(i, j) for i in range(system.num_states) for j in range(i + 1, system.num_states)]


def _ordered_pairs(system: System) -> list[tuple[int, int]]:
    """Pairs of the spin-orbit couplings, each in both directions; none where the system has no such couplings."""
    every = [(i, j) for i in range(system.num_states) for j in range(system.num_states) if i != j]
    return every if system.has("soc_magnitude") else []


def _values(block: Block) -> dict[str, np.ndarray]:
    """The block's variables in SHNITSEL's units and order of axes."""
    system, result = block.piece.system, {}
    for name, quantity, factor, order in (
        ("atXYZ", "positions", BOHR, None),
        ("energy", "energy", HARTREE, None),
        ("e_kin", "kinetic_energy", HARTREE, None),
        ("velocities", "velocities", ATOMIC_VELOCITY, None),
        ("forces", "forces", HARTREE / BOHR, (0, 2, 1, 3)),
        ("nacs", "nac", 1 / BOHR, (0, 2, 1, 3)),
    ):
        values = block.read(quantity)
        if values is not None:
            result[name] = values.astype(np.float64) / factor
            result[name] = result[name] if order is None else result[name].transpose(order)
    pairs = _pairs(system)
    if "nacs" in result:
        every = np.full((len(block), len(pairs), system.num_atoms, 3), np.nan)
        every[:, [pairs.index(pair) for pair in system.nac_pairs]] = result["nacs"]
        result["nacs"] = every
    dipole = block.read("dipole")
    if dipole is not None:
        diagonal = [(state, state) for state in range(system.num_states)]
        for name, wanted in (("dip_perm", diagonal), ("dip_trans", pairs)):
            own = [k for k, pair in enumerate(system.dipole_pairs) if pair in wanted]
            if own:
                result[name] = np.full((len(block), len(wanted), 3), np.nan)
                at = [wanted.index(system.dipole_pairs[k]) for k in own]
                result[name][:, at] = dipole[:, own].astype(np.float64) / DEBYE
    soc = block.read("soc_magnitude")
    if soc is not None:
        place = {pair: k for k, pair in enumerate(system.soc_pairs)}
        at = [place.get((min(pair), max(pair)), -1) for pair in _ordered_pairs(system)]
        result["socs"] = np.where(np.array(at) >= 0, soc[:, at], np.nan) / HARTREE
    active = block.read("active_state")
    if active is not None:
        result["astate"] = np.where(active >= 0, active + 1, -1).astype("i8")
    return result
