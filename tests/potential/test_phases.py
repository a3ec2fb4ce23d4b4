"""Signs of states: exact against brute force, and free of the signs that references come with."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mlff.potential.phases import EXACT_STATES, connected, pair_signs, state_signs


def all_pairs(num_states: int) -> tuple[tuple[int, int], ...]:
    return tuple(itertools.combinations(range(num_states), 2))


def energy(interaction: torch.Tensor, signs: torch.Tensor, pairs) -> torch.Tensor:
    return (interaction * pair_signs(signs, pairs)).sum(1)


def brute_force(interaction: torch.Tensor, pairs, num_states: int) -> torch.Tensor:
    choices = [torch.tensor([s], dtype=torch.float64) for s in itertools.product((1.0, -1.0), repeat=num_states)]
    return torch.stack([energy(interaction, s.expand(len(interaction), -1), pairs) for s in choices]).min(0).values


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**31), st.data())
def test_the_signs_are_the_best_of_all_for_any_pairs(num_states, seed, data):
    pairs = data.draw(st.lists(st.sampled_from(all_pairs(num_states)), unique=True, min_size=1))
    interaction = torch.from_numpy(np.random.default_rng(seed).normal(size=(5, len(pairs))))
    signs = state_signs(interaction, pairs, num_states)
    assert set(signs.unique().tolist()) <= {1.0, -1.0}
    assert_close(energy(interaction, signs, pairs), brute_force(interaction, pairs, num_states))


def test_groups_of_states_that_no_pair_connects_are_apart():
    pairs = ((0, 1), (2, 3), (3, 4), (1, 1))
    assert connected(pairs, 6) == (((0, 1), (0,)), ((2, 3, 4), (1, 2)))
    assert state_signs(torch.tensor([[3.0, -1.0, 2.0, 9.0]]), pairs, 6).prod() == 1  # 0-1 and 3-4 differ: two of each


def test_many_connected_states_end_where_no_flip_helps_and_whatever_the_signs_they_came_with():
    num_states = EXACT_STATES + 4
    pairs = all_pairs(num_states)
    generator = torch.Generator().manual_seed(0)
    interaction = torch.randn(6, len(pairs), generator=generator, dtype=torch.float64)
    signs = state_signs(interaction, pairs, num_states)
    least = energy(interaction, signs, pairs)
    for state in range(num_states):
        flipped = signs.clone()
        flipped[:, state] *= -1
        assert (energy(interaction, flipped, pairs) >= least - 1e-9).all()
    turned = torch.randint(0, 2, (6, num_states), generator=generator).double() * 2 - 1
    again = interaction * pair_signs(turned, pairs)
    assert_close(energy(again, state_signs(again, pairs, num_states), pairs), least)


def test_many_connected_states_are_found_exactly_where_one_choice_suits_every_pair():
    num_states = EXACT_STATES + 2
    pairs = all_pairs(num_states)
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randint(0, 2, (4, num_states), generator=generator).double() * 2 - 1
    interaction = -torch.rand(4, len(pairs), generator=generator).double() * pair_signs(hidden, pairs)
    assert_close(energy(interaction, state_signs(interaction, pairs, num_states), pairs), -interaction.abs().sum(1))
