"""ImportReport: what an import read, dropped, masked and left unread, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_COLUMNS = (
    ("num_hops", "hops", ".0f"),
    ("smallest_distance", "nearest", ".3f"),
    ("force_slope", "dE/-Fdx", ".3f"),
    ("force_fit", "fit", ".3f"),
    ("kinetic_ratio", "Ekin", ".4f"),
    ("velocity_slope", "dx/vdt", ".3f"),
    ("velocity_fit", "fit", ".3f"),
    ("nac_net", "nac sum", ".3f"),
    ("total_energy_span", "Etot span", ".4f"),
)  # figure, its heading, how it is printed


@dataclass(frozen=True)
class Row:
    """A line of the table: one trajectory, or the frames of one source that say no trajectory."""

    name: str
    num_frames: int
    status: str
    figures: Mapping[str, float]


@dataclass
class ImportReport:
    """What was read (``lines``, and a row a trajectory) and everything that was not as it should be (``problems``)."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    num_frames: int = 0

    def text(self, most: int = 20) -> str:
        """The report; of the problems the first ``most``, with the number of the others."""
        shown = [f"  ! {problem}" for problem in self.problems[:most]]
        if len(self.problems) > most:
            shown.append(f"  ! and {len(self.problems) - most} more")
        return "\n".join([*self.lines, *self.table(), *shown])

    def table(self, most: int = 30) -> list[str]:
        """The checks, a line a trajectory (the first ``most``); columns that no trajectory has are left out."""
        columns = [each for each in _COLUMNS if any(each[0] in row.figures for row in self.rows)]
        if not columns:
            return []
        names = [row.name if len(row.name) <= 28 else "..." + row.name[-25:] for row in self.rows[:most]]
        width = max(10, *(len(name) for name in names))
        lines = [f"{'':{width}} frames status   " + "".join(f" {heading:>9}" for _, heading, _ in columns)]
        for name, row in zip(names, self.rows, strict=False):
            values = [f"{row.figures[key]:{form}}" if key in row.figures else "-" for key, _, form in columns]
            lines.append(
                f"{name:{width}} {row.num_frames:6} {row.status:9}" + "".join(f" {each:>9}" for each in values)
            )
        if len(self.rows) > most:
            lines.append(f"and {len(self.rows) - most} more trajectories; all of them: `mlff data info FILE --json`")
        return lines
