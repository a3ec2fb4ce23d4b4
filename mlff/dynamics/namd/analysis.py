"""What an ensemble of surface hopping shows: hops, how well energy is conserved, products; of any native file that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlff.data.plots.ensemble import bootstrap
from mlff.data.plots.shown import Shown
from mlff.data.system import System

from .products import Product, sort_into
from .surfaces import kinetic_energy

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hops:
    """H hops: what they led from and to, and where they are in the file."""

    row: np.ndarray  #: i8 [H], row of the system: the first frame after the hop
    trajectory: np.ndarray  #: i8 [H], index among the trajectories looked at
    time: Floats  #: fs [H], NaN unknown
    before: np.ndarray  #: i8 [H], state that was left
    after: np.ndarray  #: i8 [H], state that was entered
    gap: Floats  #: eV [H], between the two, never negative; NaN unknown

    def __len__(self) -> int:
        return len(self.row)


def find_hops(shown: Shown) -> Hops:
    """Changes of the active state from one frame to the next."""
    system, rows, owners, before, after = shown.system, [], [], [], []
    for k, each in enumerate(shown.trajectories if system.has("active_state") else ()):
        active = system.read("active_state", slice(each.first, each.first + each.count)).astype(np.int64)
        at = np.flatnonzero((np.diff(active) != 0) & (active[1:] >= 0) & (active[:-1] >= 0)) + 1
        rows.append(each.first + at)
        owners.append(np.full(len(at), k))
        before.append(active[at - 1])
        after.append(active[at])
    row, trajectory, left, entered = (_joined(each) for each in (rows, owners, before, after))
    energy = system.read("energy", row) if system.has("energy") and len(row) else np.full((len(row), system.num_states), np.nan)
    gap = np.abs(energy[np.arange(len(row)), left] - energy[np.arange(len(row)), entered])
    time = system.read("time", row) if system.has("time") and len(row) else np.full(len(row), np.nan)
    return Hops(row, trajectory, time, left, entered, gap)


@dataclass(frozen=True)
class Conservation:
    """Total energy along each of K trajectories; NaN where it is not known, or of fewer than three frames."""

    names: tuple[str, ...]
    status: tuple[str, ...]
    duration: Floats  #: fs [K]
    drift: Floats  #: meV/ps [K], slope by least squares
    rms: Floats  #: meV [K], root mean square deviation from that line
    largest: Floats  #: meV [K], largest deviation from the first frame


def total_energy(system: System, rows: slice) -> tuple[Floats, Floats]:
    """Times (fs) and total energies (eV) of the active state along frames; NaN unknown."""
    count = len(range(*rows.indices(system.num_frames)))
    unknown = np.full(count, np.nan)
    if not all(system.has(name) for name in ("time", "energy", "active_state")):
        return unknown, unknown
    active = system.read("active_state", rows).astype(np.int64)
    energy = system.read("energy", rows)[np.arange(count), np.maximum(active, 0)]
    return system.read("time", rows), np.where(active >= 0, energy + _kinetic(system, rows, unknown), np.nan)


def energy_conservation(shown: Shown) -> Conservation:
    """How well each trajectory conserves its energy, hops included, for a hop that is paid for conserves it."""
    table = np.full((len(shown.trajectories), 4), np.nan)
    for k, each in enumerate(shown.trajectories):
        time, total = total_energy(shown.system, slice(each.first, each.first + each.count))
        known = np.isfinite(time) & np.isfinite(total)
        time, total = time[known], 1000 * (total[known] - (total[known][0] if known.any() else 0.0))
        if len(time):
            table[k, 0] = time[-1] - time[0]
        if len(time) > 2 and time[-1] > time[0]:
            slope, start = np.polyfit(time - time.mean(), total, 1)
            deviation = total - start - slope * (time - time.mean())
            table[k, 1:] = 1000 * slope, np.sqrt(np.mean(deviation**2)), np.abs(total).max()
    names = tuple(str(each.name) for each in shown.trajectories)
    return Conservation(names, tuple(each.status for each in shown.trajectories), *table.T)


@dataclass(frozen=True)
class Yields:
    """Shares of the products at the end of K trajectories; those that stopped early are left out."""

    names: tuple[str, ...]  #: of the products, and last ``none of them``
    count: np.ndarray  #: i8 [products + 1]
    share: Floats  #: [products + 1]
    low: Floats  #: [products + 1], lower end of the 95 % interval of a bootstrap over trajectories
    high: Floats
    stopped: int  #: trajectories left out
    product: np.ndarray  #: i8 [K], index of each trajectory's product, -1 none, -2 left out


def find_yields(shown: Shown, products: Sequence[Product]) -> Yields:
    """What the last frame of each trajectory is. The first product that fits counts."""
    last = np.array([each.first + each.count - 1 for each in shown.trajectories], dtype=np.int64)
    whole = np.array([each.status != "crashed" for each in shown.trajectories], dtype=bool)
    system = shown.system
    active = system.read("active_state", last) if system.has("active_state") else np.full(len(last), -1)
    found = np.where(whole, sort_into(products, system.read("positions", last), active), -2)
    order = [*range(len(products)), -1]
    members = (found[whole, None] == np.array(order)).astype(np.float32)
    num = int(whole.sum())
    if num:
        share, (low, high) = members.mean(axis=0).astype(np.float64), bootstrap(members)
    else:
        share = low = high = np.full(len(order), np.nan)
    names = (*(each.name for each in products), "none of them")
    return Yields(names, members.sum(axis=0).astype(np.int64), share, low, high, int((~whole).sum()), found)


def _kinetic(system: System, rows: slice, unknown: Floats) -> Floats:
    """Kinetic energies, eV: stored, else of the velocities."""
    kinetic = system.read("kinetic_energy", rows) if system.has("kinetic_energy") else unknown
    if not np.isnan(kinetic).any() or not system.has("velocities"):
        return kinetic
    of_velocities = kinetic_energy(system.read("velocities", rows).astype(np.float64), system.masses)
    return np.where(np.isnan(kinetic), of_velocities, kinetic)


def _joined(pieces: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *pieces]).astype(np.int64)
