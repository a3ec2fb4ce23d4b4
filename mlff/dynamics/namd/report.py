"""The files of an analysis: tables, geometries of the hops, and pictures; and the lines that sum them up."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io.extxyz import write_xyz

from mlff.data.dataset import HDF5Dataset
from mlff.data.plots.populations import Populations, plot_populations, read_populations
from mlff.data.plots.shown import NothingToDraw, Shown, select
from mlff.data.plots.states import state_names
from mlff.figure import readable, save

from ..aside import written_aside
from .analysis import Conservation, Hops, Yields, energy_conservation, find_hops, find_yields
from .plots import plot_energy, plot_hops
from .products import parse_product


@dataclass(frozen=True)
class Report:
    """What an analysis found and wrote."""

    populations: Populations | str
    """Or why there are none."""
    hops: Hops
    conservation: Conservation
    yields: Yields | None
    """None where no products were named."""
    files: tuple[Path, ...]
    lines: tuple[str, ...]
    """The summary, for people."""


def analyse(
    dataset: HDF5Dataset, out: Path, *, products: Sequence[str] = (), system: str | None = None, figures: str = "png"
) -> Report:
    """Analyse the trajectories of a system of a native file, and write tables and pictures into a folder.

    ``populations.csv`` (classical and quantum, with 95 % bootstrap bands), ``energy.csv`` (a row a trajectory), ``hops.csv``
    and ``hops.xyz`` (extended xyz, the first frame after each hop), ``products.csv`` (a row a trajectory), ``stopped.xyz``
    (the last frames of trajectories that stopped early), and pictures of the first three.

    Args:
        dataset: such as that of a run, or of several, or of imported trajectories.
        out: the folder, which is made if need be; files of these names in it are replaced.
        products: see ``mlff.dynamics.namd.products.GRAMMAR``.
        system: name of the system, where there are several.
        figures: png, pdf or svg.

    Raises:
        ValueError: several systems and no name, no trajectories, a product outside the grammar.
    """
    shown = select(dataset, system, None)
    parsed = [parse_product(text, shown.system.num_atoms) for text in products]
    if not shown.trajectories:
        raise ValueError(f"{dataset.files} holds no trajectories to analyse")
    out.mkdir(parents=True, exist_ok=True)
    hops, conservation = find_hops(shown), energy_conservation(shown)
    files: list[Path] = []
    lines = [f"{'trajectories':<16}{_trajectories(shown)}"]
    populations = _populations(shown)
    if isinstance(populations, Populations):
        files.append(_write_populations(out / "populations.csv", shown, populations))
        figure = plot_populations(dataset, shown.system.name, resampled=True)
        files.append(save(figure, out / f"populations.{figures}"))
        lines += _population_lines(shown, populations)
    else:
        lines.append(f"{'populations':<16}not known: {populations}")
    files.append(_write_energy(out / "energy.csv", conservation))
    if np.isfinite(conservation.largest).any():
        files.append(save(plot_energy(shown, conservation), out / f"energy.{figures}"))
        lines.append(_energy_line(conservation))
    files.append(_write_hops(out / "hops.csv", shown, hops))
    lines.append(f"{'hops':<16}{_hops(shown, hops)}")
    if len(hops):
        files.append(_write_hop_frames(out / "hops.xyz", dataset, shown, hops))
        files.append(save(plot_hops(shown, hops), out / f"hops.{figures}"))
    if any(each.status == "crashed" for each in shown.trajectories):
        files.append(_write_last_frames(out / "stopped.xyz", dataset, shown))
    yields = find_yields(shown, parsed) if parsed else None
    if yields is not None:
        files.append(_write_products(out / "products.csv", shown, yields))
        lines += _yield_lines(yields)
    return Report(populations, hops, conservation, yields, tuple(files), tuple(lines))


def _populations(shown: Shown) -> Populations | str:
    """With bootstrap bands; or why there are none."""
    try:
        return read_populations(shown, resampled=True)
    except NothingToDraw as reason:
        return str(reason)


def _write_table(path: Path, heading: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heading)
        writer.writerows([f"{each:.10g}" if isinstance(each, float) else each for each in row] for row in rows)
    return path


def _write_populations(path: Path, shown: Shown, found: Populations) -> Path:
    heading, columns = ["time_fs", "running"], [found.time.tolist(), found.running.tolist()]
    groups = [("classical", found.fraction, (found.low, found.high)), ("quantum", found.quantum, found.quantum_band)]
    for kind, values, band in groups:
        for state, name in enumerate(state_names(shown.system)):
            heading.append(f"{name}_{kind}")
            columns.append(values[:, state].tolist())
            for end, low_or_high in zip(("low", "high"), band or (), strict=False):
                heading.append(f"{name}_{kind}_{end}")
                columns.append(low_or_high[:, state].tolist())
    return _write_table(path, heading, zip(*columns, strict=True))


def _write_energy(path: Path, found: Conservation) -> Path:
    columns = (each.tolist() for each in (found.duration, found.drift, found.rms, found.largest))
    heading = ("trajectory", "status", "duration_fs", "drift_meV_per_ps", "rms_meV", "largest_meV")
    return _write_table(path, heading, zip(found.names, found.status, *columns, strict=True))


def _write_hops(path: Path, shown: Shown, hops: Hops) -> Path:
    names = state_names(shown.system)
    rows = (
        (shown.trajectories[k].name, time, names[before], names[after], gap)
        for k, time, before, after, gap in zip(hops.trajectory, hops.time.tolist(), hops.before, hops.after, hops.gap.tolist())
    )
    return _write_table(path, ("trajectory", "time_fs", "from", "to", "gap_eV"), rows)


def _write_hop_frames(path: Path, dataset: HDF5Dataset, shown: Shown, hops: Hops) -> Path:
    names = state_names(shown.system)
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8") as file:
        for row, before, after, gap in zip(hops.row, hops.before, hops.after, hops.gap):
            atoms = dataset.frame(shown.system.first + int(row)).to_ase(state=int(after))
            atoms.info |= {"from_state": names[before], "to_state": names[after], "gap": float(gap)}
            write_xyz(file, atoms)
    return path


def _write_last_frames(path: Path, dataset: HDF5Dataset, shown: Shown) -> Path:
    """Where trajectories stopped early: what the potential knows too little of."""
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8") as file:
        for each in shown.trajectories:
            if each.status == "crashed":
                frame = dataset.frame(shown.system.first + each.first + each.count - 1)
                write_xyz(file, frame.to_ase(state=max(0, frame.active_state)))
    return path


def _write_products(path: Path, shown: Shown, yields: Yields) -> Path:
    def called(index: int) -> str:
        return "stopped early" if index == -2 else yields.names[index]

    rows = ((each.name, called(int(index))) for each, index in zip(shown.trajectories, yields.product, strict=True))
    return _write_table(path, ("trajectory", "product"), rows)


def _trajectories(shown: Shown) -> str:
    statuses = [each.status for each in shown.trajectories]
    parts = [f"{statuses.count(status)} {words}" for status, words in
             (("complete", "complete"), ("truncated", "not yet at their end"), ("crashed", "stopped early"))
             if status in statuses]  # fmt: skip
    return f"{len(statuses)}: {', '.join(parts)}"


def _population_lines(shown: Shown, found: Populations) -> list[str]:
    last = len(found.time) - 1
    lines = [f"{'populations':<16}at {found.time[last]:g} fs (95 % of {found.running[last]} trajectories resampled)"]
    for state, name in enumerate(state_names(shown.system)):
        words = f"{found.fraction[last, state]:.3f} ({found.low[last, state]:.3f} to {found.high[last, state]:.3f})"
        if np.isfinite(found.quantum[last, state]):
            words += f", quantum {found.quantum[last, state]:.3f}"
        lines.append(f"  {name:<14}{words}")
    return lines


def _energy_line(found: Conservation) -> str:
    drift, rms, largest = (np.abs(each[np.isfinite(each)]) for each in (found.drift, found.rms, found.largest))
    worst = found.names[int(np.nanargmax(found.largest))]
    medians = f"median |drift| {readable(float(np.median(drift)))} meV/ps, RMS {readable(float(np.median(rms)))} meV"
    return f"{'total energy':<16}{medians}; largest change {readable(float(largest.max()))} meV ({worst})"


def _hops(shown: Shown, hops: Hops) -> str:
    names = state_names(shown.system)
    kinds, counts = np.unique(np.stack([hops.before, hops.after]), axis=1, return_counts=True)
    told = ", ".join(f"{names[i]} to {names[j]} {count}" for (i, j), count in zip(kinds.T, counts))
    return f"{len(hops)}{': ' if told else ''}{told}"


def _yield_lines(yields: Yields) -> list[str]:
    left_out = f", {yields.stopped} that stopped early left out" if yields.stopped else ""
    lines = [f"{'products':<16}of {int(yields.count.sum())} trajectories (95 % bootstrap interval){left_out}"]
    for name, count, share, low, high in zip(yields.names, yields.count, yields.share, yields.low, yields.high):
        lines.append(f"  {name:<14}{share:.3f} ({low:.3f} to {high:.3f}), {count}")
    return lines
