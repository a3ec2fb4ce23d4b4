"""``mlff pretrain`` and ``mlff train --init-from`` as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

SMALL = ("data.num_train=16", "data.num_val=4", "data.num_test=4", "num_threads=1")
MODEL = ("model.num_features=8", "model.num_layers=1")

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies")


@pytest.fixture(autouse=True)
def plain_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the pictures out of the report, which take longer than a small run."""
    monkeypatch.setattr("mlff.train.report.write_report", lambda run: (Path(run) / "report.html").write_text("report"))


def test_pretrain_then_train_then_resume(mlff, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = mlff("pretrain", "--out", "pre", "--epochs", 1, "--noise", 0.03, *SMALL, *MODEL)
    assert first.exit_code == 0, first.output
    assert "mlff train --data FILE.h5 --init-from" in first.output
    written = yaml.safe_load(Path("pre/config.yaml").read_text())
    assert written["data"]["noise"] == 0.03 and written["data"]["path"] == "chno"
    assert written["data"]["filter"]["max_force"] == 0.1 and written["loss"]["energy"] == 0
    assert mlff("train", "--resume", "pre", "--epochs", 2).exit_code == 0
    arguments = ("--data", "azobenzene", "--init-from", "pre", "--freeze", "model.embedding", "--freeze", "head.network.0")
    second = mlff("train", *arguments, "--out", "tuned", "--epochs", 1, *SMALL)
    assert second.exit_code == 0, second.output
    assert "Begins with the weights of pre" in second.output and "Frozen: " in second.output
    written = yaml.safe_load(Path("tuned/config.yaml").read_text())
    assert written["freeze"] == ["model.embedding", "head.network.0"] and written["init_from"] == str(tmp_path / "pre")
    assert written["model"]["num_features"] == 8
    assert mlff("evaluate", "tuned", "azobenzene", "--split", "val").exit_code == 0
    refused = mlff("evaluate", "pre", "azobenzene")
    assert refused.exit_code == 2 and "was pre-trained to find noise" in refused.stderr


def test_a_file_and_options_win_over_the_defaults(mlff, tmp_path):
    (tmp_path / "c.yaml").write_text("data: {path: azobenzene, noise: 0.02, filter: {max_force: 50}}\nmodel: egnn\n")
    options = ("--out", tmp_path / "run", "--epochs", 1, "--max-force", 60, *SMALL, *MODEL)
    result = mlff("pretrain", tmp_path / "c.yaml", *options)
    assert result.exit_code == 0, result.output
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["data"]["noise"], written["data"]["filter"]["max_force"]) == (0.02, 60)
    assert written["model"]["name"] == "egnn" and written["loss"]["forces"] == 1.0


WRONG = [
    ((), "name one with --out RUN"),
    (("--out", "OUT", "--noise", "much"), "`data.noise` is 'much'"),
    (("--out", "OUT", "--noise", "null"), "give its standard deviation in Å with --noise"),
    (("--out", "OUT", "--noise", "0.1", "data.noise=0.2"), "`data.noise` is given twice"),
    (("--out", "OUT", "--data", "azobenzene"), "frames of"),
    (("--out", "OUT", "--data", "azobenzene", "--max-force", "null", "loss.energy=1"), "which has no energy"),
    (("--out", "OUT", "--data", "missing.h5"), "there is no data file `missing.h5`"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_typed_wrong_ends_in_a_sentence_and_leaves_no_run(mlff, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    result = mlff("pretrain", *arguments)
    assert result.exit_code == 2 and words in result.stderr, result.output
    assert not (tmp_path / "OUT").exists()
