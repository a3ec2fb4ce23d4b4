"""``mlff evaluate`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from mlff.cli.main import main
from mlff.datasets import azobenzene
from mlff.models import model_config
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential
from tests.cli.test_train import sentence


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = model_config("painn", num_features=8, num_layers=1)
        potential = Potential.build(config, species=(1, 6, 7), atomic_energies={1: -10.0, 6: -60.0, 7: -80.0})
    return save_potential(potential, tmp_path_factory.mktemp("model") / "model", extra={"states": [0], "state_labels": ["S0"]})


def mlff(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_table_and_the_file_say_the_same(model, tmp_path):
    result = mlff("evaluate", model, "azobenzene", "--json", tmp_path / "e.json", "--predictions", tmp_path / "p.npz")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "e.json").read_text())
    errors = report["errors"]
    assert report["split_name"] == "time" and report["split"] == "test" and errors["num_frames"] == 319
    for key in ("energy_mae_meV", "forces_mae_meV_per_A", "forces_rmse_meV_per_A"):
        assert f"{errors[key]:.2f}" in result.output
    arrays = np.load(tmp_path / "p.npz")
    assert errors["forces_mae_meV_per_A"] == pytest.approx(1000 * np.abs(arrays["forces"] - arrays["forces_ref"]).mean())


def test_errors_are_binned_by_torsion_and_plotted(model, tmp_path):
    result = mlff(
        "evaluate", model, "azobenzene", "--split-name", "trajectory", "--split", "val", "--bins", "torsion:5,6,7,8",
        "--plot", tmp_path / "parity.png", "--json", tmp_path / "e.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "e.json").read_text())
    bins = report["torsion"]["bins"]
    assert sum(row["num_frames"] for row in bins) == report["errors"]["num_frames"]
    assert "150-180" in result.output
    for name in ("parity.png", "parity_forces.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_all_frames_can_be_evaluated(model, tmp_path):
    result = mlff("evaluate", model, "azobenzene", "--split", "all", "--json", tmp_path / "e.json", "--batch-size", 100)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "e.json").read_text())["errors"]["num_frames"] == 2194


def test_a_model_is_evaluated_on_the_split_that_it_was_trained_on(model, tmp_path):
    """Frames that test in one split train in another."""
    extra = {"split": "trajectory", "data": "azobenzene.h5"}
    save_potential(load_potential(model), tmp_path / "model", extra=extra)
    arguments = ("evaluate", tmp_path / "model", "azobenzene", "--json", tmp_path / "e.json")
    assert mlff(*arguments).exit_code == 0
    assert json.loads((tmp_path / "e.json").read_text())["split_name"] == "trajectory"
    with pytest.warns(UserWarning, match="was trained on split `trajectory`"):
        mlff(*arguments, "--split-name", "time", "--overwrite")
    assert json.loads((tmp_path / "e.json").read_text())["split_name"] == "time"


WRONG = [
    (("no-such-model", "azobenzene"), "no-such-model"),
    (("MODEL", "missing.h5"), "there is no data file `missing.h5`"),
    (("MODEL", "azobenzene", "--split-name", "weekly"), "has no split 'weekly'"),
    (("MODEL", "azobenzene", "--split", "validation"), "'validation' is not one of"),
    (("MODEL", "azobenzene", "--split", "all", "--split-name", "time"), "leave one out"),
    (("MODEL", "azobenzene", "--bins", "angle:1,2,3"), "write torsion:I,J,K,L"),
    (("MODEL", "azobenzene", "--bins", "torsion:1,2,3,99"), "four different atoms, counted from 0 to 23"),
    (("MODEL", "azobenzene", "--json", "no/folder/e.json"), "the folder of the output `no/folder/e.json` does not exist"),
    (("MODEL", "azobenzene", "--states", "3,"), "state 3 was asked for"),
    (("MODEL", "azobenzene", "--states", "3"), "has 1 state(s) but 3 of the data were chosen"),
    (("MODEL", "azobenzene", "--states", "0"), "write `0,` with a comma"),
    (("MODEL", "azobenzene", "--states", str(10**20)), "are more than a file may have"),
    (("MODEL", "azobenzene", "--states", "x"), "--states is 'x'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_typed_wrong_ends_in_one_sentence(model, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in sentence(mlff("evaluate", *(str(model) if each == "MODEL" else each for each in arguments)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--json", "--plot", "--predictions"])
def test_the_data_are_not_replaced_by_their_errors(model, tmp_path, option):
    data = tmp_path / "azo.h5"
    data.write_bytes(azobenzene().path.read_bytes())
    result = mlff("evaluate", model, data, option, data)
    assert result.exit_code == 2 and "is the input itself" in sentence(result)
    assert data.read_bytes() == azobenzene().path.read_bytes()


@pytest.mark.parametrize(
    ("option", "given", "there"),
    [("--json", "e.json", "e.json"), ("--predictions", "p.npz", "p.npz"), ("--plot", "p.png", "p.png"),
     ("--plot", "p.png", "p_forces.png"), ("--plot", "p.png", "p_calibration.png")],
)  # fmt: skip
def test_files_that_exist_are_replaced_only_when_asked(model, tmp_path, option, given, there):
    (tmp_path / there).write_text("notes")
    result = mlff("evaluate", model, "azobenzene", option, tmp_path / given)
    assert result.exit_code == 2 and "(--overwrite)" in sentence(result)
    assert [path.name for path in tmp_path.iterdir()] == [there] and (tmp_path / there).read_text() == "notes"
