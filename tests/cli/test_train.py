"""``mlff train`` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from mlff.cli.main import main
from mlff.potential.checkpoint import load_potential

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies")

SMALL = (
    "data.num_train=12", "data.num_val=4", "data.num_test=4", "model.num_features=8", "model.num_layers=1",
    "num_threads=1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def plain_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the pictures out of the report, which take longer than a small run."""
    monkeypatch.setattr("mlff.train.report.write_report", lambda run: (Path(run) / "report.html").write_text("report"))


def mlff(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def sentence(result: Result) -> str:
    """The one line of an error a user made."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("Usage", "Try", "Warning")) and line]
    assert len(lines) == 1 and lines[0].startswith("Error: "), result.output
    return lines[0]


def test_a_model_is_trained_without_a_configuration_file(tmp_path):
    run = tmp_path / "run"
    result = mlff("train", "--data", "azobenzene", "--model", "painn", "--out", run, "--epochs", 1, *SMALL)
    assert result.exit_code == 0, result.output
    assert f'MLFFCalculator("{run}")' in result.output and f"mlff md {run} molecule.xyz" in result.output
    assert "forces" in result.output and "meV/Å" in result.output
    assert load_potential(run).config.model.num_features == 8


def test_options_and_overrides_win_over_the_file(tmp_path):
    (tmp_path / "c.yaml").write_text("epochs: 50\nmodel: {name: egnn, num_layers: 2}\nseed: 5\ndata: {split: time}\n")
    result = mlff(
        "train", tmp_path / "c.yaml", "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 4, "--split", "trajectory",
        "--states", "1", *SMALL, "optimizer.learning_rate=1e-4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["epochs"], written["batch_size"], written["seed"]) == (1, 4, 5)
    assert written["data"]["split"] == "trajectory" and written["data"]["states"] == [0]
    assert written["model"]["name"] == "egnn" and written["model"]["num_layers"] == 1
    assert written["optimizer"]["learning_rate"] == 1e-4


def test_a_run_is_resumed_by_its_folder_alone(tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert mlff("train", "--data", "azobenzene", "--out", run, "--epochs", 1, *SMALL).exit_code == 0
    monkeypatch.chdir(tmp_path)
    again = mlff("train", "--resume", "run")
    assert again.exit_code == 0 and "Nothing is left to train" in again.output
    longer = mlff("train", "--resume", "run", "--epochs", 2)
    assert longer.exit_code == 0 and "all 2 epochs done" in longer.output
    refused = mlff("train", "--resume", "run", "--seed", 3)
    assert "`seed` (it was 0) cannot change" in sentence(refused)


WRONG = [
    ((), "nothing to train on was given"),
    (("--data", "azobenzene"), "no folder to write the run to was given; name one with --out RUN"),
    (("--data", "missing.h5", "--out", "OUT"), "there is no data file `missing.h5`"),
    (("missing.yaml",), "there is no configuration file `missing.yaml`"),
    (("--data", "azobenzene", "--out", "OUT", "--model", "pain"), "did you mean 'painn'?"),
    (("--data", "azobenzene", "--out", "OUT", "learning_rate=1"), "did you mean `optimizer.learning_rate`?"),
    (("--data", "azobenzene", "--out", "OUT", "--epochs", "none"), "`epochs` is 'none'"),
    (("--data", "azobenzene", "--out", "OUT", "--epochs", "2", "epochs=3"), "`epochs` is given twice"),
    (("--data", "azobenzene", "--out", "OUT", "--max-time", "-1"), "`max_time` is -1"),
    (("--data", "azobenzene", "--out", "OUT", "--split", "tiem"), "has no split 'tiem'; it has: time, trajectory"),
    (("--data", "azobenzene", "--out", "OUT", "--states", "a"), "`data.states.0` is 'a'"),
    (("--data", "azobenzene", "--out", "OUT", "--states", "1,"), "state 1 was asked for"),
    (("--data", "azobenzene", "--out", "OUT", "--states", "2"), "state 1 was asked for"),
    (("--data", "azobenzene", "--out", "OUT", "--states", "0"), "write `0,` with a comma (in a file [0]) for state 0 alone"),
    (("--data", "azobenzene", "--out", "OUT", "--nac", "straight"), "`potential.couplings` is 'straight'"),
    (("--data", "azobenzene", "--out", "OUT", "--nac"), "have no couplings between the states"),
    (("--data", "azobenzene", "--out", "OUT", "--dipoles"), "`potential.dipoles` (--dipoles) is set, but"),
    (("--data", "azobenzene", "--out", "OUT", "--soc", "compile=true"), "`potential.soc` is set; leave one of them out"),
    (("--data", "azobenzene", "--out", "OUT", "--diabatic"), "a matrix of several states, but one state is learned"),
    (("--data", "azobenzene", "--out", "OUT", "--diabatic", "--nac", "direct"), "have their couplings from the matrix"),
    (("--data", "azobenzene", "--out", "OUT", "epochs=1", "nonsense"), "`nonsense` is no override"),
    (("--resume", "OUT"), "there is no run to resume in `OUT`"),
    (("c.yaml", "--resume", "OUT"), "--resume takes its configuration from the run; leave `c.yaml` out"),
    (("--data", "azobenzene", "--out", "OUT", "accelerator=cuda", "devices=99"), "GPU"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_typed_wrong_ends_in_one_sentence_and_leaves_no_run(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in sentence(mlff("train", *arguments))
    assert not (tmp_path / "OUT").exists()


def test_data_that_are_no_dataset_are_refused(tmp_path):
    (tmp_path / "data.h5").write_text("no hdf5")
    assert "data.h5" in sentence(mlff("train", "--data", tmp_path / "data.h5", "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_ends_with_exit_code_2_and_an_explanation(tmp_path):
    result = mlff("train", "--data", "azobenzene", "--out", tmp_path / "run", *SMALL, "optimizer.learning_rate=1e6")
    assert "training diverged in epoch" in sentence(result)


def test_an_interrupted_run_says_how_to_go_on(tmp_path, monkeypatch):
    import signal

    from mlff.train import loop

    original = loop.Trainer._train_step

    def stop_after(self, indices):
        original(self, indices)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "_train_step", stop_after)
    run = tmp_path / "run"
    result = mlff("train", "--data", "azobenzene", "--out", run, *SMALL)
    assert result.exit_code == 130 and f"mlff train --resume {run}" in result.output
