"""The moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlff.train.ema import MovingAverage


def test_the_average_follows_its_formula():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = MovingAverage(module, decay=0.9, warmup=False)
    module.weight.data.fill_(1.0)
    average.update(0)
    assert average.averaged.weight.item() == pytest.approx(0.1)
    average.update(1)
    assert average.averaged.weight.item() == pytest.approx(0.19)


def test_warm_up_forgets_the_first_weights():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = MovingAverage(module, decay=0.999, warmup=True)
    module.weight.data.fill_(1.0)
    average.update(0)
    assert average.averaged.weight.item() == pytest.approx(0.9)  # decay 1/10
    for step in range(1, 30):
        average.update(step)
    assert average.averaged.weight.item() > 0.999


def test_without_decay_the_average_is_the_latest_weights():
    module = nn.Linear(3, 2)
    average = MovingAverage(module, decay=0.0)
    module.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    average.update(0)
    assert_close(average.averaged.weight, module.weight, rtol=0, atol=0)
    assert not average.averaged.training and not average.averaged.weight.requires_grad
