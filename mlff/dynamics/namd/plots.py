"""Pictures of surface hopping: total energies of all trajectories, and the hops in time and by their gaps."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mlff.data.plots.page import finish, new_page
from mlff.data.plots.shown import NothingToDraw, Shown
from mlff.data.plots.states import state_names, state_style
from mlff.figure import BLUE, GREY, VERMILION, dress, readable

from .analysis import Conservation, Hops, total_energy

_MOST_LINES = 300
_MOST_POINTS = 2000


def plot_energy(shown: Shown, conservation: Conservation) -> Figure:
    """Change of each trajectory's total energy in time, and the distribution of its largest values."""
    if not np.isfinite(conservation.largest).any():
        raise NothingToDraw("the total energies of the trajectories are not known")
    number = len(shown.trajectories)
    figure = new_page(shown, f"Total energy of {number:,} trajector{'ies' if number > 1 else 'y'}", 9.6, 4.6)
    axes, beside = figure.subplots(1, 2, width_ratios=(2.4, 1))
    drawn = shown.some_trajectories(_MOST_LINES)
    stopped = False
    for each in drawn:
        time, total = total_energy(shown.system, slice(each.first, each.first + each.count))
        stride = max(1, len(time) // _MOST_POINTS)
        crashed = each.status == "crashed"
        stopped |= crashed
        axes.plot(time[::stride], 1000 * (total - total[0])[::stride], color=VERMILION if crashed else BLUE, linewidth=0.7,
                  alpha=0.9 if crashed else max(0.15, min(0.8, 12 / len(drawn))))  # fmt: skip
    dress(axes, xlabel="Time (fs)", ylabel="E(t) - E(0) (meV)")
    axes.margins(x=0)
    values = conservation.largest[np.isfinite(conservation.largest)]
    beside.hist(values, bins=np.linspace(0, max(float(values.max()), 1e-6), 21).tolist(), color=GREY)
    beside.yaxis.set_major_locator(MaxNLocator(integer=True))
    dress(beside, xlabel="Largest |E(t) - E(0)| (meV)", ylabel="Trajectories")
    figures = (conservation.drift, conservation.rms, conservation.largest)
    median = [readable(float(np.nanmedian(np.abs(each)))) for each in figures]
    caption = [f"medians: |drift| {median[0]} meV/ps, RMS about the drift {median[1]} meV, largest change {median[2]} meV"]
    if len(drawn) < number:
        caption.append(f"lines: {len(drawn):,} of {number:,} trajectories")
    handles = [Line2D([], [], color=VERMILION, label="stopped early")] if stopped else []
    return finish(figure, caption, handles)


def plot_hops(shown: Shown, hops: Hops) -> Figure:
    """Hops in time and gap, a colour for the state that was entered."""
    if not len(hops):
        raise NothingToDraw("no trajectory hops")
    names = state_names(shown.system)
    subject = f"{len(hops):,} hop{'s' if len(hops) > 1 else ''} in {len(shown.trajectories):,} trajectories"
    figure = new_page(shown, subject, 9.0, 4.6)
    axes, beside = figure.subplots(1, 2, width_ratios=(2.4, 1), sharey=True)
    kinds = sorted(set(zip(hops.before.tolist(), hops.after.tolist(), strict=True)), key=lambda pair: (pair[1], pair[0]))
    handles = []
    known = hops.gap[np.isfinite(hops.gap)]
    edges = np.linspace(0, float(known.max()) * 1.0001 if known.size and known.max() > 0 else 1.0, 21)
    for before, after in kinds:
        chosen = (hops.before == before) & (hops.after == after)
        colour = state_style(after)["color"]
        marker = "v" if after < before else "^"
        axes.scatter(hops.time[chosen], hops.gap[chosen], s=18, color=colour, marker=marker, linewidths=0, alpha=0.75)
        beside.stairs(np.histogram(hops.gap[chosen], edges)[0], edges, orientation="horizontal", color=colour, linewidth=1.4,
                      linestyle="-" if after < before else ":", baseline=0)  # fmt: skip
        label = f"{names[before]} to {names[after]}: {int(chosen.sum())}"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", label=label))
    dress(axes, xlabel="Time (fs)", ylabel="Gap at the hop (eV)")
    dress(beside, xlabel="Hops per bin")
    beside.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylim(bottom=0)
    rate = len(hops) / len(shown.trajectories)
    return finish(figure, [f"{rate:.2g} hops a trajectory; gaps are those of the first frame after the hop"], handles, "Hops")
