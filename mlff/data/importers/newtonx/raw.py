"""Newton-X ``dyn.out`` and ``en.dat`` as they were written: atomic units, masses in amu, states from 1.

``dyn.out`` names the active state of the frame *before*: a hop shows there one frame later than in ``en.dat``, whose
active energy tells the state at the end of the step. Frames that are not whole are dropped and said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlff.data.importers.newtonx.restart import continued

_HEAD = re.compile(r"\s*(\d+)\s+Molecular dynamics on state\s+(\d+)\s+TIME =\s*(\d+\.\d*) fs\s*$")
_REJECTED = re.compile(r"N\. of rejec\. hoppings =\s*(\d+)")
_FUSED = re.compile(r"(\d)-(?=\d)")  # columns of Fortran that touch
_TITLES = {"geometry:": "geometry", "velocity:": "velocity", "acceleration:": "acceleration"}
_Shape = tuple[tuple[tuple[int, float], ...], int]  # (number, mass) of each atom, count of energies
_SAME_TIME = 0.0051  # fs: times are printed with two or three decimals


@dataclass
class DynFrames:
    """F whole frames of ``dyn.out``, one a time, in their order."""

    atomic_numbers: tuple[int, ...]
    masses: tuple[float, ...]  #: amu
    time: np.ndarray  #: [F] fs, as printed
    state_before: np.ndarray  #: i64 [F], from 1: the active state of the frame before
    rejected: np.ndarray  #: i64 [F], rejected hops up to the frame before
    positions: np.ndarray  #: [F,N,3] bohr
    velocities: np.ndarray  #: [F,N,3]
    acceleration: np.ndarray | None  #: [F,N,3], of the active state; zeros: not known; None: not printed
    energy: np.ndarray  #: [F,S] hartree
    total: np.ndarray  #: [F] hartree
    kinetic: np.ndarray  #: [F] hartree
    coefficients: np.ndarray | None  #: c16 [F,S], NaN where a frame has none; None: not printed
    dt: float  #: fs between printed frames, as the first lines say; NaN
    problems: list[str] = field(default_factory=list)
    cut: bool = False  #: whether the file ends within a frame


@dataclass
class EnFrames:
    """The lines of ``en.dat``."""

    time: np.ndarray  #: [F] fs
    energy: np.ndarray  #: [F,S] hartree
    active_energy: np.ndarray  #: [F]


@dataclass
class _Frame:
    state_before: int
    time: float
    rejected: int
    atoms: tuple[tuple[int, float], ...]
    positions: np.ndarray
    velocities: np.ndarray
    acceleration: np.ndarray | None
    energies: np.ndarray  # total, kinetic, then of the states
    coefficients: np.ndarray | None


def read_dyn(path: Path) -> DynFrames:
    """Every whole frame of ``dyn.out``."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    ragged = not text.endswith("\n")
    whole_lines = text[: text.rfind("\n") + 1]  # the numbers of a last line without its end may have lost digits
    first, *chunks = re.split(r"(?m)^STEP(?=\s)", whole_lines)
    read = [_frame(chunk) for chunk in chunks]
    frames = [each for each in read if isinstance(each, _Frame)]
    if not frames:
        raise ValueError(f"{path.name} has no whole frame" + (f": {read[0]}" if read else ""))
    shape = _common((frame.atoms, len(frame.energies)) for frame in frames)
    kept: list[_Frame] = []
    problems: list[str] = []
    for k, each in enumerate(read):
        if isinstance(each, _Frame) and (each.atoms, len(each.energies)) != shape:
            each = "its atoms or states are not those of the other frames"
        if isinstance(each, str):
            where = "the last frame" if k == len(read) - 1 else f"frame {k}"
            problems.append(f"{where} of {len(read)} in {path.name} dropped, {each}")
        else:
            kept.append(each)
        if chunks[k].count("geometry:") > 1:
            problems.append(f"{path.name}: a frame without its STEP line dropped, after frame {k} of {len(read)}")
    if "geometry:" in first:
        problems.append(f"{path.name}: a frame without its STEP line dropped, before the first of the others")
    if chunks and ragged and isinstance(read[-1], _Frame):
        problems.append(f"{path.name} ends within a line, after the energies of its last frame")
    if kept and kept[-1].coefficients is None and any(frame.coefficients is not None for frame in kept):
        ragged = True
    order, repeated, stray = continued([frame.time for frame in kept])
    if repeated:
        problems.append(f"{repeated} frames of {path.name} dropped, whose times the restarted run wrote again")
    if stray:
        problems.append(f"{stray} frames of {path.name} dropped, whose time stands out of line")
    kept = [kept[k] for k in order]
    cut = ragged or isinstance(read[-1], str)
    return _stacked(kept, _printed_dt(first), problems, cut=cut, name=path.name)


