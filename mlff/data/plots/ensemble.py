"""An ensemble of trajectories on one grid of times: the active state and the quantum populations of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlff.data.plots.shown import NothingToDraw, Shown
from mlff.data.system import System

MOST_TIMES = 2000
RESAMPLES = 1000
_BLOCK = 1 << 22  # sums of resamples that are held at a time


@dataclass(frozen=True)
class Ensemble:
    """K trajectories at T times; S states. A trajectory counts from its first time to its last and nowhere else."""

    time: np.ndarray  #: f8 [T] fs
    active: np.ndarray  #: i2 [K,T], -1 where it does not run or its state is not known
    quantum: np.ndarray | None  #: f8 [K,T,S], NaN where it does not run or they are not known; None: of none known
    ended: int  #: trajectories that end before the last time
    untimed: int  #: trajectories left out because their times are not known


def read_ensemble(shown: Shown) -> Ensemble:
    """The trajectories on a grid whose step is the usual time between their frames.

    Between frames a trajectory is in the state of the frame before. Quantum populations are ``population``, else the sums
    of |coefficients|^2 over each state's spin components. NothingToDraw where no trajectory has times and active states
    or quantum populations.
    """
    system = shown.system
    if not shown.trajectories:
        raise NothingToDraw("the frames belong to no known trajectory")
    if not system.has("time"):
        raise NothingToDraw("the times of the frames are not known")
    if not any(system.has(name) for name in ("active_state", "population", "coefficients")):
        raise NothingToDraw("neither active states nor quantum populations are known")
    spans = [slice(each.first, each.first + each.count) for each in shown.trajectories]
    times = [system.read("time", span) for span in spans]
    timed = [k for k, each in enumerate(times) if np.isfinite(each).all() and (np.diff(each) > 0).all()]
    if not timed:
        raise NothingToDraw("the times of the frames are not known")
    grid = _grid([times[k] for k in timed])
    slack = 1e-6 * (grid[-1] - grid[0] + 1.0)
    active = np.full((len(timed), len(grid)), -1, dtype=np.int16)
    quantum: np.ndarray | None = None
    for row, k in enumerate(timed):
        latest = np.searchsorted(times[k], grid + slack, side="right") - 1
        at = np.flatnonzero((latest >= 0) & (grid <= times[k][-1] + slack))
        rows = spans[k].start + latest[at]
        if system.has("active_state"):
            active[row, at] = system.read("active_state", rows)
        values = quantum_populations(system, rows)
        if values is not None:
            if quantum is None:
                quantum = np.full((len(timed), len(grid), system.num_states), np.nan)
            quantum[row, at] = values
    ended = sum(bool(times[k][-1] + slack < grid[-1]) for k in timed)
    return Ensemble(grid, active, quantum, ended, len(times) - len(timed))


def one_hot(active: np.ndarray, num_states: int) -> np.ndarray:
    """Active states ``[K,T]`` as f4 ``[K,T,S]``: 1 in the active state, 0 in the others, NaN where it is not known."""
    result = (active[..., None] == np.arange(num_states)).astype(np.float32)
    result[active < 0] = np.nan
    return result


def bootstrap(values: np.ndarray, *, level: float = 0.95, resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the mean's confidence interval at ``level`` over K trajectories: ``[K,...]`` to two ``[...]``.

    The percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): whole
    trajectories are drawn with replacement, so frames of one trajectory stay together. NaN counts for nothing; where
    nothing counts the ends are NaN. The draws are the same in each call.
    """
    num = len(values)
    weights = np.random.default_rng(0).multinomial(num, np.full(num, 1 / num), size=resamples).astype(np.float32)
    flat = values.reshape(num, -1)
    ends = np.full((2, flat.shape[1]), np.nan)
    for start in range(0, flat.shape[1], max(1, _BLOCK // resamples)):
        block = flat[:, start : start + max(1, _BLOCK // resamples)]
        known = np.isfinite(block)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (weights @ np.where(known, block, 0).astype(np.float32)) / (weights @ known.astype(np.float32))
        some = known.any(axis=0)
        tails = [0.5 * (1 - level), 0.5 * (1 + level)]
        ends[:, start : start + block.shape[1]][:, some] = np.nanquantile(means[:, some], tails, axis=0)
    return ends[0].reshape(values.shape[1:]), ends[1].reshape(values.shape[1:])


def quantum_populations(system: System, rows: np.ndarray) -> np.ndarray | None:
    """Quantum population of each state in each row, ``[len(rows),S]``, NaN unknown; None where there is none."""
    if system.has("population"):
        return system.read("population", rows).astype(np.float64)
    if not system.has("coefficients") or not system.spin_states:
        return None
    weight = np.abs(system.read("coefficients", rows)) ** 2
    result = np.zeros((len(rows), system.num_states))
    for component, (state, _) in enumerate(system.spin_states):
        result[:, state] += weight[:, component]
    return result


def _grid(times: Sequence[np.ndarray]) -> np.ndarray:
    """Evenly spaced times from the first to the last of all, at the median spacing, or as many as are drawn."""
    start, end = min(float(each[0]) for each in times), max(float(each[-1]) for each in times)
    steps = [float(np.median(np.diff(each))) for each in times if len(each) > 1]
    if not steps or end <= start:
        return np.array([start])
    num = min(MOST_TIMES, int(round((end - start) / float(np.median(steps)))))
    return np.linspace(start, end, max(1, num) + 1)
