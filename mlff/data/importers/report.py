"""ImportReport: what an import read, dropped, masked and left unread, in lines for people."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ImportReport:
    """What was read (``lines``) and everything that was not as it should be (``problems``)."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    num_frames: int = 0

    def text(self, most: int = 20) -> str:
        """The report; of the problems the first ``most``, with the number of the others."""
        shown = [f"  ! {problem}" for problem in self.problems[:most]]
        if len(self.problems) > most:
            shown.append(f"  ! and {len(self.problems) - most} more")
        return "\n".join([*self.lines, *shown])
