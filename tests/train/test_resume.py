"""Resuming: exact, after any kind of stop, and never as another run."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import yaml
from rich.console import Console

from mlff.potential.checkpoint import load_potential
from mlff.train import loop
from mlff.train.clock import CLOCKS
from mlff.train.config import TrainConfig
from mlff.train.run_folder import RunFolder, resume_config
from mlff.train.state import load_state
from mlff.train.trainer import train

from .runs import Killed, assert_same_end, kill_at, read_rows

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies"),
    pytest.mark.usefixtures("plain_report"),
]

TRAIN = """
import sys, mlff.train.report
from pathlib import Path
mlff.train.report.write_report = lambda run: (Path(run) / "report.html").write_text("report")
from mlff.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.mark.parametrize(
    "options",
    [
        (), ("optimizer.kind=adamw",),
        ("schedule.kind=plateau", "schedule.patience=0", "loss.kind=huber", "optimizer.learning_rate=0.02"),
    ],
)
@pytest.mark.parametrize("step", [0, 3, 9])
def test_a_killed_run_ends_bit_for_bit_as_an_uninterrupted_one(quick, console, monkeypatch, step, options):
    whole = train(quick(*options, out="whole"), console=console).folder
    config = quick(*options, out="killed")
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            train(config, console=console)
    resumed = train(resume_config(config.out), resume=True, console=console).folder
    assert_same_end(whole, resumed)


def test_a_signal_stops_between_two_steps_and_nothing_is_lost(quick, console, monkeypatch):
    whole = train(quick(out="whole"), console=console).folder
    original = loop.Trainer._train_step

    def signal_at_seven(self, indices):
        original(self, indices)
        if self.step == 6:
            signal.raise_signal(signal.SIGTERM)

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", signal_at_seven)
        result = train(quick(out="stopped"), console=console)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    assert result.stop_reason == "interrupted" and not (result.folder / "summary.json").exists()
    assert load_state(result.folder / "state")[1]["batch"] == 2
    resumed = train(resume_config(result.folder), resume=True, console=console).folder
    assert_same_end(whole, resumed)


def test_a_longer_run_goes_on_from_a_finished_one(quick, console):
    folder = train(quick("epochs=1", "schedule.kind=plateau", "schedule.warmup_steps=0"), console=console).folder
    result = train(resume_config(folder, ["epochs=3"]), resume=True, console=console)
    assert result.stop_reason == "all 3 epochs done"
    whole = train(quick("epochs=3", "schedule.kind=plateau", "schedule.warmup_steps=0", out="whole"), console=console).folder
    assert_same_end(whole, folder)
    assert TrainConfig.from_yaml(folder / "config.yaml").epochs == 3


def test_more_time_goes_on_where_the_time_ran_out(quick, console):
    folder = train(quick("epochs=3000", "max_time=0.02"), console=console).folder
    step = load_state(folder / "state")[1]["step"]
    again = train(resume_config(folder, ["max_time=0.04"]), resume=True, console=console)
    after = load_state(folder / "state")[1]
    assert "0.04 minutes" in again.stop_reason
    assert after["step"] > step and 2.4 <= after["elapsed_s"] < 15
    epochs = [int(row["epoch"]) for row in read_rows(folder)]
    assert epochs == sorted(set(epochs))


def test_a_limit_of_processor_minutes_counts_no_time_that_others_take(quick, console, monkeypatch):
    processor = iter(range(10_000))
    monkeypatch.setitem(CLOCKS, "processor", lambda: 0.1 * next(processor))
    monkeypatch.setitem(CLOCKS, "wall", lambda: pytest.fail("the wall clock was read"))
    config = quick("epochs=3000", "max_time=0.1", "clock=processor")
    result = train(config, console=console)
    assert result.stop_reason == "time limit of 0.1 processor minutes reached"
    summary = json.loads((result.folder / "summary.json").read_text())
    assert 6 <= summary["processor_time_s"] < 9 and "wall_time_s" not in summary
    assert 0 < load_state(result.folder / "state")[1]["step"] < 60
    more = train(resume_config(result.folder, ["max_time=0.2"]), resume=True, console=console)
    assert more.stop_reason == "time limit of 0.2 processor minutes reached"


