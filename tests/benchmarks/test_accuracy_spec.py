"""The specification of a comparison: what it decides, what it leaves to models, and in which words it refuses."""

import pytest

from mlff.benchmarks.accuracy.spec import Spec, merged

SMALL = {"data": "azobenzene", "models": ["painn"], "budget": {"epochs": 2}}


def config(spec, model=0, rate=None):
    return spec.config(spec.models[model], spec.data[0], ("file.h5",), 7, rate, "run")


def test_a_model_has_the_common_settings_and_then_its_own():
    spec = Spec.build(SMALL | {
        "settings": {"model": {"name": "painn", "num_features": 16}, "batch_size": 4, "loss": {"kind": "mae"}},
        "models": ["painn", {"name": "wide", "model": {"num_features": 32}}, {"name": "tensornet", "batch_size": 2},
                   {"name": "weights", "loss": {"energy": 0.5}}],
    })  # fmt: skip
    painn, wide, tensornet, weights = (config(spec, k) for k in range(4))
    assert (painn.model["name"], painn.model["num_features"], painn.batch_size) == ("painn", 16, 4)
    assert (wide.model["name"], wide.model["num_features"]) == ("painn", 32)
    assert (tensornet.model["name"], tensornet.batch_size) == ("tensornet", 2)
    assert tensornet.model["num_features"] != 16, "another architecture does not inherit the options of the first"
    assert (weights.loss.kind, weights.loss.energy) == ("mae", 0.5)
    assert all(each.seed == 7 and each.out == "run" and each.epochs == 2 for each in (painn, wide, tensornet))


def test_a_model_named_as_an_architecture_is_that_one_whatever_else_is_set():
    spec = Spec.build(SMALL | {
        "settings": {"model": {"name": "painn", "num_features": 16}},
        "models": [{"name": "schnet", "model": {"num_layers": 2}}, {"name": "egnn", "model": {"name": "tensornet"}}],
    })  # fmt: skip
    assert (config(spec).model["name"], config(spec).model["num_layers"]) == ("schnet", 2)
    assert config(spec, 1).model["name"] == "tensornet"


def test_budgets_end_the_schedule_and_say_what_they_are():
    minutes = Spec.build(SMALL | {"budget": {"minutes": 60}})
    processor = Spec.build(SMALL | {"budget": {"processor_minutes": 3}})
    converged = Spec.build(SMALL | {"budget": {"patience": 30}})
    assert (config(minutes).max_time, config(minutes).clock) == (60, "wall")
    assert (config(processor).max_time, config(processor).clock) == (3, "processor")
    assert config(converged).schedule.kind == "plateau" and config(converged).schedule.patience == 10
    assert config(converged).early_stopping.patience == 30 and config(converged).max_time is None
    words = [each.budget.words for each in (minutes, processor, converged)]
    assert words == ["60 minutes", "3 processor minutes", "converged, patience 30"]


def test_a_learning_rate_of_the_grid_comes_before_that_of_the_settings():
    spec = Spec.build(SMALL | {"settings": {"optimizer": {"learning_rate": 1e-4, "weight_decay": 0}}})
    assert config(spec).optimizer.learning_rate == 1e-4
    assert config(spec, rate=3e-3).optimizer.learning_rate == 3e-3
    assert config(spec, rate=3e-3).optimizer.weight_decay == 0


def test_data_keep_the_keys_of_training_and_are_named_after_their_file():
    spec = Spec.build(SMALL | {"data": [{"path": "some/rmd17 aspirin.npz", "divide": "random", "num_train": 950}, "chno"]})
    assert [each.label for each in spec.data] == ["rmd17-aspirin", "chno"]
    made = spec.config(spec.models[0], spec.data[0], ("runs/data/rmd17-aspirin.h5",), 0, None, "run")
    assert (made.data.path, made.data.split, made.data.num_train) == ("runs/data/rmd17-aspirin.h5", "random", 950)


def test_an_entry_that_begins_from_a_model_need_not_name_its_architecture():
    spec = Spec.build(SMALL | {"models": [{"name": "tuned", "init_from": "azobenzene-tensornet"}]})
    made = spec.config(spec.models[0], spec.data[0], ("data.h5",), 0, None, "run")
    assert (made.model["name"], made.init_from) == ("tensornet", "azobenzene-tensornet")


def test_merging_changes_neither_side():
    first, second = {"a": {"b": 1}, "model": "painn"}, {"a": {"c": 2}, "model": {"num_features": 3}}
    assert merged(first, second) == {"a": {"b": 1, "c": 2}, "model": {"name": "painn", "num_features": 3}}
    assert first == {"a": {"b": 1}, "model": "painn"} and second == {"a": {"c": 2}, "model": {"num_features": 3}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ["painn"]}, "there is no key `model` in the specification: did you mean `models`?"),
        ({"budget": {"minute": 3}}, "no key `budget.minute`.*did you mean `minutes`"),
        ({"budget": {}}, "give one of `minutes`, `processor_minutes`, `epochs` and `patience`; got none"),
        ({"budget": {"minutes": 3, "epochs": 4}}, "got minutes, epochs"),
        ({"budget": {"minutes": -1}}, "`budget.minutes` is -1, but it should be greater than 0"),
        ({"models": "painn"}, "must be a list of models"),
        ({"models": []}, "`models` is empty"),
        ({"models": ["painn", "painn"]}, "`models` has 'painn' twice"),
        ({"models": ["pain"]}, "did you mean 'painn'"),
        ({"models": [{"name": "wide", "model": {"num_features": 8}}]}, "the model `wide` names no architecture: write"),
        ({"models": [{"model": "painn"}]}, "a model is a name, or `name:` and keys"),
        ({"models": [{"name": "../up", "model": "painn"}]}, "name of a folder, too"),
        ({"models": [{"name": "x", "model": "painn", "seed": 3}]}, "`x` sets `seed`, which"),
        ({"models": [{"name": "x", "model": "painn", "optimiser": {}}]}, "the model `x`: there is no key `optimiser`"),
        ({"settings": {"epochs": 3}}, "`settings` sets `epochs`"),
        ({"settings": ["a"]}, "must hold keys of a training configuration"),
        ({"settings": {"loss": {"force": 1}}}, "no key `loss.force`.*did you mean `loss.forces`"),
        ({"seeds": [0, 0]}, "`seeds` has 0 twice"),
        ({"seeds": [-1]}, "seeds are whole numbers from 0 on"),
        ({"learning_rates": [0]}, "learning rates are above 0"),
        ({"speed": "quick"}, "`speed.mode` is 'quick'"),
        ({"data": {"path": "a.h5", "divide": "atoms"}}, "'time', 'trajectory' or 'random'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(changes, words):
    with pytest.raises(ValueError, match=words):
        Spec.build(SMALL | changes)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="lacks `budget`; it needs `data`, `models` and `budget`"):
        Spec.build({"data": "azobenzene", "models": ["painn"]})