def read_en(path: Path, num_states: int) -> tuple[EnFrames, list[str]]:
    """The whole lines of ``en.dat``, one a time, and what was wrong with the others."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    lines = text[: text.rfind("\n") + 1].splitlines()
    rows = [_numbers(line, num_states + 3) for line in lines if line.strip()]
    whole = [row for row in rows if row is not None]
    problems = []
    if len(whole) < len(rows) or not text.endswith("\n"):
        lost = len(rows) - len(whole) + (not text.endswith("\n") and bool(text[text.rfind("\n") + 1 :].strip()))
        if lost:
            problems.append(f"{lost} lines of {path.name} cannot be read")
    order, _, stray = continued([row[0] for row in whole])
    if stray:
        problems.append(f"{stray} lines of {path.name} left out, whose time stands out of line")
    table = np.array([whole[k] for k in order]).reshape(-1, num_states + 3)
    return EnFrames(table[:, 0], table[:, 1 : 1 + num_states], table[:, 1 + num_states]), problems


def matching(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Index in ``others`` (ascending) of the same time as printed, for each of ``times``; -1 where there is none."""
    if not len(others):
        return np.full(len(times), -1)
    right = np.clip(np.searchsorted(others, times), 0, len(others) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(others[left] - times) < np.abs(others[right] - times), left, right)
    return np.where(np.abs(others[nearest] - times) <= _SAME_TIME, nearest, -1)


def _frame(chunk: str) -> _Frame | str:
    """One frame, or why it is not whole. What follows a second geometry belongs to another frame."""
    again = [match.start() for match in re.finditer("geometry:", chunk)][1:2]
    lines = (chunk[: again[0]] if again else chunk).splitlines()
    head = _HEAD.match(lines[0]) if lines else None
    if head is None:
        return "its STEP line cannot be read"
    blocks: dict[str, list[str]] = {}
    block: list[str] | None = None
    energies: np.ndarray | None = None
    waves: list[str] = []
    for line in lines[1:]:
        words = line.split()
        if not words:
            continue
        if words[-1] in _TITLES and len(words) <= 2:
            block = blocks.setdefault(_TITLES[words[-1]], [])
        elif line.startswith("%"):
            energies = _numbers(line[1:], None)
            block = None
        elif line.startswith(" Wave function state"):
            waves.append(line.partition(":")[2])
        elif block is not None and not words[0].startswith("Time"):
            block.append(line)
        else:
            block = None
    if "geometry" not in blocks or "velocity" not in blocks:
        return "its geometry or velocities are missing"
    if energies is None or len(energies) < 4:
        return "its energies are missing or cannot be read"
    if abs(energies[0] - float(head.group(3))) > 0.051:
        return "its two times differ"
    atoms, positions = _geometry(blocks["geometry"])
    velocities = _vectors(blocks["velocity"])
    if positions is None or velocities is None or len(positions) != len(velocities):
        return "its geometry or velocities cannot be read"
    acceleration = _vectors(blocks["acceleration"]) if "acceleration" in blocks else None
    if acceleration is not None and len(acceleration) != len(positions):
        acceleration = None
    rejected = _REJECTED.search(chunk)
    return _Frame(
        state_before=int(head.group(2)[:6]),
        time=float(head.group(3)),
        rejected=int(rejected.group(1)[:6]) if rejected else 0,
        atoms=atoms,
        positions=positions,
        velocities=velocities,
        acceleration=acceleration,
        energies=energies[1:],
        coefficients=_wave_function(waves, len(energies) - 3),
    )


