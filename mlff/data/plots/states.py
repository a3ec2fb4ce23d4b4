"""Electronic states in pictures: one name, colour and dash for a state, the same in every picture of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from mlff.data.system import System
from mlff.figure import GREY, STATE_COLOURS

_DASHES = ("-", "--", ":", "-.")


def state_names(system: System) -> tuple[str, ...]:
    """Labels of the states, ``state 0`` and so on where the file has none."""
    return tuple(label or f"state {state}" for state, label in enumerate(system.state_labels))


def state_style(state: int) -> dict[str, Any]:
    """Colour and dash of a state; six colours, then the same ones dashed. An unknown state (-1) is grey."""
    if state < 0:
        return {"color": GREY, "linestyle": "-"}
    dash = _DASHES[state // len(STATE_COLOURS) % len(_DASHES)]
    return {"color": STATE_COLOURS[state % len(STATE_COLOURS)], "linestyle": dash}


def lowest_state(system: System) -> int:
    """The state that energies are told from: the one called S0, else the first."""
    return system.state_labels.index("S0") if "S0" in system.state_labels else 0


def neighbouring_pairs(system: System) -> list[tuple[int, int]]:
    """States of one multiplicity that follow each other, ``(lower, upper)``: the pairs whose gap can close."""
    pairs = []
    for multiplicity in dict.fromkeys(system.multiplicities):
        held = [state for state in range(system.num_states) if system.multiplicities[state] == multiplicity]
        held.sort(key=lambda state: (system.roots[state], state))
        pairs += list(zip(held[:-1], held[1:]))
    return pairs


def runs(active: np.ndarray) -> list[tuple[int, int, int]]:
    """Stretches of one state, ``(state, first, end)`` with the end excluded."""
    if not len(active):
        return []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(active)) + 1])
    ends = np.concatenate([starts[1:], [len(active)]])
    return [(int(active[first]), int(first), int(end)) for first, end in zip(starts, ends)]


def traced(x: np.ndarray, y: np.ndarray, active: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """A curve cut into its states: state -> x and y, its stretches parted by NaN, each up to the first frame after it.

    ``y`` is ``[F]``, or ``[F,S]`` to follow each state's own values.
    """
    pieces: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    gap = (np.array([np.nan]), np.array([np.nan]))
    for state, first, end in runs(active):
        values = y if y.ndim == 1 else y[:, state] if state >= 0 else np.full(len(y), np.nan)
        pieces.setdefault(state, []).extend([(x[first : end + 1], values[first : end + 1]), gap])
    return {
        state: (np.concatenate([each[0] for each in held]), np.concatenate([each[1] for each in held]))
        for state, held in sorted(pieces.items())
    }


def legend_lines(system: System, states: Iterable[int], **options: Any) -> list[Line2D]:
    """A line a state for a legend; -1 is the unknown one."""
    names = state_names(system)
    options = {"linewidth": 2.2, **options}
    return [
        Line2D([], [], label=names[state] if state >= 0 else "active state unknown", **{**state_style(state), **options})
        for state in states
    ]
