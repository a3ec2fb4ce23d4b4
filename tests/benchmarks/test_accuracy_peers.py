"""What the scripts that train peers share: the frames that we see, the end of the budget, our measure of errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.peers import accuracy, training
from mlff.benchmarks.accuracy.row import Row, read_row, write_row
from mlff.train.clock import CLOCKS
from mlff.train.config import LossConfig
from mlff.train.data_config import DataConfig
from mlff.train.prepare import prepare_data

NUMBERS = {"train": 12, "val": 6, "test": 5}


@pytest.fixture(scope="module")
def parts():
    return training.read_parts("azobenzene", "time", NUMBERS)


def task(parts, tmp_path, started=0.0):
    return training.Task(parts["train"], parts["val"], parts["test"], tmp_path, 1.0, "processor", started, 2e-3, 0, 1)


def test_peers_see_the_frames_that_our_training_sees(parts):
    ours = prepare_data(DataConfig(split="time", num_train=12, num_val=6, num_test=5), LossConfig())
    for part in NUMBERS:
        np.testing.assert_array_equal(parts[part].indices, getattr(ours, part))
    frame = ours.dataset[int(ours.train[3])]
    np.testing.assert_array_equal(parts["train"].atoms[3].positions, frame.positions)
    np.testing.assert_array_equal(parts["train"].forces[3], frame.forces[:, 0])
    assert parts["train"].energies[3] == frame.energy[0]


def test_errors_are_those_of_the_predictions(parts, tmp_path):
    """A peer that is 10 meV too high everywhere, and 20 meV/angstrom wrong with either sign."""
    frames = parts["test"]
    place = iter(range(len(frames.atoms)))

    def predict(structures):
        chosen = [next(place) for _ in structures]
        forces = np.concatenate([frames.forces[k] for k in chosen])
        return frames.energies[chosen] + 0.01, forces + 0.02 * np.where(np.arange(len(forces)) % 2, 1, -1)[:, None]

    table = training.measure(predict, frames, tmp_path / "predictions.npz").table()
    assert table["num_frames"] == 5 and table["energy_mae_meV"] == pytest.approx(10, rel=1e-6)
    assert table["forces_mae_meV_per_A"] == pytest.approx(table["forces_rmse_meV_per_A"]) == pytest.approx(20, rel=1e-5)
    with np.load(tmp_path / "predictions.npz") as stored:
        np.testing.assert_array_equal(stored["indices"], frames.indices)


def test_the_learning_rate_falls_to_zero_where_the_budget_ends(parts, tmp_path, monkeypatch):
    time = [0.0]
    monkeypatch.setitem(CLOCKS, "processor", lambda: time[0])
    callback = training.budget_callback(object, task(parts, tmp_path))
    group = {"lr": 7.0}
    trainer = SimpleNamespace(optimizers=[SimpleNamespace(param_groups=[group])], should_stop=False)
    callback.on_train_epoch_start(trainer, None)
    rates = []
    while not trainer.should_stop:
        callback.on_train_batch_start(trainer, None, None, 0)
        rates.append(group["lr"])
        time[0] += 15.0
        callback.on_train_batch_end(trainer, None, None, None, 0)
    assert rates == pytest.approx([1e-3 * (1 + math.cos(math.pi * k / 4)) for k in range(4)])
    assert callback.steps == 4 and callback.seconds == pytest.approx(60)


def test_finished_runs_are_not_trained_again(tmp_path, monkeypatch):
    folder = tmp_path / "azobenzene" / "schnetpack-painn" / "lr-0.001" / "seed-0"
    row = Row("azobenzene", "PaiNN", 1e-3, 0, "1 minutes", package="schnetpack", md_milliseconds=3.0, test_forces_mae=57.0)
    write_row(folder, row)
    monkeypatch.setattr(accuracy.subprocess, "run", lambda *arguments, **options: pytest.fail("a process was started"))
    monkeypatch.setattr(accuracy.Contender, "command", lambda self, *arguments: [__file__])
    options = ["schnetpack-painn", "--data", "azobenzene", "--minutes", "1", "--learning-rate", "1e-3", "--seed", "0"]
    result = CliRunner().invoke(accuracy.main, [*options, "-o", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0 and "| schnetpack PaiNN | 0.001 | 1 | 57.0 |" in result.output
    assert read_row(folder) == row
