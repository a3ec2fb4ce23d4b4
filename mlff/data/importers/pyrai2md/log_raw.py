"""The log of a PyRAI2MD run as it was written: angstrom, otherwise atomic units, states from 1."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as number_of

from mlff.data.importers.newtonx.restart import continued

START = b"Molecular Dynamics Start:"
_END = "Nonadiabatic Molecular Dynamics End"
_ITERATION = re.compile(r"\s*(\d{1,9})\s+Ekin =\s*(-?\d+\.\d+) au T =.*CI:\s*(\d{1,3})\s*$")
_AT = re.compile(r"^\s*At state:\s*(\d{1,3})\s*$", re.MULTILINE)
_FROM_TO = re.compile(r"^\s*From state:\s*(\d{1,3})\s+to state:\s*(\d{1,3})\s*\*\s*$", re.MULTILINE)
_COUPLING = re.compile(r"nonadiabatic coupling(?: vectors)?\s+(\d+)\s*-\s*(\d+) in Hartree/Bohr")
_SOC = re.compile(r"^\s*(?:<H>=\s*(-?\d+\.\d+)|Not computed)\s+(\d+)\s*-\s*(\d+)\s+in cm-1", re.MULTILINE)
_WITHOUT_PLACE = (
    ("&derivative coupling matrix", "time-derivative couplings"),
    ("Random number:", "random numbers and hopping probabilities of adiabatic states"),
    ("&external charges", "external charges"),
)
_NAME = re.compile(r"[A-Z][a-z]?")


@dataclass
class LogHeader:
    """What the lines before the first step say; empty or NaN where they do not."""

    version: str
    multiplicity: tuple[int, ...]
    dt: float  #: atomic units of time
    num_steps: int  #: that the run was to make; -1
    stride: int  #: steps of which one is printed
    phases_tracked: bool
    without_place: tuple[str, ...]  #: what the steps hold that frames have no place for


@dataclass
class LogStep:
    """One whole step of the log."""

    number: int
    kinetic: float  #: hartree, before the velocities were rescaled by a hop
    state: int  #: at the end of the step
    state_before: int  #: differs from ``state`` on the step of a hop
    frustrated: bool
    atoms: tuple[int, ...]
    energy: np.ndarray  #: [S] hartree
    population: np.ndarray  #: [S]
    positions: np.ndarray  #: [N,3] angstrom
    velocities: np.ndarray  #: [N,3]
    gradients: dict[int, np.ndarray]  #: state from 1 -> [N,3] hartree/bohr; those that were computed
    couplings: dict[tuple[int, int], np.ndarray | None]  #: (a, b) from 1 -> [N,3] hartree/bohr
    soc: dict[tuple[int, int], float]  #: (a, b) from 1 -> cm-1


@dataclass
class Log:
    """Header and steps, one a number, in their order."""

    header: LogHeader
    steps: list[LogStep]
    ended: bool  #: whether the run came to its end
    warning: str  #: why it ended, where it says so
    cut: bool
    problems: list[str] = field(default_factory=list)


def read_log(path: Path) -> Log:
    """Every whole step of a log."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    whole_lines = text[: text.rfind("\n") + 1]  # the numbers of a last line without its end may have lost digits
    first, *chunks = re.split(r"(?m)^ +Iter:(?=\s)", whole_lines)
    header = _header(first, whole_lines)
    read = [_step(chunk) for chunk in chunks]
    found = [each for each in read if isinstance(each, LogStep)]
    if not found:
        raise ValueError(f"{path.name} has no whole step" + (f": {read[0]}" if read else ""))
    usual = Counter(_layout(step) for step in found)
    layout = max(usual, key=lambda each: (usual[each], len(each[0]), each[1]))
    kept: list[LogStep] = []
    problems: list[str] = []
    for k, each in enumerate(read):
        if isinstance(each, LogStep) and _layout(each) != layout:
            each = "its atoms, states or tables are not those of the other steps"
        if isinstance(each, str):
            where = "the last step" if k == len(read) - 1 else f"step {k + 1}"
            problems.append(f"{where} of {len(read)} dropped, {each}")
        else:
            kept.append(each)
        if chunks[k].count("&coordinates") > 1:
            problems.append(f"a step without its Iter line dropped, after step {k + 1} of {len(read)}")
    if "&coordinates" in first:
        problems.append("a step without its Iter line dropped, before the first of the others")
    order, repeated, stray = continued([step.number for step in kept])
    if repeated:
        problems.append(f"{repeated} steps dropped that the restarted run wrote again")
    if stray:
        problems.append(f"{stray} steps dropped whose number stands out of line")
    numbers = [0, *(kept[k].number for k in order)]
    gaps = [before for before, after in zip(numbers, numbers[1:], strict=False) if after > before + header.stride]
    if gaps:
        problems.append(f"{len(gaps)} gaps in the numbers of the steps, the first after step {gaps[0]}")
    cut = isinstance(read[-1], str)
    ended = _END in whole_lines[-4000:]
    warning = re.findall(r"^Trajectory terminated because .*$", whole_lines[-4000:], re.MULTILINE)
    return Log(header, [kept[k] for k in order], ended, warning[-1] if warning else "", cut and not ended, problems)


