"""ImportReport: what an import read, dropped, masked and left unread, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlff.data.sentences import condensed

_COLUMNS = (
    ("num_hops", "hops", ".0f"),
    ("smallest_distance", "nearest", ".3f"),
    ("force_slope", "dE/-Fdx", ".3f"),
    ("force_fit", "fit", ".3f"),
    ("kinetic_ratio", "Ekin", ".4f"),
    ("velocity_slope", "dx/vdt", ".3f"),
    ("velocity_fit", "fit", ".3f"),
    ("nac_net", "nac sum", ".3f"),
    ("coupling_slope", "h/nac", ".3f"),
    ("soc_asymmetry", "soc asym", ".1e"),
    ("total_energy_span", "Etot span", ".4f"),
)  # figure, its heading, how it is printed
_LONGEST_NAME = 28


@dataclass(frozen=True)
class Row:
    """A line of the table: one trajectory, or the frames of one source that say no trajectory."""

    name: str
    num_frames: int
    status: str
    figures: Mapping[str, float]


@dataclass
class ImportReport:
    """What was read (``notes`` of the sources, ``lines`` of the whole, and a row a trajectory) and everything that was not
    as it should be (``problems``)."""

    notes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    num_frames: int = 0

    def text(self, most: int = 20, width: int = 120) -> str:
        """The report, in a screenful: of sentences that differ in names and numbers only the first, of the others the
        first ``most``; the table in ``width`` columns."""
        problems = [f"  ! {problem}" for problem in condensed(self.problems, most)]
        return "\n".join([*condensed(self.notes, most), *condensed(self.lines, most), *self.table(width=width), *problems])

    def table(self, most: int = 20, width: int = 120) -> list[str]:
        """The checks, a line a trajectory (the first ``most``); figures that none of them has are left out, and those that
        do not fit into ``width`` follow below."""
        rows = self.rows[:most]
        figures = [each for each in _COLUMNS if any(each[0] in row.figures for row in self.rows)]
        if not figures:
            return []
        names = [each if len(each) <= _LONGEST_NAME else f"...{each[3 - _LONGEST_NAME :]}" for each in (r.name for r in rows)]
        columns = [["frames", *(str(row.num_frames) for row in rows)], ["status", *(row.status for row in rows)]]
        columns += [
            [heading, *(f"{row.figures[key]:{form}}" if key in row.figures else "-" for row in rows)]
            for key, heading, form in figures
        ]
        lines = [line for block in _blocks(["", *names], columns, width) for line in block]
        if len(self.rows) > most:
            lines.append(f"and {len(self.rows) - most} more trajectories; all of them: `mlff data info FILE --json`")
        return lines


def _blocks(names: Sequence[str], columns: Sequence[Sequence[str]], width: int) -> Iterator[list[str]]:
    """Lines of the columns, each as wide as it must be, in as many blocks beside the names as the width asks for."""
    lines = first = [f"{name:<{max(map(len, names))}}" for name in names]
    for column in columns:
        size = max(map(len, column))
        if lines is not first and len(lines[0]) + 2 + size > width:
            yield lines
            lines = first
        lines = [f"{line}  {cell:>{size}}" for line, cell in zip(lines, column, strict=True)]
    yield lines
