"""Fine-tuning: a run goes on from a model's errors, frozen parameters stay, and resuming needs the run alone."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mlff.graph import build_graph
from mlff.models import MODELS, model_config
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential
from mlff.train.config import TrainConfig
from mlff.train.initial import begin_from, freeze, matches
from mlff.train.metrics import evaluate
from mlff.train.prepare import build_potential, prepare_data
from mlff.train.run_folder import resume_config
from mlff.train.state import load_state
from mlff.train.trainer import train

from .runs import Killed, assert_same_end, kill_at

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies"),
    pytest.mark.usefixtures("plain_report"),
]

SHIPPED = "azobenzene-painn"
SMALL_DATA = {"num_train": 24, "num_val": 8, "num_test": 16}


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def fine_tuning(tmp_path: Path, *overrides: str, **sections: object) -> TrainConfig:
    values = {
        "data": SMALL_DATA, "init_from": SHIPPED, "batch_size": 8, "epochs": 2, "accelerator": "cpu", "num_threads": 1,
        "out": str(tmp_path / "tuned"), **sections,
    }  # fmt: skip
    return TrainConfig.build(values, overrides)


def begun(config: TrainConfig) -> tuple[Potential, list[str]]:
    data = prepare_data(config.data, config.loss)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return begin_from(config, data, build_potential(config, data, torch.float32))


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """A small PaiNN for H, C, N with one state and energies of its own, not trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        potential = Potential.build(
            model_config("painn", num_features=8, num_layers=1), species=(1, 6, 7), scale=0.7,
            atomic_energies={1: -11.0, 6: -48.0, 7: -71.0},
        )  # fmt: skip
    return save_potential(potential, tmp_path / "small")


def test_the_network_is_unchanged_and_the_energies_move_to_the_data(tmp_path):
    config = fine_tuning(tmp_path)
    data = prepare_data(config.data, config.loss)
    old, (new, messages) = load_potential(SHIPPED), begun(config)
    before = evaluate(old, data.dataset, data.test)
    after = evaluate(new.eval(), data.dataset, data.test)
    assert new.config.model == old.config.model and new.config.scale != old.config.scale
    np.testing.assert_allclose(after.predictions["forces"], before.predictions["forces"], rtol=1e-4, atol=1e-4)
    assert after.error("energy").mae == pytest.approx(before.error("energy").mae, abs=3.0)
    assert any("Reference energies were fitted anew" in message for message in messages)


def test_energies_of_another_level_of_theory_are_met_by_reference_energies(small_model, two_states, tmp_path):
    """The same network energies plus a constant an element: the fit finds the constants where compositions tell them apart."""
    config = fine_tuning(tmp_path, init_from=str(small_model), data={"path": str(two_states), "states": [0]})
    data = prepare_data(config.data, config.loss)
    new, messages = begun(config)
    assert any("never saw O" in message for message in messages)
    predicted = evaluate(new.eval(), data.dataset, data.train, states=[0]).predictions
    error = predicted["energy"] - predicted["energy_ref"]
    formaldehyde = predicted["num_atoms"] == 4
    assert abs(np.nanmean(error[formaldehyde])) < 1e-3 and abs(np.nanmean(error[~formaldehyde])) < 1e-3


def test_given_reference_energies_are_taken_as_they_are(small_model, tmp_path):
    given = {"H": -1.0, "C": -2.0, "N": -3.0}
    config = fine_tuning(tmp_path, init_from=str(small_model), potential={"atomic_energies": given})
    assert begun(config)[0].config.atomic_energies == {1: -1.0, 6: -2.0, 7: -3.0}


def test_another_number_of_states_keeps_all_but_the_last_layer(small_model, two_states, tmp_path):
    config = fine_tuning(tmp_path, init_from=str(small_model), data={"path": str(two_states)})
    new, messages = begun(config)
    old = load_potential(small_model)
    different = {name for name, tensor in new.state_dict().items()
                 if tensor.shape != old.state_dict()[name].shape or not torch.equal(tensor, old.state_dict()[name])}
    assert different == {"head.network.2.weight", "head.network.2.bias"} and new.num_states == 2
    assert any("the model has 1 state, the data 2 states" in message for message in messages)


