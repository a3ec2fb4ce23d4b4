"""The configuration: what is accepted, what is refused and in which words."""

from __future__ import annotations

import pytest
import yaml

from mlff.train.config import TrainConfig, flatten, read_yaml

REFUSED = [
    ({"learning_rate": 1e-3}, ("no key `learning_rate`", "did you mean `optimizer.learning_rate`?")),
    ({"lr": 1e-3}, ("did you mean `optimizer.learning_rate`?",)),
    ({"optimizer": {"learnin_rate": 1e-3}}, ("no key `optimizer.learnin_rate`", "`optimizer.learning_rate`?")),
    ({"loss": {"force": 1.0}}, ("no key `loss.force`", "did you mean `loss.forces`?")),
    ({"zzz": 1}, ("no key `zzz`", "the keys there are data, model")),
    ({"optimizer": {"learning_rate": -1}}, ("`optimizer.learning_rate` is -1", "greater than 0")),
    ({"epochs": "many"}, ("`epochs` is 'many'", "integer")),
    ({"schedule": {"kind": "linear"}}, ("`schedule.kind` is 'linear'", "'cosine' or 'plateau'")),
    ({"precision": "16"}, ("`precision` is '16'", "'32-true'")),
    ({"model": "pain"}, ("did you mean 'painn'?",)),
    ({"model": {"name": "painn", "num_radial": 10**20}}, ("num_radial=100000000000000000000", "at most 100000")),
    ({"model": {"name": "painn", "cutoff": 1e-300}}, ("cutoff=1e-300", "greater than or equal to 0.1")),
    ({"init_from": -1}, ("`init_from` is -1", "a valid string")),
    ({"devices": 10**20}, ("`devices`", "1 to 1024, or `auto`")),
    ({"model": {"name": "painn", "num_feature": 8}}, ("no option 'num_feature'", "did you mean 'num_features'?")),
    ({"model": 3}, ("must be the name of an architecture",)),
    ({"loss": {"energy": 0, "forces": 0}}, ("all weights are 0",)),
    ({"optimizer": {"kind": "adam"}}, ("`optimizer.kind` is 'adam'", "'muon' or 'adamw'")),
    ({"data": {"states": [0, 0]}}, ("different whole numbers",)),
    ({"optimizer": {"betas": [0.9, 1.0]}}, ("from 0 to below 1",)),
    ({"devices": 0}, ("must be 1 to 1024",)),
    ({"clock": "processor", "accelerator": "cuda"}, ("on a GPU the processor is not what works", "`clock: wall`")),
    ({"data": "file.h5"}, ("`data` is 'file.h5'",)),
]  # fmt: skip


@pytest.mark.parametrize(("values", "words"), REFUSED)
def test_what_is_wrong_is_said_in_one_sentence_with_the_name_that_was_meant(values, words):
    with pytest.raises(ValueError) as caught:
        TrainConfig.build(values)
    message = str(caught.value)
    assert "\n" not in message and "https://" not in message
    for word in words:
        assert word in message


def test_defaults_train_painn_on_the_embedded_data():
    config = TrainConfig.build()
    assert config.data.path == "azobenzene"
    assert config.model["name"] == "painn"
    assert (config.loss.energy, config.loss.forces, config.loss.stress) == (0.05, 0.95, 0.0)


def test_every_key_can_be_overridden_and_read_back():
    flat = flatten(TrainConfig.build().model_dump(mode="json"))
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}" for key, value in flat.items()]
    assert TrainConfig.build({}, overrides) == TrainConfig.build()


def test_overrides_win_over_the_file_and_reach_nested_keys(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("epochs: 7\noptimizer: {learning_rate: 0.01}\nmodel: egnn\n")
    config = TrainConfig.from_yaml(path, ["optimizer.learning_rate=1e-4", "model.num_features=16", "data.states=0,1"])
    assert config.epochs == 7
    assert config.optimizer.learning_rate == 1e-4
    assert config.model["name"] == "egnn" and config.model["num_features"] == 16
    assert config.data.states == (0, 1)


def test_a_written_configuration_reads_as_itself(tmp_path):
    config = TrainConfig.build({"potential": {"atomic_energies": {"C": -54.1}}, "data": {"states": 1}, "out": "x"})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert TrainConfig.from_yaml(path) == config


@pytest.mark.parametrize("override", ["epochs", "=3", "epochs.x=3", "epochs=[1"])
def test_a_malformed_override_is_refused(override):
    with pytest.raises(ValueError):
        TrainConfig.build({"epochs": 2}, [override])


def test_files_that_are_no_configuration_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no configuration file"):
        read_yaml(tmp_path / "missing.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="key: value"):
        read_yaml(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match="no YAML file"):
        read_yaml(tmp_path / "broken.yaml")


def test_the_configuration_is_constant():
    with pytest.raises(ValueError):
        TrainConfig.build().epochs = 3  # type: ignore[misc]
