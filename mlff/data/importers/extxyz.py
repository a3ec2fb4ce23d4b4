"""Extended xyz: every whole frame of a file, with the same numbers as ASE's reader, and a line for each one dropped.

The reader is our own because published files are truncated and mutilated, which stops ASE's at the first bad frame, and
because it is several times faster. Keys: https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_numbers as _NUMBERS

from mlff.data.frame import ENERGY_KEYS, FORCES_KEYS
from mlff.units import ASE_VELOCITY

_PAIR = re.compile(
    r"""\s*([^\s=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\{([^}]*)\}|(\[[^=]*\])|([^\s"']\S*))|\s*(\S+)"""
)
_PROPERTIES = re.compile(r"([^:]+):([SRIL]):(\d+)(?::|$)")
_POSITIONS = ("pos", "positions")
_TRAJECTORY_KEYS = ("trajectory", "traj", "trajectory_id", "traj_id")
_TIME_KEYS = ("time", "time_fs", "Time")
_STEP_KEYS = ("step", "md_step")


@dataclass(frozen=True)
class ParsedFrame:
    """One frame as read: f8 arrays in eV, angstrom, angstrom/fs; None or NaN where the file says nothing."""

    numbers: np.ndarray
    positions: np.ndarray
    energy: float
    forces: np.ndarray | None
    stress: np.ndarray | None
    velocities: np.ndarray | None
    masses: np.ndarray | None
    cell: np.ndarray | None
    pbc: tuple[bool, bool, bool]
    charge: float
    trajectory: str | None
    time: float
    step: int
    line: int  #: number of its first line, from 1


@dataclass
class ParsedFile:
    """The whole frames of one file, what was dropped and where, and what was there but not read."""

    frames: list[ParsedFrame] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    energy_key: str | None = None
    forces_key: str | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layout:
    """Where the columns of a ``Properties`` string are: name -> (first column, width)."""

    columns: dict[str, tuple[int, int]]
    width: int


def parse_comment(text: str) -> dict[str, str]:
    """The key=value pairs of a comment line as text; a bare word is a key with the value ``T``."""
    result: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        key, *values, bare = match.groups()
        if key is None:
            result[bare] = "T"
        else:
            result[key.strip("\"'")] = next(value for value in values if value is not None)
    return result


def parse_extxyz(
    data: bytes, *, energy_key: str | None = None, forces_key: str | None = None, every: int = 1
) -> ParsedFile:
    """Every whole frame of the file's bytes, or every ``every``-th of them.

    Which keys hold energy and forces is decided by the first whole frame that has any (``energy``/``forces`` before
    ``REF_energy``/``REF_forces`` and so on), unless they are given; a frame that lacks them is masked, and said.
    """
    text = data.decode("utf-8", errors="replace")
    lines = text.split("\n")
    ends_in_line = lines[-1] != ""
    return _Reader(lines if ends_in_line else lines[:-1], energy_key, forces_key, ends_in_line=ends_in_line).read(every)


class _Reader:
    def __init__(self, lines: list[str], energy_key: str | None, forces_key: str | None, *, ends_in_line: bool) -> None:
        self.lines = lines
        self.ends_in_line = ends_in_line  # no newline at the end: the last number may have lost digits
        self.result = ParsedFile(energy_key=energy_key, forces_key=forces_key)
        self.layouts: dict[str, _Layout | str] = {}
        self.unread: dict[str, None] = {}

    def read(self, every: int) -> ParsedFile:
        lines, result = self.lines, self.result
        at, whole = 0, 0
        while at < len(lines):
            if not lines[at].strip():
                at += 1
                continue
            frame = self._frame(at, keep=whole % every == 0)
            if isinstance(frame, str):
                following = self._next_count(at + 1)
                end = f"to {following}" if following < len(lines) else f"to the end, line {len(lines)}"
                result.problems.append(f"line {at + 1} {end}: dropped, {frame}")
                at = following
                continue
            if frame is not None:
                result.frames.append(frame)
            whole += 1
            at += 2 + int(lines[at])
        self._count_missing()
        result.unread = tuple(self.unread)
        return result

    def _next_count(self, at: int) -> int:
        """The next line that is an atom count alone, which no atom line can be."""
        lines = self.lines
        while at < len(lines) and not lines[at].strip().isdecimal():
            at += 1
        return at

    def _frame(self, at: int, *, keep: bool) -> ParsedFrame | str | None:
        """The frame that begins at line ``at``; why it is not one; or None for a whole frame that is not kept."""
        lines = self.lines
        count = lines[at].strip()
        if not count.isdecimal() or int(count) == 0:
            return f"{_short(count)} is not a number of atoms"
        num_atoms = int(count)
        body = lines[at + 2 : at + 2 + num_atoms]
        if len(body) < num_atoms:
            if (stop := self._next_count(at + 2)) >= len(lines) or at + 1 >= len(lines):
                return f"the file ends after {len(body)} of {num_atoms} atoms"
            return f"the frame ends after {stop - at - 2} of {num_atoms} atoms"
        info = parse_comment(lines[at + 1])
        layout = self._layout(info.get("Properties", "species:S:1:pos:R:3"))
        if isinstance(layout, str):
            return layout
        rows = [line.split() for line in body]
        for offset, row in enumerate(rows):
            if len(row) != layout.width:
                if len(row) == 1 and row[0].isdecimal():
                    return f"the frame ends after {offset} of {num_atoms} atoms"
                return f"line {at + 3 + offset} has {len(row)} columns, {layout.width} were expected"
        following = lines[at + 2 + num_atoms] if at + 2 + num_atoms < len(lines) else ""
        if len(following.split()) == layout.width and "=" not in following:
            return f"it has more atom lines than its {num_atoms} atoms"
        if self.ends_in_line and at + 2 + num_atoms == len(lines):
            widths = {len(line) for line in body[:-1]}
            if len(widths) == 1 and len(body[-1].rstrip()) < len(body[0].rstrip()):
                return "its last line is cut off"
        before = self.result.energy_key, self.result.forces_key
        self._choose(info, layout)
        try:
            return self._convert(at, info, layout, [word for row in rows for word in row], keep)
        except (ValueError, KeyError) as error:
            self.result.energy_key, self.result.forces_key = before
            return f"a value cannot be read ({error})"

    def _layout(self, text: str) -> _Layout | str:
        if text not in self.layouts:
            self.layouts[text] = _parse_properties(text)
        return self.layouts[text]

    def _choose(self, info: dict[str, str], layout: _Layout) -> None:
        if self.result.energy_key is None:
            self.result.energy_key = next((key for key in ENERGY_KEYS if key in info), None)
        if self.result.forces_key is None:
            self.result.forces_key = next((key for key in FORCES_KEYS if key in layout.columns), None)

    def _convert(
        self, at: int, info: dict[str, str], layout: _Layout, words: list[str], keep: bool
    ) -> ParsedFrame | None:
        def column(name: str) -> np.ndarray:
            first, width = layout.columns[name]
            return np.array([list(map(float, words[k :: layout.width])) for k in range(first, first + width)]).T

        def vectors(name: str | None) -> np.ndarray | None:
            if name is None or name not in layout.columns:
                return None
            if layout.columns[name][1] != 3:
                raise ValueError(f"`{name}` has {layout.columns[name][1]} columns, 3 were expected")
            return column(name)

        positions = vectors(next(name for name in _POSITIONS if name in layout.columns))
        assert positions is not None
        if not np.isfinite(positions).all():
            raise ValueError("a position is NaN or infinite")
        if "species" in layout.columns:
            symbols = words[layout.columns["species"][0] :: layout.width]
            numbers = np.array([_number(symbol) for symbol in symbols], dtype=np.int16)
        else:
            numbers = column("Z")[:, 0].astype(np.int16)
        key = self.result.energy_key
        energy = float(info[key]) if key is not None and key in info else np.nan
        forces = vectors(self.result.forces_key)
        if not keep:
            return None
        cell = None
        if "Lattice" in info:
            cell = np.array(list(map(float, info["Lattice"].split()))).reshape(3, 3)
        momenta = vectors("momenta") if "momenta" in layout.columns else None
        masses = column("masses")[:, 0] if "masses" in layout.columns else None
        velocities = None
        if momenta is not None:
            from ase.data import atomic_masses

            velocities = momenta / (atomic_masses[numbers] if masses is None else masses)[:, None] * ASE_VELOCITY
        known = {"species", "Z", *_POSITIONS, "momenta", "masses", self.result.forces_key}
        for name in layout.columns.keys() - known:
            self.unread[f"column {name}"] = None
        known_info = {
            "Properties",
            "Lattice",
            "pbc",
            "stress",
            "virial",
            "charge",
            key,
            *_TRAJECTORY_KEYS,
            *_TIME_KEYS,
            *_STEP_KEYS,
        }
        for name in info.keys() - known_info:
            self.unread[name] = None
        trajectory = next((info[name] for name in _TRAJECTORY_KEYS if name in info), None)
        time = next((float(info[name]) for name in _TIME_KEYS if name in info), np.nan)
        step = next((int(info[name]) for name in _STEP_KEYS if name in info), -1)
        return ParsedFrame(
            numbers,
            positions,
            energy,
            forces,
            _stress(info, cell),
            velocities,
            masses,
            cell,
            _pbc(info, cell),
            float(info.get("charge", 0.0)),
            trajectory,
            time,
            step,
            at + 1,
        )

    def _count_missing(self) -> None:
        """Say which frames lack what other frames have; they stay masked."""
        result, num = self.result, len(self.result.frames)
        for name, key, lacking in (
            ("energy", result.energy_key, [f for f in result.frames if not np.isfinite(f.energy)]),
            (
                "forces",
                result.forces_key,
                [f for f in result.frames if f.forces is None or not np.isfinite(f.forces).all()],
            ),
        ):
            if lacking:
                why = f"(key `{key}`) " if key else ""
                result.problems.append(
                    f"{name} {why}missing in {len(lacking)} of {num} frames, first at line {lacking[0].line}: masked"
                )


def _parse_properties(text: str) -> _Layout | str:
    columns: dict[str, tuple[int, int]] = {}
    first = at = 0
    for match in _PROPERTIES.finditer(text):
        if match.start() != at:
            break
        name, _, width = match.groups()
        columns[name] = (first, int(width))
        first, at = first + int(width), match.end()
    if at != len(text) or not columns:
        return f"its Properties {_short(text)} cannot be read"
    if not any(name in columns for name in _POSITIONS):
        return f"its Properties {_short(text)} have no pos"
    if "species" not in columns and "Z" not in columns:
        return f"its Properties {_short(text)} have no species"
    return _Layout(columns, first)


def _number(symbol: str) -> int:
    number = _NUMBERS.get(symbol) or _NUMBERS.get(symbol.capitalize()) or (int(symbol) if symbol.isdecimal() else 0)
    if not 1 <= number <= 118:
        raise ValueError(f"{_short(symbol)} is not an element")
    return number


def _pbc(info: dict[str, str], cell: np.ndarray | None) -> tuple[bool, bool, bool]:
    """As ASE: the key ``pbc``, else periodic where there is a lattice."""
    if "pbc" not in info:
        return (cell is not None,) * 3
    words = info["pbc"].strip("[]").replace(",", " ").split()
    flags = [word.upper() in ("T", "TRUE", "1") for word in words]
    if len(flags) == 1:
        flags *= 3
    if len(flags) != 3:
        raise ValueError(f"pbc={info['pbc']!r}")
    return flags[0], flags[1], flags[2]


def _stress(info: dict[str, str], cell: np.ndarray | None) -> np.ndarray | None:
    """Voigt stress in eV/angstrom^3 with ASE's sign, from ``stress``, else from ``virial`` = -volume * stress."""
    text = info.get("stress", info.get("virial"))
    if text is None:
        return None
    values = np.array(
        [float(word) for word in text.strip("[]").replace(",", " ").replace("[", " ").replace("]", " ").split()]
    )
    if values.size == 9:
        full = values.reshape(3, 3)
        values = (full + full.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 2
    if values.size != 6:
        raise ValueError(f"a stress of {values.size} numbers")
    if "stress" not in info:
        if cell is None:
            return None
        values = -values / abs(np.linalg.det(cell))
    return values


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
