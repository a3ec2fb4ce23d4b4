"""H5MD 1.1 (https://nongnu.org/h5md/h5md.html): a group of particles for each trajectory, and everything that frames carry.

``particles/NAME`` holds position, velocity, force of one state (in kJ/mol, the unit that MDAnalysis knows), box, species and
mass, and as further elements the forces and couplings of all states; ``observables/NAME`` the energies and all that has no
atom axis; ``parameters/mlff`` the systems, what is known of each trajectory, and the splits. Elements of a trajectory share
``step`` and ``time`` through hard links. A quantity that a trajectory does not have is not there; missing values are NaN.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
from ase.data import chemical_symbols

from mlff.data.exporters.selection import Block, Piece, Told
from mlff.data.h5md_units import h5md_text, into
from mlff.data.output_file import OutputFile
from mlff.data.schema import FRAME_DATASETS
from mlff.data.system import System
from mlff.properties import PROPERTIES

FORCE_UNIT = "kJ mol-1 Angstrom-1"
STANDARD = {"positions": "position", "velocities": "velocity"}  #: ours -> H5MD's name of the same thing
ELEMENTS = tuple(name for name in PROPERTIES if name not in ("cell", "pbc", "trajectory", "step", "time"))
"""Quantities that are elements: those with an atom axis of the particles group, the others of the observables group."""

_TEXT = h5py.string_dtype("ascii")


def write_h5md(pieces: Sequence[Piece], path: Path, state: int, advance: Callable[[int], None]) -> Told:
    """Write every piece as a particles group; ``state`` is the one of the element ``force``."""
    with OutputFile(path, "w") as file:
        _write_root(file)
        file.create_group("particles", track_order=True)  # trajectories stay in their order
        file.create_group("observables")
        kept = file.create_group("parameters/mlff")
        kept.attrs["state_of_force"] = state
        for piece in pieces:
            system = piece.system
            if f"systems/{system.name}" not in kept:
                _write_system(kept.create_group(f"systems/{system.name}"), system)
            name = _unused(file["particles"], piece.trajectory.name or f"{system.name}_frames")
            _write_trajectory(kept.create_group(f"trajectories/{name}"), piece)
            _write_frames(file, name, piece, state, advance)
            file.check()
    return [], 0


def _write_root(file: h5py.File) -> None:
    from mlff import __version__

    file.create_group("h5md/author").attrs["name"] = np.bytes_(_author())
    file["h5md"].attrs["version"] = np.array([1, 1])
    creator = file.create_group("h5md/creator")
    creator.attrs["name"], creator.attrs["version"] = np.bytes_("mlff"), np.bytes_(__version__)
    units = file.create_group("h5md/modules/units")
    units.attrs["version"] = np.array([1, 0])
    units.attrs["system"] = "eV, Angstrom, fs, u, e"


def _author() -> str:
    try:
        return getpass.getuser().encode("ascii", "replace").decode()
    except (OSError, KeyError, ImportError):  # a process of no user
        return "unknown"


def _unused(particles: h5py.Group, name: str) -> str:
    """The name as that of a group: without slashes, and not taken."""
    name = base = name.replace("/", "_").strip(".") or "trajectory"
    for k in range(2, len(particles) + 3):
        if name not in particles:
            break
        name = f"{base}_{k}"
    return name


def _write_system(group: h5py.Group, system: System) -> None:
    group.attrs.update(
        {
            "charge": system.charge,
            "level_of_theory": system.level_of_theory,
            "program": system.program,
            "phase": system.phase,
        }
    )
    group["multiplicity"] = np.array(system.multiplicities, dtype="i2")
    group["root"] = np.array(system.roots, dtype="i2")
    group.create_dataset("label", data=list(system.state_labels), dtype=h5py.string_dtype())
    for name, pairs in (("nac", system.nac_pairs), ("dipole", system.dipole_pairs), ("soc", system.soc_pairs)):
        group[f"pairs/{name}"] = np.array(pairs, dtype="i2").reshape(-1, 2)
    group["spin_states"] = np.array(system.spin_states, dtype="i2").reshape(-1, 2)


def _write_trajectory(group: h5py.Group, piece: Piece) -> None:
    trajectory = piece.trajectory
    group.attrs.update(
        {
            "system": piece.system.name,
            "dt": piece.dt,
            "status": trajectory.status,
            "source": trajectory.source,
            "source_sha256": trajectory.source_sha256,
        }
    )
    if trajectory.name is not None:
        group.attrs["name"] = trajectory.name
    for name, codes in piece.splits.items():
        group[f"splits/{name}"] = codes
        group[f"splits/{name}"].attrs["meaning"] = "0 none, 1 train, 2 val, 3 test"


def _write_frames(file: h5py.File, name: str, piece: Piece, state: int, advance: Callable[[int], None]) -> None:
    particles, observables = file.create_group(f"particles/{name}"), file.create_group(f"observables/{name}")
    symbols = {chemical_symbols[number]: int(number) for number in piece.system.atomic_numbers}
    particles.create_dataset("species", data=piece.system.atomic_numbers, dtype=h5py.enum_dtype(symbols, basetype="i2"))
    particles["mass"] = piece.system.masses
    particles["mass"].attrs.create("unit", h5md_text("amu"), dtype=_TEXT)
    elements = _Elements(particles, len(piece))
    to_force = 1 / into("eV/angstrom", FORCE_UNIT)
    for block in piece.blocks(advance):
        elements.write_times(block)
        for quantity in ELEMENTS:
            values = block.read(quantity)
            if values is None:
                continue
            parent = particles if "N" in PROPERTIES[quantity].axes else observables
            elements.write(parent, STANDARD.get(quantity, quantity), block, values, quantity)
            if quantity == "forces" and np.isfinite(values[:, :, state]).any():
                elements.write(parent, "force", block, (values[:, :, state] * to_force).astype("f4"), unit=FORCE_UNIT)
        _write_box(particles, elements, block)
    if not len(observables):
        del observables.parent[name]


def _write_box(particles: h5py.Group, elements: _Elements, block: Block) -> None:
    """Boundaries are one for the whole group in H5MD; where they change, each frame's are an element of their own."""
    cell, pbc = block.read("cell"), block.read("pbc")
    flags = np.zeros((len(block), 3), bool) if pbc is None else pbc
    box = particles.require_group("box")
    if "boundary" not in box.attrs:
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = np.array(["periodic" if each else "none" for each in flags[0]], dtype="S8")
        first = block.piece.system
        pbc_all = first.read("pbc", block.piece.rows) if first.has("pbc") else flags[:1]
        elements.changing = bool((pbc_all != pbc_all[0]).any())
    if elements.changing:
        elements.write(box, "mlff_pbc", block, flags)
    if cell is not None and cell.any():
        elements.write(box, "edges", block, cell, "cell")


