"""``mlff models``."""

import json
import shutil

import pytest

from mlff.cli.models import _errors
from mlff.potential import pretrained


@pytest.fixture
def shipped(working_folder, monkeypatch):
    root = working_folder / "models"
    shutil.copytree(working_folder / "model", root / "azobenzene-painn")
    monkeypatch.setattr(pretrained, "models_folder", lambda: root)
    return root


def test_the_table_says_what_each_model_is(shipped, mlff):
    result = mlff("models")
    assert result.exit_code == 0
    for word in ("azobenzene-painn", "painn", "H C O", "azobenzene.h5, split time", "12.3 / 45.6 (test)"):
        assert word in result.stdout


def test_json(shipped, mlff):
    (row,) = json.loads(mlff("models", "--json").stdout)
    assert row["name"] == "azobenzene-painn" and row["num_states"] == 2 and row["extra"]["split"] == "time"


def test_a_listed_name_works_as_a_model(shipped, mlff):
    assert mlff("optimize", "azobenzene-painn", "ethanol.xyz", "--fmax", "0.1").exit_code == 0
    result = mlff("optimize", "azobenzene-pain", "ethanol.xyz", "-o", "a.xyz")
    assert result.exit_code == 2 and "did you mean `azobenzene-painn`?" in result.stderr


def test_no_models(working_folder, mlff, monkeypatch):
    monkeypatch.setattr(pretrained, "models_folder", lambda: None)
    result = mlff("models")
    assert result.exit_code == 0 and "No models are installed" in result.stdout


def test_a_damaged_model_is_named(shipped, mlff):
    file = shipped / "azobenzene-painn" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    result = mlff("models")
    assert result.exit_code == 2 and "truncated" in result.stderr and "azobenzene-painn" in result.stderr


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({}, "-"),
        ({"validation": {"val_energy_mae_meV": 1.25, "val_forces_mae_meV_per_A": None}}, "1.2 / - (val)"),
        ({"errors": {"val": {}}, "validation": None}, "-"),
    ],
)
def test_errors_are_shown_as_far_as_they_are_known(extra, text):
    assert _errors(extra) == text
