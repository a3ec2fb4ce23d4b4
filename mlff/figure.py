"""What all pictures share: a figure of its own canvas, colours, axes, number format, and how it is written.

No pyplot, no backend chosen for the caller, no global state. Colours are those of Okabe and Ito (2008), told apart by
colour-blind readers.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#5F6670",
)  # fmt: skip
STATE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
DPI = 140
FORMATS = ("png", "pdf", "svg")
GRID = "#E3E6EA"


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure of that size in inches, with an Agg canvas."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, *, xlabel: str = "", ylabel: str = "") -> None:
    """Label and style axes: sizes that stay readable in a page, a light grid, no box."""
    axes.set_xlabel(xlabel, fontsize=11)
    axes.set_ylabel(ylabel, fontsize=11)
    axes.tick_params(labelsize=10)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def message(text: str, path: str | Path) -> Path:
    """A picture that says in words why there is nothing to draw."""
    figure = new_figure(8.0, 2.0)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, color=GREY)
    return save(figure, path)


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure as what the name ends in (PNG for any other ending than those of FORMATS).

    It is written aside and then renamed, so that no half-written picture is ever seen.
    """
    path = Path(path)
    ending = path.suffix.lstrip(".")
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(aside, format=ending if ending in FORMATS else "png", dpi=DPI, facecolor="white")
        os.replace(aside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)
    return path


def readable(value: float) -> str:
    """A number with three significant digits and no exponent where that is short: 0.0123, 4.56, 1234."""
    if not math.isfinite(value):
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
