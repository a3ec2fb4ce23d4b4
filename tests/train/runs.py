"""Runs that are killed, and how two runs are compared."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mlff.train import loop
from mlff.train.state import load_state


class Killed(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    original = loop.Trainer._train_step

    def step_or_die(self, indices):
        if self.step == step:
            raise Killed
        original(self, indices)

    monkeypatch.setattr(loop.Trainer, "_train_step", step_or_die)


def assert_same_end(first: Path, second: Path) -> None:
    """The same weights, averages, optimizer, best model and records, to the last bit."""
    (a, a_numbers), (b, b_numbers) = load_state(first / "state"), load_state(second / "state")
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    clocks = ("elapsed_s", "epoch_seconds", "train_seconds", "tensors", "tensors_sha256")
    assert {k: v for k, v in a_numbers.items() if k not in clocks} == {k: v for k, v in b_numbers.items() if k not in clocks}
    models = [load_file(run / "model" / "weights.safetensors") for run in (first, second)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    timeless = ("time_s", "frames_per_second")
    rows = [[{k: v for k, v in row.items() if k not in timeless} for row in read_rows(run)] for run in (first, second)]
    assert rows[0] == rows[1]


def read_rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))
