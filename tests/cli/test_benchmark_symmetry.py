"""``mlff benchmark symmetry``: the table, the figures, and the exit code."""

from __future__ import annotations

import json

import pytest
import torch

from mlff.models import SchNet
from mlff.nn import Features

SMALL = ":num_features=8,num_layers=1"


def test_models_are_what_they_declare(mlff, working_folder):
    models = (f"gnn{SMALL}", f"painn{SMALL}", "model")
    result = mlff("benchmark", "symmetry", *models, "--structures", "ethanol.xyz", "--draws", "1", "--json", "symmetry.json")
    assert result.exit_code == 0, result.output
    document = json.loads((working_folder / "symmetry.json").read_text())
    gnn, painn, trained = document["results"]
    assert gnn["declared"] == "none" and gnn["holds"] == {
        "rotation": False, "reflection": False, "translation": False, "permutation": True
    }  # fmt: skip
    for each in (painn, trained):
        assert all(each["holds"].values()) and each["deviations"]["rotation"]["forces"] < 1e-11
    assert document["limit"] == 1e-8 and document["settings"]["frames"] == 1 and document["machine"]["processor"]
    assert result.stdout.count("as declared") == 3 and "1 structures of ethanol.xyz" in result.stdout
    again = mlff("benchmark", "symmetry", f"painn{SMALL}", "--json", "symmetry.json")
    assert again.exit_code == 2 and "--overwrite" in again.output


def test_a_model_that_is_not_what_it_declares_is_named_and_ends_with_1(mlff, working_folder, monkeypatch):
    inner = SchNet.forward
    along_x = lambda self, graph: Features(inner(self, graph).scalar + 1e-3 * graph.positions[:, :1])  # noqa: E731
    monkeypatch.setattr(SchNet, "forward", along_x)
    result = mlff("benchmark", "symmetry", f"schnet{SMALL}", "--frames", "1", "--draws", "1")
    assert result.exit_code == 1, result.output
    assert "breaks rotation, reflection, translation" in result.stdout and "*" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["pain"], "pain"), (["painn:features=3"], "has no option 'features'"), (["--structures", "none.xyz"], "none.xyz")],
)
def test_what_cannot_be_measured_is_a_sentence(mlff, working_folder, arguments, words):
    result = mlff("benchmark", "symmetry", *arguments)
    assert result.exit_code == 2 and words in result.output and "Traceback" not in result.output


def test_trained_weights_are_measured_as_they_are(mlff, working_folder):
    result = mlff("benchmark", "symmetry", "azobenzene-painn", "--frames", "1", "--draws", "1", "--dtype", "float32")
    assert result.exit_code == 0, result.output
    assert "azobenzene-painn" in result.stdout and torch.get_default_dtype() == torch.float32
