"""Extended xyz: text that ASE and every other package reads, numbers with as many digits as they have.

The keys ``energy``, ``forces`` and ``stress`` are of one state; with several states each has ``energy_0``, ``forces_0``,
``stress_0``, ... as well. What a frame lacks is left out of its comment line and of its columns; ``energy_0`` is then nan.
Keys: https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from mlff.data.exporters.selection import Block, Piece, Told, left_out, own_masses

_HELD = {"positions", "velocities", "cell", "pbc", "energy", "forces", "stress", "active_state", "hop", "step", "time",
         "kinetic_energy"}  # fmt: skip
_VOIGT = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # of a 3x3 matrix, row by row


def write_extxyz(pieces: Sequence[Piece], path: Path, state: int, advance: Callable[[int], None]) -> Told:
    """Write the frames one after another; ``state`` is the one of ``energy`` and ``forces``."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for piece in pieces:
            for block in piece.blocks(advance):
                stream.writelines(_frames(block, state))
    sentences = left_out(pieces, _HELD, "extended xyz")
    if any(any(piece.system.multiplicities) for piece in pieces):
        sentences.append("extended xyz has no place for the states' multiplicities: left out")
    return sentences, 0


def _frames(block: Block, state: int) -> list[str]:
    """The text of every frame of the block."""
    system, trajectory = block.piece.system, block.piece.trajectory
    num_atoms, num_states = system.num_atoms, system.num_states
    read = {name: block.read(name) for name in _HELD}
    if read["energy"] is None and system.has("energy"):
        read["energy"] = np.full((len(block), num_states), np.nan)
    columns = {"pos": _words(read["positions"])}
    if read["velocities"] is not None:
        columns["velocities"] = _words(read["velocities"])
    if read["forces"] is not None:
        for k in range(num_states):
            columns[f"forces_{k}"] = _words(read["forces"][:, :, k])
    symbols = [chemical_symbols[number] for number in system.atomic_numbers]
    masses = own_masses(system)
    constant = "" if trajectory.name is None else f" trajectory={_quoted(trajectory.name)}"
    constant += f" charge={system.charge!r}"
    if system.level_of_theory:
        constant += f" level_of_theory={_quoted(system.level_of_theory)}"
    has_forces = _known(read["forces"], (1, 3), (len(block), num_states))
    has_velocities = _known(read["velocities"], (1, 2), (len(block),))
    frames = []
    for k in range(len(block)):
        at = slice(k * num_atoms * 3, (k + 1) * num_atoms * 3)
        shown = {"pos": columns["pos"]}
        forces = [f"forces_{each}" for each in range(num_states) if has_forces[k, each]]
        if f"forces_{state}" in forces:
            shown["forces"] = columns[f"forces_{state}"]
        if num_states > 1:
            shown |= {name: columns[name] for name in forces}
        if has_velocities[k]:
            shown["velocities"] = columns["velocities"]
        properties = "species:S:1:" + ":".join(f"{name}:R:3" for name in shown)
        words: list[list[str]] = [symbols]
        for each in shown.values():
            inside = each[at]
            words += [inside[0::3], inside[1::3], inside[2::3]]
        if masses is not None:
            properties += ":masses:R:1"
            words.append(_words(masses))
        comment = f"{_cell(read, k)}Properties={properties}{_energies(read['energy'], k, state)}"
        comment += _stresses(read["stress"], k, state)
        comment += constant + _scalars(read, k)
        frames.append("\n".join([str(num_atoms), comment, *map(" ".join, zip(*words, strict=True)), ""]))
    return frames


def _words(values: np.ndarray | None) -> list[str]:
    """The shortest text of each number that reads back as the same number in its type."""
    assert values is not None
    flat = values.ravel()
    words: list[str] = list(map(repr, flat.tolist())) if flat.dtype == np.float64 else flat.astype("U").tolist()
    return words


def _known(values: np.ndarray | None, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Where all numbers along the axes are there."""
    return np.zeros(shape, bool) if values is None else np.isfinite(values).all(axis=axes)


def _cell(read: dict[str, np.ndarray | None], frame: int) -> str:
    cell, pbc = read["cell"], read["pbc"]
    text = ""
    if cell is not None and cell[frame].any():
        text = f'Lattice="{" ".join(_words(cell[frame]))}" '
    flags = [False] * 3 if pbc is None else pbc[frame].tolist()
    return f'{text}pbc="{" ".join("FT"[flag] for flag in flags)}" '


def _energies(energy: np.ndarray | None, frame: int, state: int) -> str:
    """With several states every one has its key, nan where it is not known, so that their number is seen."""
    if energy is None:
        return ""
    values = energy[frame].tolist()
    text = f" energy={values[state]!r}" if np.isfinite(values[state]) else ""
    if len(values) > 1:
        text += "".join(f" energy_{k}={value!r}" for k, value in enumerate(values))
    return text


def _stresses(stress: np.ndarray | None, frame: int, state: int) -> str:
    if stress is None:
        return ""
    named = {"stress": state} | ({f"stress_{k}": k for k in range(stress.shape[1])} if stress.shape[1] > 1 else {})
    return "".join(
        f' {name}="{" ".join(_words(stress[frame, k, _VOIGT]))}"'
        for name, k in named.items()
        if np.isfinite(stress[frame, k]).all()
    )


def _scalars(read: dict[str, np.ndarray | None], frame: int) -> str:
    text = ""
    for name in ("time", "step", "active_state", "hop", "kinetic_energy"):
        values = read[name]
        if values is not None:
            value = values[frame].item()
            if value == value and not (name in ("step", "active_state") and value < 0):
                text += f" {name}={value!r}"
    return text


def _quoted(text: str) -> str:
    """Text as a value of the comment line, in quotes where it needs them."""
    plain = text.isascii() and text.replace("_", "").replace("-", "").replace(".", "").isalnum()
    if plain:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
