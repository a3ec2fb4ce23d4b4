"""Training and evaluating on several data files, as it is typed."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tests.cli.test_train import SMALL, mlff, plain_report, sentence  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies")


def test_files_that_are_given_together_are_trained_and_evaluated_together(tmp_path, azobenzene):
    shutil.copy(azobenzene.path, tmp_path / "it's.h5")
    run, files = tmp_path / "run", (azobenzene.path, tmp_path / "it's.h5")
    result = mlff(
        "train", "--data", "azobenzene", "--data", files[1], "--split", "trajectory", "--out", run, "--epochs", 1, *SMALL,
        "data.filter.time=100,200",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "data.filter (time 100.0, 200.0) keeps" in result.output
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["path"] == ["azobenzene", str(files[1])]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["dataset"]["path"] == [str(file) for file in files]
    with pytest.warns(UserWarning, match="trained and tested on frames with time 100.0, 200.0; these are all frames"):
        result = mlff("evaluate", run, "azobenzene", files[1], "--json", tmp_path / "e.json", "--batch-size", 100)
    assert result.exit_code == 0 and "azobenzene.h5, it's.h5, test of split trajectory" in result.output, result.output
    num_frames = json.loads((tmp_path / "e.json").read_text())["errors"]["num_frames"]
    assert num_frames == 2 * len(azobenzene.split("trajectory")["test"])


def test_a_file_given_twice_is_told(tmp_path):
    words = sentence(mlff("train", "--data", "azobenzene", "--data", "azobenzene", "--out", tmp_path / "run"))
    assert "azobenzene.h5 is given twice" in words
