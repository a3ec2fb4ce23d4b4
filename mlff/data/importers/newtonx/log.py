"""Newton-X ``nx.log`` / ``moldyn.log``: the active state's gradient and the coupling vectors, step by step.

What is printed before ``FINISHING STEP n, TIME t fs`` belongs to that step. Coupling vectors come for the pairs (2,1)
(3,1) (3,2) (4,1) ..., and what is printed for (a,b) is <a|d/dR|b>; a pair that was not computed is all zeros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlff.data.importers.newtonx.restart import continued

_FINISHING = re.compile(r"^ *FINISHING STEP +\d+, +TIME +(\d+\.\d*) fs on SURFACE +(\d+) *$", re.MULTILINE)
_ROW = re.compile(r"^\s*(-?\d+\.\d+)\s+(-?\d+\.\d+)\s+(-?\d+\.\d+)\s*$")
_VERSION = re.compile(r"Newton-X (?:CS )?version (\d+\.\d+)")
_TITLES = {
    "Gradient vectors": "gradient",
    "NACME vectors": "raw",
    "Nonadiabatic coupling vectors after phase adjustment": "tracked",
}


@dataclass
class LogFrames:
    """L steps of a log, one a time, in their order; atomic units."""

    version: tuple[int, ...]  #: (2, 6); empty: not said
    ended: bool  #: whether the program came to its regular end
    time: np.ndarray = field(default_factory=lambda: np.zeros(0))  #: [L] fs
    gradient: np.ndarray | None = None  #: [L,N,3], of the active state, NaN where there is none
    nac: np.ndarray | None = None  #: [L,P,N,3], <a|d/dR|b>, lower-triangle pairs, NaN where not computed
    tracked: bool = False  #: whether the signs of the couplings follow those of the step before
    problems: list[str] = field(default_factory=list)


def lower_triangle(num_states: int) -> list[tuple[int, int]]:
    """(a, b), 0-based, a > b, in the order of Newton-X: (2,1) (3,1) (3,2) (4,1) ... counted from 1."""
    return [(a, b) for a in range(num_states) for b in range(a)]


def read_log(path: Path, num_atoms: int, num_states: int) -> LogFrames:
    """Every step of a log that it finished, of one run or several after each other."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    text = text[: text.rfind("\n") + 1]
    version = _VERSION.search(text)
    tail = text[-2000:]
    result = LogFrames(
        version=tuple(int(part) for part in version.group(1).split(".")) if version else (),
        ended="NEWTON-X ends here" in tail or "End of dynamics" in tail,
    )
    times: list[float] = []
    steps: list[dict[str, np.ndarray]] = []
    broken = 0
    begin = 0
    num_pairs = num_states * (num_states - 1) // 2
    sizes = {"gradient": num_atoms, "raw": num_pairs * num_atoms, "tracked": num_pairs * num_atoms}
    for match in _FINISHING.finditer(text):
        blocks = _blocks(text[begin : match.start()])
        begin = match.end()
        whole = {name: rows for name, rows in blocks.items() if len(rows) == sizes[name]}
        broken += len(blocks) - len(whole)
        times.append(float(match.group(1)))
        steps.append(whole)
    if broken:
        result.problems.append(
            f"{broken} tables of {path.name} left out, which have not {num_atoms} rows "
            f"(gradient) or {num_pairs} times {num_atoms} (couplings)"
        )
    left = [name for name in _blocks(text[begin:]) if name != "raw"] if begin else []
    if left:
        result.problems.append(f"{path.name} ends within a step, whose gradient and couplings are left out")
    order, _, stray = continued(times)
    if stray:
        result.problems.append(f"{stray} steps of {path.name} left out, whose time stands out of line")
    result.time = np.array([times[k] for k in order])
    kept = [steps[k] for k in order]
    result.gradient = _stack(kept, "gradient", (num_atoms, 3))
    result.tracked = any("tracked" in step for step in kept)
    result.nac = _stack(kept, "tracked" if result.tracked else "raw", (num_pairs, num_atoms, 3))
    if result.nac is not None:
        result.nac[~result.nac.any(axis=(2, 3))] = np.nan  # zeros: the pair was not computed
    return result


def _blocks(text: str) -> dict[str, np.ndarray]:
    """The tables between two steps; of a table that comes twice, the later one."""
    found: dict[str, np.ndarray] = {}
    name: str | None = None
    rows: list[tuple[str, ...]] = []
    for line in [*text.splitlines(), ""]:
        row = _ROW.match(line) if name else None
        if row is not None:
            rows.append(row.groups())
            continue
        if name is not None:
            found[name] = np.array(rows, dtype=np.float64).reshape(-1, 3)
        title = line.strip().partition(" (a.u.)")[0]
        name, rows = _TITLES.get(title), []
    return found


def _stack(steps: list[dict[str, np.ndarray]], name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if not any(name in step for step in steps):
        return None
    absent = np.full(shape, np.nan)
    return np.stack([step[name].reshape(shape) if name in step else absent for step in steps])
