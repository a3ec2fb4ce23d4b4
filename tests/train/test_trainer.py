"""Whole runs on a few frames: what they leave, what they refuse, how they end."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.potential.checkpoint import load_potential
from mlff.train.clock import CLOCKS
from mlff.train.config import TrainConfig
from mlff.train.divergence import DivergenceWatch, TrainingDiverged
from mlff.train.gradients import FlatGradient
from mlff.train.logs import COLUMNS
from mlff.train.metrics import evaluate
from mlff.train.trainer import train

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies"),
    pytest.mark.usefixtures("plain_report"),
]


def rows_of(run):
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_a_run_leaves_all_that_is_known_of_it(quick, console, azobenzene):
    config = quick()
    threads = torch.get_num_threads()
    random = torch.get_rng_state()
    result = train(config, console=console)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), random)
    run = result.folder
    rows = rows_of(run)
    assert tuple(rows[0]) == COLUMNS and [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert TrainConfig.from_yaml(run / "config.yaml") == config
    assert list((run / "tensorboard").iterdir()) and (run / "report.html").is_file()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["stop_reason"] == "all 3 epochs done" and summary["errors"]["test"]["num_frames"] == 16
    potential = load_potential(run)
    stored = np.load(run / "predictions_test.npz")
    assert set(stored["indices"]) <= set(azobenzene.split("time")["test"])
    again = evaluate(potential, azobenzene, stored["indices"], 10).predictions
    np.testing.assert_array_equal(stored["energy"], again["energy"])
    np.testing.assert_array_equal(stored["forces_ref"], again["forces_ref"])
    printed = console.file.getvalue()
    assert "val F meV/Å" in printed and f'MLFFCalculator("{run}")' in printed


def test_the_first_energies_are_centred(quick, console):
    result = train(quick("epochs=1", "optimizer.learning_rate=1e-9"), console=console)
    assert result.metrics["val"].error("energy").mae < 2000  # a random network alone is off by 10 eV


def test_a_folder_that_holds_something_is_left_alone(quick, console):
    config = quick("epochs=1")
    train(config, console=console)
    before = {path: path.stat().st_mtime_ns for path in sorted(Path(config.out).rglob("*"))}
    with pytest.raises(ValueError, match="holds a run already: go on with it by `mlff train --resume"):
        train(config, console=console)
    assert before == {path: path.stat().st_mtime_ns for path in sorted(Path(config.out).rglob("*"))}


def test_other_files_and_plain_files_are_no_place_for_a_run(quick, console, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="holds files that are no run"):
        train(quick(out="other"), console=console)
    with pytest.raises(ValueError, match="is a file"):
        train(quick(out="other/thesis.tex"), console=console)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_wrong_beginning_leaves_no_folder(quick, console, tmp_path):
    with pytest.raises(ValueError, match="has no split 'weekly'"):
        train(quick("data.split=weekly"), console=console)
    with pytest.raises(ValueError, match="there is no data file"):
        train(quick("data.path=missing.h5"), console=console)
    with pytest.raises(ValueError, match="the training frames of .* have no stress"):
        train(quick("loss.stress=1"), console=console)
    with pytest.raises(ValueError, match="state 2 was asked for"):
        train(quick("data.states=3"), console=console)
    with pytest.raises(ValueError, match="has no value for C, N"):
        train(quick("potential.atomic_energies={H: -10.0}"), console=console)
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "config.yaml").exists()


def test_several_states_with_gaps_are_learned(quick, console, two_states):
    harmonic = "potential.zbl=false"  # the data have atoms close together, at energies that know no repulsion
    config = quick("optimizer.learning_rate=1e-2", "epochs=15", "loss.kind=mse", harmonic, f"data.path={two_states}", data={})
    result = train(config, console=console)
    test = result.metrics["test"]
    assert {test.error("energy", state).count for state in (0, 1)} == {10, test.error("energy", 1).count}
    first, last = rows_of(result.folder)[0], rows_of(result.folder)[-1]
    assert float(last["val_loss"]) < 0.7 * float(first["val_loss"])
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["state_labels"] == ["S0", "S1"]


def test_one_state_of_several_can_be_learned(quick, console, two_states):
    config = quick("data.states=[1]", "epochs=2", f"data.path={two_states}", data={})
    result = train(config, console=console)
    potential = load_potential(result.folder)
    assert potential.num_states == 1
    energies = evaluate(potential, HDF5Dataset(two_states), np.arange(1, 30, 3), states=[1]).predictions["energy"]
    assert abs(energies.mean() + 96) < 3


def test_frames_without_energies_need_a_loss_without_them(quick, console, tmp_path):
    rng = np.random.default_rng(0)
    with HDF5Writer(tmp_path / "forces.h5") as writer:
        writer.add_system("HF", [1, 9])
        frames = {"positions": rng.normal(size=(20, 2, 3)), "forces": rng.normal(size=(20, 2, 1, 3)).astype(np.float32),
                  "energy": np.full((20, 1), np.nan)}  # fmt: skip
        writer.add_trajectory("HF", frames, name="a", dt=1.0)
        writer.add_split("given", {"train": np.arange(10), "val": np.arange(10, 15), "test": np.arange(15, 20)})
    data = f"data.path={tmp_path / 'forces.h5'}"
    with pytest.raises(ValueError, match="has an energy; set `loss.energy=0`"):
        train(quick(data, data={}), console=console)
    assert train(quick(data, "loss.energy=0", "epochs=1", data={}), console=console).metrics["test"].error("forces").count == 30


def test_stress_is_learned_where_it_has_a_reference(quick, console, tmp_path):
    rng = np.random.default_rng(0)
    positions = np.array([[0.0, 0.0, 0.0], [1.8, 1.8, 1.8]]) + 0.1 * rng.normal(size=(20, 2, 3))
    common = {"energy": rng.normal(size=(20, 1)), "energy_valid": np.ones((20, 1), bool),
              "forces": rng.normal(size=(20, 2, 1, 3)).astype(np.float32), "forces_valid": np.ones((20, 1), bool)}  # fmt: skip
    with HDF5Writer(tmp_path / "solid.h5") as writer:
        writer.add_system("CsCl", [55, 17])
        writer.add_system("molecule", [55, 17])
        solid = {"cell": np.tile(3.6 * np.eye(3), (20, 1, 1)), "pbc": np.ones((20, 3), bool), "stress_valid": np.ones(20, bool),
                 "stress": (0.01 + 0.001 * rng.normal(size=(20, 1, 6))).astype(np.float32)}  # fmt: skip
        writer.add_trajectory("CsCl", {"positions": positions, **common, **solid}, name="a", dt=1.0)
        writer.add_trajectory("molecule", {"positions": positions, **common}, name="b", dt=1.0)
        rows = np.arange(20)
        parts = {"train": rows[:10], "val": rows[10:15], "test": np.r_[rows[15:], rows[:6] + 20]}
        writer.add_split("given", parts)
    config = quick(f"data.path={tmp_path / 'solid.h5'}", "loss.stress=100", "epochs=8", "optimizer.learning_rate=0.01", data={})
    result = train(config, console=console)
    first, last = rows_of(result.folder)[0], rows_of(result.folder)[-1]
    assert float(last["val_loss"]) < float(first["val_loss"])
    test = result.metrics["test"]
    assert test.error("stress").count == 5 * 6 and test.error("stress").unit == "meV/Å³"
    assert np.isfinite(test.table()["stress_mae_meV_per_A3"])


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_precisions(quick, console, precision):
    result = train(quick("epochs=1", f"precision={precision}"), console=console)
    dtype = {"64-true": torch.float64, "bf16-mixed": torch.float32}[precision]
    assert load_potential(result.folder).dtype == dtype
    assert torch.get_default_dtype() == torch.float32


def test_the_run_ends_at_its_time_with_the_learning_rate_at_its_end(quick, console, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setitem(CLOCKS, "wall", lambda: 0.02 * next(ticks))  # a busy machine's own clock would blur the end
    result = train(quick("epochs=100000", "max_time=0.1", "schedule.warmup_steps=0"), console=console)
    assert "time limit of 0.1 minutes reached" in result.stop_reason
    assert CLOCKS["wall"]() < 7.0
    rates = [float(row["learning_rate"]) for row in rows_of(result.folder)]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.01e-3


def test_a_run_without_progress_stops_early(quick, console):
    result = train(quick("epochs=50", "early_stopping.patience=2", "optimizer.learning_rate=1e-30"), console=console)
    assert result.stop_reason == "no better validation loss for 2 epochs"
    assert len(rows_of(result.folder)) == 3 and result.best_epoch == 1


def test_a_diverging_run_stops_with_an_explanation_and_keeps_its_best_model(quick, console, monkeypatch):
    import mlff.train.loop as module

    steps = module.Trainer._train_step

    def break_later(self, indices):
        if self.step == 7:
            next(self.potential.parameters()).data.fill_(float("nan"))
        steps(self, indices)

    monkeypatch.setattr(module.Trainer, "_train_step", break_later)
    config = quick()
    words = r"diverged in epoch 2 .*: the loss became nan\. The best model so far \(epoch 1\)"
    with pytest.raises(TrainingDiverged, match=words):
        train(config, console=console)
    assert all(parameter.isfinite().all() for parameter in load_potential(config.out).parameters())


def test_a_learning_rate_far_too_high_is_noticed(quick, console):
    with pytest.raises(TrainingDiverged, match=r"lower optimizer.learning_rate \(it is 10000\)"):
        train(quick("optimizer.learning_rate=1e4", "epochs=200"), console=console)


def test_an_explosion_is_noticed_and_a_single_bad_batch_is_not():
    watch = DivergenceWatch()
    assert watch.problem(2.0, 1) is None
    assert watch.problem(10_000.0, 1) is None
    assert all(watch.problem(2.0, 1) is None for _ in range(100))
    assert any(watch.problem(10_000.0, 1) for _ in range(50))


def test_the_gradient_is_one_vector_and_is_clipped_to_its_norm():
    module = torch.nn.Linear(2, 1)
    gradient = FlatGradient(module)
    module(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert gradient.vector.tolist() == [3.0, 4.0, 1.0]
    gradient.clip(1.0)
    assert module.weight.grad.norm().item() == pytest.approx((25 / 26) ** 0.5)
    gradient.clip(10.0)
    assert gradient.vector.norm().item() == pytest.approx(1.0)
    gradient.zero()
    assert module.bias.grad.item() == 0.0
