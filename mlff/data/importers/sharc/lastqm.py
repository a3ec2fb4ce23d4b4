"""A SHARC run without ``output.dat``: geometries and states of ``output.xyz``, and what ``QM/QM.out`` says of the last.

``QM.out`` is overwritten every step, so energies, gradients, couplings and dipoles exist for one frame only, and are
missing in the others. Its energies are absolute.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlff.data.importers.sharc.raw import SharcFrames, SharcHeader
from mlff.units import ATOMIC_TIME, BOHR, ELECTRON_MASS, HARTREE

_SAME_ENERGY = 1e-4  # hartree, between QM.out's active state and the frame's energy in output.lis


def read_input(folder: Path) -> dict[str, list[str]]:
    """The keywords of a run's ``input``; empty where there is none."""
    path = folder / "input"
    result: dict[str, list[str]] = {}
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            words = line.split("#")[0].replace('"', " ").split()
            if words:
                result.setdefault(words[0].lower(), words[1:])
    return result


def read_last_qm(folder: Path) -> tuple[SharcHeader, SharcFrames]:
    """Settings (input, geom) and frames (output.xyz, output.lis, veloc, QM/QM.out) of a run."""
    keys = read_input(folder)
    numbers, masses = _atoms(folder / "geom")
    positions, time, states, problems, cut = _geometries(folder / "output.xyz", len(numbers))
    try:
        nstates = tuple(int(word) for word in keys["nstates"])
        stepsize = float(keys["stepsize"][0])
        nsteps = round(float(keys["tmax"][0]) / stepsize)
        ezero = float(keys.get("ezero", ["0"])[0])
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"the file input lacks nstates, stepsize or tmax ({error})") from error
    header = SharcHeader(_version(folder), nstates, numbers, masses, stepsize / ATOMIC_TIME, nsteps, ezero)
    frames = SharcFrames(
        step=np.round(time / stepsize).astype(np.int64),
        time=time / ATOMIC_TIME,
        positions=positions / BOHR,
        diagonal_state=states[:, 0],
        mch_state=states[:, 1],
        problems=problems,
        cut=cut,
    )
    kinetic, potential = _listed(folder / "output.lis", frames)
    if np.isfinite(kinetic).any():
        frames.kinetic_energy = kinetic / HARTREE
    _first_velocities(folder / "veloc", frames)
    _last_frame(folder / "QM" / "QM.out", header, frames, potential[-1] / HARTREE + ezero)
    return header, frames