class _Elements:
    """The time-dependent elements of one trajectory, which share their steps and times."""

    def __init__(self, particles: h5py.Group, num_frames: int) -> None:
        self.particles = particles
        self.num_frames = num_frames
        self.changing = False
        self.step: h5py.Dataset | None = None
        self.time: h5py.Dataset | None = None

    def write_times(self, block: Block) -> None:
        """Steps and times of the block's frames; frames are counted where the source says no step."""
        group = self.particles.require_group("position")
        system, rows = block.piece.system, block.piece.rows
        if self.step is None:
            self.step = group.create_dataset("step", (self.num_frames,), "i8")
            steps = system.read("step", rows) if system.has("step") else np.full(1, -1)
            self.step.attrs["counted"] = not (steps >= 0).all()
            if system.has("time") and np.isfinite(system.read("time", rows)).any():
                self.time = group.create_dataset("time", (self.num_frames,), "f8")
                self.time.attrs.create("unit", "fs", dtype=_TEXT)
        counted = np.arange(block.at.start, block.at.stop)
        self.step[block.at] = counted if self.step.attrs["counted"] else system.read("step", block.rows)
        if self.time is not None:
            self.time[block.at] = system.read("time", block.rows)

    def write(
        self, parent: h5py.Group, name: str, block: Block, values: np.ndarray, quantity: str = "", unit: str = ""
    ) -> None:
        """Put the block's values into the element, which is made with the first of them; before it: missing."""
        group = parent.require_group(name)
        if "value" not in group:
            missing = FRAME_DATASETS[quantity][1] if quantity else np.nan if values.dtype.kind == "f" else 0
            made = group.create_dataset("value", (self.num_frames, *values.shape[1:]), values.dtype, fillvalue=missing)
            if quantity:
                unit = h5md_text(PROPERTIES[quantity].unit)
                if PROPERTIES[quantity].convention:
                    made.attrs["convention"] = PROPERTIES[quantity].convention
            if unit:
                made.attrs.create("unit", unit, dtype=_TEXT)
            for key, shared in (("step", self.step), ("time", self.time)):
                if shared is not None and key not in group:
                    group[key] = shared
        group["value"][block.at] = values
