"""Comparisons: one through the command line as a user has it, and the order, resuming and failures of runs that are made up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from mlff.benchmarks.accuracy import comparison
from mlff.benchmarks.accuracy.comparison import Comparison, Interrupted
from mlff.benchmarks.accuracy.row import read_row
from mlff.benchmarks.accuracy.spec import Spec
from mlff.cli.main import main
from mlff.data import HDF5Dataset

SPEC = {
    "data": {"path": "azobenzene", "num_train": 20, "num_val": 10, "num_test": 10},
    "models": ["painn"],
    "budget": {"epochs": 1},
    "settings": {"model": {"num_features": 8, "num_layers": 1}, "num_threads": 1, "accelerator": "cpu"},
    "speed": {"mode": "eager", "rounds": 1},
}


@dataclass
class Trainings:
    """Stands in for the processes: writes the summary that a run would leave, or ends as it is told."""

    codes: dict[tuple[str, float, int], int] = field(default_factory=dict)
    errors: dict[float, float] = field(default_factory=dict)
    """Learning rate -> error of the forces on val."""
    done: list[tuple[str, float, int]] = field(default_factory=list)

    def __call__(self, run: comparison.Run) -> int:
        config = run.config
        key = (run.model, config.optimizer.learning_rate, config.seed)
        self.done.append(key)
        if code := self.codes.get(key):
            run.log.parent.mkdir(parents=True, exist_ok=True)
            run.log.write_text("first line\nError: the last line\n")
            if code == 130:
                raise Interrupted
            return code
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "config.yaml").write_text(config.to_yaml())
        error = self.errors.get(config.optimizer.learning_rate, 10.0)
        errors = {part: {"energy_mae_meV": 1.0, "forces_mae_meV_per_A": error} for part in ("val", "test")}
        summary = {"stop_reason": "all 1 epochs done", "steps": 2, "wall_time_s": 1.0, "num_parameters": 3,
                   "frames_per_second": 4.0, "threads": 1, "errors": errors, "dataset": {"num_train": 20}}  # fmt: skip
        (run.folder / "summary.json").write_text(json.dumps(summary))
        return 0


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    made = Trainings()
    monkeypatch.setattr(comparison, "_train_in_process", made)
    return made


def compare(tmp_path: Path, **changes: object) -> Comparison:
    return Comparison(Spec.build(SPEC | {"speed": "none"} | changes), tmp_path / "runs")


def run_mlff(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_comparison_from_a_file_is_trained_once_and_read_ever_after(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC | {"out": "runs"}))
    result = run_mlff("benchmark", "accuracy", "spec.yaml")
    assert result.exit_code == 0, result.output
    row = read_row(Path("runs/azobenzene/painn/lr-0.004/seed-0"))
    assert row is not None and row.budget == "1 epoch" and row.epochs == 1 and row.steps == 2
    assert 0 < row.test_forces_mae <= row.test_forces_rmse and row.peak_megabytes > 50 and row.frames_per_second > 0
    assert row.md_mode == "eager" and row.md_milliseconds > 0
    assert "painn" in result.stdout and f"{row.test_forces_mae:.1f}" in result.stdout
    assert all((Path("runs") / name).is_file() for name in ("runs.csv", "runs.json", "table.md", "errors_and_cost.png"))
    monkeypatch.setattr(comparison, "_train_in_process", lambda run: pytest.fail("a finished run was trained again"))
    assert run_mlff("benchmark", "accuracy", "spec.yaml").exit_code == 0
    assert run_mlff("benchmark", "accuracy", "spec.yaml", "--table-only").exit_code == 0
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC | {"out": "runs", "budget": {"epochs": 2}}))
    refused = run_mlff("benchmark", "accuracy", "spec.yaml")
    assert refused.exit_code == 2 and "holds a run with `epochs` 1, not 2" in refused.output


def test_steps_of_a_model_that_cannot_be_compiled_are_not_called_compiled(monkeypatch, tmp_path):
    pytest.importorskip("torch_geometric", reason="the model `dimenet++` needs it")
    monkeypatch.chdir(tmp_path)
    small = {"name": "dimenet++", "model": {"name": "dimenet++", "num_features": 8, "num_layers": 1}}
    timed = {"out": "runs", "models": [small], "speed": {"mode": "compiled", "rounds": 1}}
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC | timed))
    result = run_mlff("benchmark", "accuracy", "spec.yaml")
    assert result.exit_code == 0, result.output
    row = read_row(Path("runs/azobenzene/dimenet++/lr-0.004/seed-0"))
    assert row.md_mode == "eager" and row.md_milliseconds > 0 and " eager" in Path("runs/table.md").read_text()


def test_the_best_rate_of_the_first_seed_goes_on_with_the_others(trainings, tmp_path):
    trainings.errors = {1e-3: 30.0, 2e-3: 20.0, 4e-3: 25.0}
    done = compare(tmp_path, learning_rates=[1e-3, 2e-3, 4e-3], seeds=[5, 6, 7])
    assert done.train() == [] and done.num_runs == len(trainings.done) == 5
    assert [(rate, seed) for _, rate, seed in trainings.done] == [(1e-3, 5), (2e-3, 5), (4e-3, 5), (2e-3, 6), (2e-3, 7)]
    assert compare(tmp_path, learning_rates=[1e-3, 2e-3, 4e-3], seeds=[5, 6, 7]).train() == []
    assert len(trainings.done) == 5, "finished runs are read"


def test_every_model_has_its_first_seed_before_any_has_its_second(trainings, tmp_path):
    compare(tmp_path, models=["painn", "egnn"], seeds=[0, 1], settings={}).train()
    assert [(model, seed) for model, _, seed in trainings.done] == [("painn", 0), ("egnn", 0), ("painn", 1), ("egnn", 1)]


def test_after_an_interruption_it_goes_on_where_it_was(trainings, tmp_path):
    trainings.codes = {("painn", 4e-3, 1): 130}
    with pytest.raises(Interrupted):
        compare(tmp_path, seeds=[0, 1, 2]).train()
    trainings.codes.clear()
    trainings.done.clear()
    assert compare(tmp_path, seeds=[0, 1, 2]).train() == []
    assert [seed for _, _, seed in trainings.done] == [1, 2]


def test_a_failure_is_told_and_the_others_go_on(trainings, tmp_path):
    trainings.codes = {("painn", 4e-3, 0): 2, ("egnn", 4e-3, 0): comparison.ELSEWHERE, ("schnet", 4e-3, 0): -9}
    problems = compare(tmp_path, models=["painn", "egnn", "schnet", "gvp"], settings={}).train()
    assert len(problems) == 3 and len(trainings.done) == 4
    assert "exit code 2: the last line" in problems[0] and "another process is training it" in problems[1]
    assert "too much memory" in problems[2]


def test_a_divergence_is_a_result_and_not_tried_again(trainings, tmp_path):
    trainings.codes = {("painn", 4e-3, 0): comparison.DIVERGED}
    assert compare(tmp_path).train() == compare(tmp_path).train() == []
    row = read_row(tmp_path / "runs/azobenzene/painn/lr-0.004/seed-0")
    assert row is not None and "the last line" in str(row.error) and len(trainings.done) == 1


def test_two_processes_do_not_train_one_run(tmp_path):
    from filelock import FileLock

    from mlff.benchmarks.accuracy import worker

    (run,) = compare(tmp_path).first_runs()
    run.folder.mkdir(parents=True)
    with FileLock(run.folder / ".lock"):
        assert worker.main(json.dumps(run.config.model_dump(mode="json"))) == comparison.ELSEWHERE
    assert not (run.folder / "config.yaml").exists()


def test_ctrl_c_stops_the_training_between_two_steps_and_this_process_knows():
    code = ("import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
            "print(1, flush=True); time.sleep(60)")  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline()
    with comparison._passed_on(process) as received:
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)
        assert process.wait() == 7 and time.monotonic() - began < 30
    process.stdout.close()
    assert received == [signal.SIGINT]


def test_data_of_other_formats_are_imported_once_and_divided(trainings, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "water.npz", nuclear_charges=[8, 1, 1], coords=rng.normal(size=(40, 3, 3)),
             energies=rng.normal(size=40), forces=rng.normal(size=(40, 3, 3)))  # fmt: skip
    data = {"path": str(tmp_path / "water.npz"), "divide": "random", "fractions": [0.5, 0.25, 0.25]}
    told: list[str] = []
    made = Comparison(Spec.build(SPEC | {"data": data}), tmp_path / "runs", told.append)
    dataset = HDF5Dataset(tmp_path / "runs/data/water.h5")
    assert {part: len(indices) for part, indices in dataset.split("random").items()} == {"train": 20, "val": 10, "test": 10}
    (run,) = made.first_runs()
    assert run.config.data.paths == (str(tmp_path / "runs/data/water.h5"),) and run.structure.is_file()
    Comparison(Spec.build(SPEC | {"data": data}), tmp_path / "runs", told.append)
    assert len(told) == 1, "it is imported once"
    with pytest.raises(ValueError, match="seed 0, fractions .0.5, 0.25, 0.25., and `data` asks for .*seed 1, "):
        Comparison(Spec.build(SPEC | {"data": data | {"divide_seed": 1}}), tmp_path / "runs", told.append)
    Comparison(Spec.build(SPEC | {"data": data | {"divide_seed": 1, "split": "other"}}), tmp_path / "runs", told.append)
    both = [HDF5Dataset(tmp_path / "runs/data/water.h5").split(name)["test"] for name in ("random", "other")]
    assert sorted(both[0]) != sorted(both[1]) and len(told) == 1
    os.utime(tmp_path / "water.npz")
    Comparison(Spec.build(SPEC | {"data": data}), tmp_path / "runs", told.append)
    assert len(told) == 2 and "is newer than" in told[1]
    assert sorted(path.name for path in (tmp_path / "runs/data").iterdir()) == ["water.h5", "water.xyz"]


def test_data_without_a_split_are_refused_with_what_makes_one_and_leave_no_file(trainings, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "water.npz", nuclear_charges=[8, 1, 1], coords=rng.normal(size=(40, 3, 3)),
             energies=rng.normal(size=40), forces=rng.normal(size=(40, 3, 3)))  # fmt: skip
    with pytest.raises(ValueError, match="has no split into train, val and test; say how to make one: .*divide: time"):
        compare(tmp_path, data={"path": str(tmp_path / "water.npz")})
    assert list((tmp_path / "runs/data").iterdir()) == []


def test_a_native_file_is_divided_in_a_copy(trainings, tmp_path):
    from mlff.datasets import azobenzene

    source = tmp_path / "mine.h5"
    source.write_bytes(Path(azobenzene().path).read_bytes())
    before = source.read_bytes()
    compare(tmp_path, data={"path": str(source), "divide": "trajectory"})
    assert source.read_bytes() == before
    assert "trajectory" in HDF5Dataset(tmp_path / "runs/data/mine.h5").splits


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"path": "missing.h5"}, "missing.h5"),
        ({"path": "azobenzene", "divide": "time"}, "goes with one file of yours"),
        ({"path": "azobenzene", "split": "nonsense"}, "nonsense"),
    ],
)
def test_data_that_cannot_be_used_are_refused_before_anything_is_trained(trainings, tmp_path, data, words):
    with pytest.raises((ValueError, OSError), match=words):
        compare(tmp_path, data=data).train()
    assert trainings.done == []