def test_frozen_parameters_stay_to_the_bit_and_the_others_move(tmp_path, console):
    config = fine_tuning(tmp_path, freeze=["model.embedding", "model.interactions.0", "head"])
    folder = train(config, console=console).folder
    old, new = load_potential(SHIPPED), load_potential(folder)
    latest = load_state(folder / "state")[0]
    for name, tensor in old.named_parameters():
        held = matches(name, config.freeze)
        assert torch.equal(new.get_parameter(name), tensor) == held, name
        assert torch.equal(latest[f"weights.{name}"], tensor) == held, name
    assert "Frozen: " in console.file.getvalue() and "model.interactions.0, head)" in console.file.getvalue()


def test_a_fine_tuned_run_starts_at_the_errors_of_its_model(tmp_path, console):
    """After one tiny step it is still far better than the same architecture from new weights after two epochs."""
    config = fine_tuning(tmp_path, "epochs=1", "batch_size=24", "optimizer.learning_rate=1e-6")
    tuned = train(config, console=console).metrics["test"].error("forces").mae
    data = prepare_data(config.data, config.loss)
    assert tuned == pytest.approx(evaluate(load_potential(SHIPPED), data.dataset, data.test).error("forces").mae, abs=1.0)


def test_a_resumed_run_ends_as_an_uninterrupted_one_without_the_first_model(small_model, tmp_path, console, monkeypatch):
    settings = {"init_from": str(small_model), "freeze": ["model.embedding"]}
    whole = train(fine_tuning(tmp_path, out=str(tmp_path / "whole"), **settings), console=console).folder
    config = fine_tuning(tmp_path, **settings)
    with monkeypatch.context() as patch:
        kill_at(patch, 4)
        with pytest.raises(Killed):
            train(config, console=console)
    shutil.rmtree(small_model)
    resumed = train(resume_config(config.out), resume=True, console=console).folder
    assert_same_end(whole, resumed)
    with pytest.raises(ValueError, match="`freeze` .* cannot change"):
        resume_config(resumed, ["freeze=[head]"])


def test_the_architecture_comes_from_the_model_and_may_be_repeated(small_model, tmp_path):
    assert fine_tuning(tmp_path, init_from=str(small_model)).model["num_features"] == 8
    repeated = fine_tuning(tmp_path, "model=painn", "model.num_features=8", init_from=str(small_model))
    assert repeated.model == fine_tuning(tmp_path, init_from=str(small_model)).model


WRONG = [
    ({"model": "egnn"}, "`model` is 'egnn', but the weights of .* were made for 'painn'"),
    ({"model": {"num_features": 16}}, "`model.num_features` is 16, but the weights of .* were made for 8"),
    ({"model": {"num_featurs": 16}}, "did you mean 'num_features'"),
    ({"model": {"name": "painn", **model_config("painn").model_dump(mode="json")}}, "`model.num_features` is 128, but"),
    ({"init_from": "azobenzene-pain"}, "did you mean `azobenzene-painn`"),
    ({"freeze": "model.embeding"}, "did you mean `model.embedding`"),
    ({"freeze": "nothing.like.it"}, "begins with `nothing.like.it`; there are head.network, model.embedding"),
    ({"freeze": ["model", "head"]}, "nothing to train"),
    ({"init_from": None, "freeze": "head"}, "`freeze` keeps weights of a model that `init_from` names"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_what_cannot_be_is_a_sentence_and_leaves_no_run(small_model, tmp_path, console, change, words):
    with pytest.raises(ValueError, match=words):
        train(fine_tuning(tmp_path, **{"init_from": str(small_model), **change}), console=console)
    assert not (tmp_path / "tuned").exists()


def test_frozen_embeddings_of_unknown_elements_are_refused(small_model, two_states, tmp_path):
    config = fine_tuning(tmp_path, init_from=str(small_model), freeze="model.embedding", data={"path": str(two_states)})
    with pytest.raises(ValueError, match="never saw O, and `freeze` would keep"):
        begun(config)


@pytest.mark.parametrize("name", MODELS)
def test_any_model_trains_with_frozen_embeddings(name):
    """Every architecture has parameters under ``model.`` and ``head.``; what is frozen gets no gradient."""
    potential = Potential.build(model_config(name, num_features=8), species=(1, 8))
    freeze(potential, ["model"])
    graph = build_graph([[0, 0, 0.1], [0, 0.8, -0.5], [0, -0.8, -0.5]], [8, 1, 1], potential.cutoff)
    potential(graph)["forces"].square().sum().backward()
    assert {n for n, p in potential.named_parameters() if p.grad is not None} <= {
        n for n, _ in potential.named_parameters() if n.startswith("head.")
    }
