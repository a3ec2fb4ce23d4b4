"""The page of a picture: its title with file and system, a caption of what is drawn, a legend beside the axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from mlff.data.plots.shown import Shown
from mlff.figure import GREY, new_figure

_CHARACTERS = 12.0  # of the caption to an inch


def new_page(shown: Shown, subject: str, width: float, height: float) -> Figure:
    """An empty figure of that size in inches, titled with the subject, the file and the system."""
    figure = new_figure(width, height)
    system = shown.system
    level = f", {system.level_of_theory}" if system.level_of_theory else ""
    place = textwrap.shorten(f"{shown.dataset.path.name}, {system.name}{level}", int(11 * width), placeholder=" …")
    figure.suptitle(f"{subject}\n{place}", x=0.01, ha="left", fontsize=12.5, linespacing=1.3)
    return figure


def finish(figure: Figure, caption: Sequence[str], handles: Sequence[Artist] = (), title: str = "") -> Figure:
    """Put the legend to the right of all axes, and below them the caption: its parts, which may be empty, as a sentence."""
    width = float(figure.get_size_inches()[0])
    if handles:
        figure.legend(
            handles=list(handles), loc="outside right center", frameon=False, fontsize=10, title=title or None,
            title_fontsize=10, alignment="left",
        )  # fmt: skip
    sentence = "; ".join(part for part in caption if part)
    text = textwrap.fill(f"{sentence[:1].upper()}{sentence[1:]}.", int(_CHARACTERS * width))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=9, color=GREY, linespacing=1.35)
    return figure


def shortened(name: str, most: int = 34) -> str:
    """A trajectory's name, without its beginning where it is long."""
    return name if len(name) <= most else f"…{name[1 - most:]}"