def test_a_finished_run_says_that_nothing_is_left(quick, console):
    folder = train(quick("epochs=1"), console=console).folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = train(resume_config(folder), resume=True, console=console)
    assert "Nothing is left to train" in console.file.getvalue()
    assert result.stop_reason == "all 1 epochs done"
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_killed_at_its_very_end_is_finished_on_resume(quick, console):
    folder = train(quick("epochs=1"), console=console).folder
    (folder / "summary.json").unlink()
    train(resume_config(folder), resume=True, console=console)
    assert (folder / "summary.json").is_file()


def test_settings_that_make_another_run_are_refused_by_name(quick, console):
    folder = train(quick("epochs=1"), console=console).folder
    with pytest.raises(ValueError, match=r"`optimizer.learning_rate` \(it was 0.004\), `seed` \(it was 0\) cannot change"):
        resume_config(folder, ["optimizer.learning_rate=0.1", "seed=3", "epochs=4"])
    with pytest.raises(ValueError, match="there is no run to resume"):
        resume_config(folder / "model")


def test_a_run_from_before_the_choice_of_an_optimizer_goes_on_with_adamw(quick, console):
    whole = train(quick("epochs=2", "optimizer.kind=adamw", out="whole"), console=console).folder
    folder = train(quick("epochs=1", "optimizer.kind=adamw"), console=console).folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["optimizer"].pop("kind") == "adamw"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    wanted = resume_config(folder, ["epochs=2"])
    assert (wanted.optimizer.kind, wanted.optimizer.learning_rate) == ("adamw", 1e-3)
    assert train(wanted, resume=True, console=console).best_epoch == 2
    assert load_state(folder / "state")[0].keys() == load_state(whole / "state")[0].keys()


def test_other_data_are_refused(quick, console, two_states, tmp_path):
    config = quick("epochs=1", f"data.path={two_states}", data={})
    folder = train(config, console=console).folder
    copy = tmp_path / "copy.h5"
    copy.write_bytes(two_states.read_bytes())
    train(resume_config(folder, ["epochs=2", f"data.path={copy}"]), resume=True, console=console)  # the same data elsewhere
    import h5py

    with h5py.File(copy, "r+") as file:
        file["systems/H2O/frames/energy"][...] += 1.0
    with pytest.raises(ValueError, match="are not those that the run began with"):
        train(resume_config(folder, ["epochs=3"]), resume=True, console=console)


def test_a_sigkill_at_any_moment_loses_an_epoch_at_most_and_breaks_nothing(quick, console, tmp_path):
    """Kills a process at random moments until the run is done; each time what lies there is whole."""
    config = quick("epochs=40", "data.num_train=20")
    whole = train(config.model_copy(update={"out": str(tmp_path / "whole")}), console=console).folder
    folder = RunFolder(config.out)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    generator = random.Random(0)
    arguments, epoch, kills = [str(tmp_path / "config.yaml")], 0, 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", TRAIN, "train", *arguments], stdout=subprocess.PIPE, text=True)
        lines: list[str] = []
        reader = threading.Thread(target=lambda p=process, seen=lines: seen.extend(p.stdout), daemon=True)  # type: ignore[arg-type]
        reader.start()
        if kills < 3:
            begun = epoch + generator.randint(1, 9)
            while process.poll() is None and (saved_epoch(folder) or 0) < begun:
                time.sleep(0.002)
            time.sleep(0.05 * generator.random())
            process.kill()
            kills += 1
        process.wait()
        reader.join()
        if process.returncode == 0:
            break
        tensors, document = load_state(folder.state)
        assert document["epoch"] >= epoch
        epoch = document["epoch"]
        assert len(read_rows(folder.path)) in (epoch, epoch + 1)
        assert all(parameter.isfinite().all() for parameter in load_potential(folder.path).parameters())
        arguments = ["--resume", str(folder.path)]
    assert kills == 3 and epoch >= 3
    assert_same_end(whole, folder.path)


def saved_epoch(folder: RunFolder) -> int | None:
    try:
        saved = load_state(folder.state)
    except (ValueError, OSError):  # between the two renames of a writer that is still alive
        return None
    return None if saved is None else saved[1]["epoch"]
