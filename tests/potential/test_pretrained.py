"""Names and paths of models: which is which, and what is said where there is none."""

from pathlib import Path

import pytest
import torch

from mlff.models import model_config
from mlff.potential import pretrained
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential
from mlff.potential.pretrained import list_models, models_folder, resolve


@pytest.fixture
def potential():
    return Potential.build(model_config("painn", num_features=8, num_layers=1), species=(1,))


@pytest.fixture
def shipped(tmp_path, monkeypatch, potential):
    """Two shipped models, and an empty working folder."""
    root = tmp_path / "shipped"
    for name in ("azobenzene-painn", "azobenzene-egnn"):
        save_potential(potential, root / name)
    (root / "README.md").write_text("weights")
    (root / "empty").mkdir()
    monkeypatch.setattr(pretrained, "models_folder", lambda: root)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return root


def test_shipped_models_are_listed_by_name(shipped):
    assert list(list_models()) == ["azobenzene-egnn", "azobenzene-painn"]


def test_a_name_leads_to_its_folder(shipped, potential):
    assert resolve("azobenzene-painn") == shipped / "azobenzene-painn"
    assert torch.equal(load_potential("azobenzene-painn").head.network[0].weight, potential.head.network[0].weight)


def test_an_unknown_name_lists_the_names_and_the_one_that_was_meant(shipped):
    with pytest.raises(ValueError, match="did you mean `azobenzene-painn`.*models: azobenzene-egnn, azobenzene-painn"):
        resolve("azobenzen-pain")
    with pytest.raises(ValueError, match="called `xyz`; Shipped models") as caught:
        resolve("xyz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("path", ["./azobenzene-painn", "runs/a", "a.safetensors", Path("azobenzene-painn")])
def test_a_path_is_no_name(shipped, path):
    with pytest.raises(ValueError, match="no checkpoint at .*no such file or folder"):
        resolve(path)


def test_a_folder_here_of_a_name_that_is_not_shipped_is_a_path(shipped, potential):
    save_potential(potential, "mine")
    assert resolve("mine") == Path("mine")


def test_a_folder_here_of_a_shipped_name_is_ambiguous(shipped, potential):
    save_potential(potential, "azobenzene-painn")
    with pytest.raises(ValueError, match="both a shipped model and a folder here; write `./azobenzene-painn`"):
        resolve("azobenzene-painn")
    assert resolve("./azobenzene-painn") == Path("azobenzene-painn")


def test_run_folders(shipped, potential):
    run = Path("run")
    run.mkdir()
    with pytest.raises(ValueError, match="is no checkpoint"):
        resolve("run")
    (run / "config.yaml").write_text("")
    with pytest.raises(ValueError, match="has not saved a model yet"):
        resolve("run")
    save_potential(potential, run / "model")
    assert resolve("run") == run / "model"


def test_an_empty_text(shipped):
    with pytest.raises(ValueError, match="empty text"):
        resolve("")


def test_no_models_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "models_folder", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert list_models() == {}
    with pytest.raises(ValueError, match="Shipped models: none"):
        resolve("azobenzene-painn")


def test_models_are_found_in_the_source_tree_and_in_a_wheel_but_not_in_a_strangers_folder(tmp_path, monkeypatch):
    package = tmp_path / "site" / "mlff"
    (package / "potential").mkdir(parents=True)
    (tmp_path / "site" / "models").mkdir()
    monkeypatch.setattr(pretrained, "__file__", str(package / "potential" / "pretrained.py"))
    assert models_folder() is None
    (tmp_path / "site" / "pyproject.toml").write_text("")
    assert models_folder() == tmp_path / "site" / "models"
    (package / "_models").mkdir()
    assert models_folder() == package / "_models"


@pytest.mark.parametrize("name", sorted(list_models()))
def test_every_shipped_model_loads(name):
    assert load_potential(name).species
