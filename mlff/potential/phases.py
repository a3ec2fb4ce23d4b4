"""Signs of electronic states: couplings and transition dipoles are known up to one sign a state and structure.

An eigenstate times -1 is the same eigenstate, so a quantity of the pair (i, j) may come as s_i s_j times what another
calculation gives, s = +1 or -1. A loss that must not depend on that takes the best of the 2^(S-1) choices of each
structure (the phase-free loss of Westermayr, Gastegger and Marquetand, J. Phys. Chem. Lett. 2020, 11, 3828). For a sum of
errors over pairs, c+ as it is and c- with the sign turned, that is an Ising model on the graph of the pairs::

    min over s of  sum_p s_i s_j J_p,   J_p = (c+_p - c-_p) / 2

Groups of states that no pair connects (the multiplicities, as a rule) are separate problems. Those of up to
``EXACT_STATES`` states are solved exactly by one product of J with the table of all choices; larger ones by the signs of
the lowest eigenvector of J and flips of single states for as long as one helps. That start is exact where a prediction agrees
with its reference up to signs, and both steps turn with the signs of either, so that the loss stays free of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Pairs = tuple[tuple[int, int], ...]

EXACT_STATES = 12
"""Connected states whose sign choices, 2^11 of them, are all looked at."""


def state_signs(interaction: Tensor, pairs: Sequence[tuple[int, int]], num_states: int) -> Tensor:
    """Signs ``[B,S]`` of +1 and -1 that make ``sum_p s_i s_j interaction_p`` least.

    Args:
        interaction: J of every structure and pair ``[B,P]``; zero for a pair that is not known.
        pairs: states (i, j) of the pair axis.
        num_states: S. States that no pair connects with another keep +1.
    """
    signs = interaction.new_ones(len(interaction), num_states)
    for members, where in connected(tuple(pairs), num_states):
        local = tuple((members.index(pairs[p][0]), members.index(pairs[p][1])) for p in where)
        chosen = interaction[:, list(where)]
        solve = _best_of_all if len(members) <= EXACT_STATES else _best_nearby
        signs[:, list(members)] = solve(chosen, local, len(members))
    return signs


def pair_signs(signs: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """The factors s_i s_j of every structure and pair ``[B,P]``, from the signs of the states ``[B,S]``."""
    if not pairs:
        return signs.new_ones(len(signs), 0)
    i, j = (list(each) for each in zip(*pairs))
    return signs[:, i] * signs[:, j]


@lru_cache(maxsize=64)
def connected(pairs: Pairs, num_states: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Groups of two or more states that pairs connect, each with the places of its pairs on the pair axis."""
    group = list(range(num_states))
    for i, j in pairs:
        old, new = group[j], group[i]
        group = [new if each == old else each for each in group]
    found = []
    for name in dict.fromkeys(group):
        members = tuple(state for state in range(num_states) if group[state] == name)
        where = tuple(p for p, (i, j) in enumerate(pairs) if i != j and group[i] == name)
        if where:
            found.append((members, where))
    return tuple(found)


def _best_of_all(interaction: Tensor, pairs: Pairs, num_states: int) -> Tensor:
    """The best of all choices with the first sign +1: ``[B,P]`` to ``[B,S]``."""
    choices = torch.arange(2 ** (num_states - 1), device=interaction.device)
    bits = choices[:, None] >> torch.arange(num_states, device=interaction.device).sub(1).clamp(min=0) & 1
    table = (1 - 2 * bits).to(interaction.dtype)
    table[:, 0] = 1
    return table[(interaction @ pair_signs(table, pairs).T).argmin(1)]


def _best_nearby(interaction: Tensor, pairs: Pairs, num_states: int) -> Tensor:
    """Signs that no flip of one state improves: ``[B,P]`` to ``[B,S]``."""
    matrix = interaction.new_zeros(len(interaction), num_states, num_states, dtype=torch.float64)
    i, j = (list(each) for each in zip(*pairs))
    matrix[:, i, j] = matrix[:, j, i] = interaction.double()
    lowest = torch.linalg.eigh(matrix).eigenvectors[:, :, 0]
    signs = torch.where(lowest < 0, -1.0, 1.0).double()
    rows = torch.arange(len(signs), device=signs.device)
    threshold = -1e-9 * matrix.abs().sum((1, 2))
    while True:  # each turn lowers the sum of some structure by more than rounding, and there are finitely many choices
        change = -2 * signs * (matrix @ signs[:, :, None])[:, :, 0]
        least, state = change.min(1)
        worse = least < threshold
        if not worse.any():
            return signs.to(interaction.dtype)
        signs[rows[worse], state[worse]] *= -1
