"""What a trainer remembers, also of a time when it remembered less."""

from __future__ import annotations

import torch

from mlff.train.loss import TERMS
from mlff.train.snapshot import _all_terms


def test_sums_of_an_epoch_from_before_the_loss_had_terms_for_pairs_of_states_are_read():
    old = torch.tensor([7.0, 3.0, 1.0, 2.0, 0.5, 10.0, 20.0, 5.0])  # loss, steps, three errors, three counts
    new = _all_terms(old)
    assert new.tolist() == [7.0, 3.0, 1.0, 2.0, 0.5, 0.0, 0.0, 0.0, 10.0, 20.0, 5.0, 0.0, 0.0, 0.0]
    assert len(new) == 2 + 2 * len(TERMS)
    assert torch.equal(_all_terms(new), new)