def _atoms(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    rows = [line.split() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    try:
        numbers = tuple(round(float(row[1])) for row in rows)
        return numbers, tuple(float(row[5]) / ELECTRON_MASS for row in rows)
    except (ValueError, IndexError) as error:
        raise ValueError(f"the file geom cannot be read ({error})") from error


def _geometries(path: Path, num_atoms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], bool]:
    """Positions (angstrom), times (fs), (diagonal, MCH) states, problems, and whether the file ends within a frame."""
    text = path.read_text(errors="replace")
    lines = text.splitlines()
    begins = [k - 1 for k, line in enumerate(lines) if k and line.lstrip().startswith("t=")]
    positions, times, states, problems, cut = [], [], [], [], False
    if any(line.strip() for line in lines[: begins[0] if begins else None]):
        problems.append("output.xyz: what is before the first frame dropped")
    for k, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        block = [line for line in lines[k:end] if line.strip()]
        last = end == len(lines)
        try:
            words = block[1].replace("t=", " ").split()
            rows = np.array([[float(word) for word in line.split()[1:4]] for line in block[2:]])
            if rows.shape != (num_atoms, 3) or (last and not text.endswith("\n")):
                raise ValueError("it is not whole")
            entry = float(words[0]), (int(words[1]), int(words[2]))
        except (ValueError, IndexError) as error:
            problems.append(f"output.xyz, line {k + 1}: frame dropped, {error}")
            cut = last
            continue
        positions.append(rows)
        times.append(entry[0])
        states.append(entry[1])
    if not positions:
        raise ValueError("output.xyz has no whole frame")
    return np.array(positions), np.array(times), np.array(states), problems, cut


def _listed(path: Path, frames: SharcFrames) -> tuple[np.ndarray, np.ndarray]:
    """Kinetic energy, and energy of the active state relative to ezero, in eV, of every frame; NaN where not listed."""
    steps, bad = frames.step, 0
    kinetic, potential = np.full(len(steps), np.nan), np.full(len(steps), np.nan)
    if path.is_file():
        rows: dict[int, list[str]] = {}
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            if len(words) >= 7 and words[0].isdigit():
                rows[int(words[0])] = words
        for k, step in enumerate(steps.tolist()):
            try:
                kinetic[k], potential[k] = (float(word) for word in rows[step][4:6])
            except (KeyError, ValueError):
                bad += 1
        if bad:
            frames.problems.append(f"output.lis does not say the kinetic energy of {bad} frames")
    return kinetic, potential


def _first_velocities(path: Path, frames: SharcFrames) -> None:
    """The velocities that the run began with belong to its first frame."""
    if not path.is_file() or frames.step[0] != 0:
        return
    words = path.read_text(errors="replace").split()
    try:
        first = np.array(words, dtype=np.float64).reshape(frames.positions.shape[1:])
    except ValueError:
        frames.problems.append("the file veloc cannot be read: the velocities of the first frame are missing")
        return
    frames.velocities = np.full(frames.positions.shape, np.nan)
    frames.velocities[0] = first


def _last_frame(path: Path, header: SharcHeader, frames: SharcFrames, energy: float) -> None:
    """Give the last frame what QM.out says, if it is the last frame that it is of."""
    if not path.is_file():
        frames.problems.append("there is no output.dat and no QM/QM.out, so no frame has energies")
        return
    num, atoms, count = header.num_spin_states, len(header.atomic_numbers), len(frames.step)
    held = _sections(path.read_text(errors="replace"))
    hamiltonian = _matrices(held.get(1, ""), 1, num)
    if hamiltonian is None:
        frames.problems.append("QM/QM.out has no whole Hamiltonian and was not read")
        return
    assert frames.mch_state is not None
    state = int(frames.mch_state[-1]) - 1
    said = hamiltonian[0].diagonal().real[state] if 0 <= state < num else np.nan
    if not np.isfinite(said):
        frames.problems.append("QM/QM.out was not read: it has no energy of the last frame's active state")
        return
    if np.isfinite(energy) and abs(said - energy) > _SAME_ENERGY:
        frames.problems.append(
            f"QM/QM.out is not of the last frame and was not read (energy {said:.6f}, {energy:.6f} in output.lis)"
        )
        return

    def read(number: int, what: str, values: np.ndarray | None) -> np.ndarray | None:
        if values is None and held.get(number, "").strip():
            frames.problems.append(f"QM/QM.out: the {what} are not whole and were not read")
        return values

    def last(value: np.ndarray | None) -> np.ndarray | None:
        if value is None:
            return None
        result = np.full((count, *value.shape), np.nan, dtype=value.dtype)
        result[-1] = value
        return result

    frames.hamiltonian = last(hamiltonian[0] - header.ezero * np.eye(num))
    frames.dipole = last(read(2, "dipoles", _matrices(held.get(2, ""), 3, num)))
    overlap = read(6, "overlaps", _matrices(held.get(6, ""), 1, num))
    frames.overlap = None if overlap is None else last(overlap[0])
    frames.gradients = last(read(3, "gradients", _vectors(held.get(3, ""), (num, atoms, 3))))
    frames.nac = last(read(5, "couplings", _vectors(held.get(5, ""), (num, num, atoms, 3))))
    for name, values in (("gradients", frames.gradients), ("nac", frames.nac)):
        if values is not None:  # the other frames have none: zeros, which mean not computed
            setattr(frames, name, np.nan_to_num(values))


def _sections(text: str) -> dict[int, str]:
    """The numbered sections of a QM.out, without their titles."""
    parts = re.split(r"(?m)^! (\d+) [^\n]*\n", text)
    return {int(number): body for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def _matrices(text: str, count: int, num: int) -> np.ndarray | None:
    """``[count, num, num]`` complex, each after a line with its two sizes; None if not whole."""
    rows = [line.split() for line in text.splitlines() if len(line.split()) > 2]
    try:
        return np.array(rows, dtype=np.float64).reshape(count, num, num, 2).view(np.complex128)[..., 0]
    except ValueError:
        return None


def _vectors(text: str, shape: tuple[int, ...]) -> np.ndarray | None:
    rows = [line.split() for line in text.splitlines() if "!" not in line and len(line.split()) == 3]
    try:
        return np.array(rows, dtype=np.float64).reshape(shape)
    except ValueError:
        return None


def _version(folder: Path) -> str:
    path = folder / "output.log"
    found = re.search(r"Version:\s*(\S+)", path.read_text(errors="replace")) if path.is_file() else None
    return found.group(1) if found else "unknown"
