"""Docstrings are prose: bars in them are absolute values (`|c|^2`), a colon in an attribute's first line ends no type."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"(``.+?``|`[^`]+`)")
BEFORE_NAPOLEON, AFTER_NAPOLEON = 400, 600
"""Napoleon's own listener has 500."""
COLON = "\ue000"
"""Stands for a colon while napoleon reads, a character of no meaning."""


def before(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape bars outside of backticks, and hide from napoleon that `Å: [N, 3]` of an attribute has a colon."""
    lines[:] = [
        "".join(part if position % 2 else part.replace("|", r"\|") for position, part in enumerate(CODE.split(line)))
        for line in lines
    ]
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(":", COLON)


def after(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Put the colons back."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", before, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", after, priority=AFTER_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