def _header(text: str, steps: str) -> LogHeader:
    def find(pattern: str) -> str:
        match = re.search(pattern, text, re.MULTILINE)
        return match.group(1) if match else ""

    multiplicity = find(r"^ *State order:.*\n *Multiplicity:\s*((?:\d+[ \t]*)+)$")
    return LogHeader(
        version=find(r"version:\s*(\d[\w.]*)"),
        multiplicity=tuple(int(word) for word in multiplicity.split()),
        dt=float(find(r"^ *Dt \(au\):\s*(\d+\.?\d*)\s*$") or "nan") or float("nan"),
        num_steps=int(find(r"^ *Step:\s*(\d{1,9})\s*$") or -1),
        stride=max(1, int(find(r"^ *Buffer output:\s*(\d{1,9})\s*$") or 1)),
        phases_tracked=find(r"^ *Phase correction\s*:?\s*(\d)\s*$") == "1",
        without_place=tuple(name for mark, name in _WITHOUT_PLACE if mark in steps),
    )


def _layout(step: LogStep) -> tuple[tuple[int, ...], int, tuple[object, ...]]:
    return step.atoms, len(step.energy), (*sorted(step.couplings), *sorted(step.soc))


def _step(chunk: str) -> LogStep | str:
    """One step, or why it is not whole. What follows a second table of coordinates belongs to another step."""
    again = [match.start() for match in re.finditer("&coordinates", chunk)][1:2]
    if again:
        chunk = chunk[: again[0]]
    line = chunk.partition("\n")[0]
    head = _ITERATION.match(line)
    if head is None:
        return "its Iter line cannot be read"
    num_states = int(head.group(3))
    curves = re.search(r"Gnuplot:(.*)$", chunk, re.MULTILINE)
    numbers = _numbers(curves.group(1).split()) if curves else None
    if numbers is None or len(numbers) != 2 * num_states + 1:
        return "its energies are missing or cannot be read"
    hop, at = _FROM_TO.search(chunk), _AT.search(chunk)
    if hop is None and at is None:
        return "its active state is missing"
    before, state = (int(each) for each in hop.groups()) if hop else (int(at.group(1)),) * 2  # type: ignore[union-attr]
    if not (1 <= before <= num_states and 1 <= state <= num_states):
        return "its active state is none of its states"
    tables = _tables(chunk)
    if "coordinates in Angstrom" not in tables:
        return "its coordinates are missing (a run with verbose 0 writes none to its log)"
    atoms, positions = _vectors(tables["coordinates in Angstrom"])
    others, velocities = _vectors(tables.get("velocities in Bohr/au", []))
    if positions is None or velocities is None or atoms != others:
        return "its coordinates or velocities cannot be read"
    gradients: dict[int, np.ndarray] = {}
    for number in range(1, num_states + 1):
        rows = tables.get(f"gradient state {number} in Eh/Bohr")
        if rows is None:
            return f"its gradient of state {number} is missing or cut"
        if rows and rows[0].split()[:2] == ["Not", "Computed"]:
            continue
        others, gradient = _vectors(rows)
        if gradient is None or others != atoms:
            return f"its gradient of state {number} cannot be read"
        if gradient.any():  # zeros: not computed
            gradients[number] = gradient
    couplings: dict[tuple[int, int], np.ndarray | None] = {}
    for title, rows in tables.items():
        pair = _COUPLING.match(title)
        if pair is None:
            continue
        others, vectors = _vectors(rows)
        if rows and not rows[0].strip().startswith("Not") and (vectors is None or others != atoms):
            return f"its coupling {pair.group(1)} - {pair.group(2)} cannot be read"
        computed = vectors is not None and vectors.any()
        couplings[int(pair.group(1)), int(pair.group(2))] = vectors if computed else None
    soc = {(int(a), int(b)): float(value) if value else float("nan") for value, a, b in _SOC.findall(chunk)}
    return LogStep(
        number=int(head.group(1)),
        kinetic=float(head.group(2)),
        state=state,
        state_before=before,
        frustrated="A surface hopping is frustrated" in chunk,
        atoms=atoms,
        energy=numbers[num_states : 2 * num_states],
        population=numbers[:num_states],
        positions=positions,
        velocities=velocities,
        gradients=gradients,
        couplings=couplings,
        soc=soc,
    )


def _tables(chunk: str) -> dict[str, list[str]]:
    """The tables between two dashed lines by their titles; one that does not end is left out."""
    found: dict[str, list[str]] = {}
    title, dashes = "", 0
    rows: list[str] = []
    for line in chunk.splitlines():
        if line.startswith("  &"):
            title, rows, dashes = " ".join(line[3:].split()), [], 0
        elif line.startswith("-----"):
            dashes += 1
            if dashes == 2 and title:
                found[title], title = rows, ""
        elif title and dashes == 1:
            rows.append(line)
    return found


def _vectors(rows: list[str]) -> tuple[tuple[int, ...], np.ndarray | None]:
    """Atomic numbers and ``[N,3]`` of rows ``symbol x y z``; a symbol may have a tail, such as ``C_``."""
    atoms: list[int] = []
    values: list[np.ndarray] = []
    for row in rows:
        words = row.split()
        numbers = _numbers(words[1:])
        name = _NAME.match(words[0]) if words else None
        if numbers is None or len(numbers) != 3 or name is None or name.group() not in number_of:
            return (), None
        atoms.append(number_of[name.group()])
        values.append(numbers)
    return tuple(atoms), np.array(values) if values else None


def _numbers(words: list[str]) -> np.ndarray | None:
    """Finite numbers, or None if there is anything else."""
    try:
        values = np.array([float(word.replace("_", "?")) for word in words])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None