def _geometry(lines: list[str]) -> tuple[tuple[tuple[int, float], ...], np.ndarray | None]:
    rows = [_numbers(line.strip().partition(" ")[2], 5) for line in lines]
    if not rows or any(row is None for row in rows):
        return (), None
    table = np.array(rows)
    if not ((table[:, 0] >= 1) & (table[:, 0] <= 118) & (table[:, 4] > 0)).all():
        return (), None
    return tuple((round(number), mass) for number, mass in table[:, [0, 4]].tolist()), table[:, 1:4]


def _vectors(lines: list[str]) -> np.ndarray | None:
    rows = [_numbers(line, 3) for line in lines]
    return None if not rows or any(row is None for row in rows) else np.array(rows)


def _wave_function(lines: list[str], num_states: int) -> np.ndarray | None:
    rows = [_numbers(line, 2) for line in lines]
    if len(rows) != num_states or any(row is None for row in rows):
        return None
    return np.array(rows).astype(np.float64).view(np.complex128)[:, 0]


def _numbers(line: str, count: int | None) -> np.ndarray | None:
    """The numbers of a line, ``count`` of them, all finite; None if it holds anything else."""
    try:
        values = np.array([float(word) for word in _FUSED.sub(r"\1 -", line).replace("_", "?").split()])
    except ValueError:
        return None
    return values if (count is None or len(values) == count) and np.isfinite(values).all() else None


def _common(shapes: Iterable[_Shape]) -> _Shape:
    """What most frames have; of what is equally common, the largest."""
    counts = Counter(shapes)
    return max(counts, key=lambda shape: (counts[shape], len(shape[0]), shape[1]))


def _printed_dt(text: str) -> float:
    match = re.search(r"kt=\s*\d+\s+steps\s*\(\s*(\d+\.\d+) fs\)", text)
    return float(match.group(1)) if match and float(match.group(1)) > 0 else float("nan")


def _stacked(kept: list[_Frame], dt: float, problems: list[str], *, cut: bool, name: str) -> DynFrames:
    first = kept[0]
    acceleration = coefficients = None
    if any(frame.acceleration is not None for frame in kept):
        none = np.zeros_like(first.positions)
        acceleration = np.stack([none if frame.acceleration is None else frame.acceleration for frame in kept])
    if any(frame.coefficients is not None for frame in kept):
        absent = np.full(len(first.energies) - 2, np.nan + 0j)
        coefficients = np.stack([absent if frame.coefficients is None else frame.coefficients for frame in kept])
        lost = sum(frame.coefficients is None for frame in kept)
        if lost:
            problems.append(f"{name}: the wave function of {lost} frames is missing")
    energies = np.stack([frame.energies for frame in kept])
    return DynFrames(
        atomic_numbers=tuple(number for number, _ in first.atoms),
        masses=tuple(mass for _, mass in first.atoms),
        time=np.array([frame.time for frame in kept]),
        state_before=np.array([frame.state_before for frame in kept]),
        rejected=np.array([frame.rejected for frame in kept]),
        positions=np.stack([frame.positions for frame in kept]),
        velocities=np.stack([frame.velocities for frame in kept]),
        acceleration=acceleration,
        energy=energies[:, 2:],
        total=energies[:, 0],
        kinetic=energies[:, 1],
        coefficients=coefficients,
        dt=dt,
        problems=problems,
        cut=cut,
    )
