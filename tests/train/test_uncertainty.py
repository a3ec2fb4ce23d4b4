"""Spread of a committee: what evaluation says of it, and that calibration is recognised where it is there."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.main import main
from mlff.potential.checkpoint import load_potential
from mlff.train.config import TrainConfig
from mlff.train.metrics import evaluate, select_frames
from mlff.train.uncertainty import calibration, calibration_text, evaluate_committee, plot_calibration

SMALL = {
    "data": {"path": "azobenzene", "num_train": 16, "num_val": 4, "num_test": 4},
    "model": {"name": "painn", "num_features": 8, "num_layers": 1},
    "epochs": 1,
}


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def committee(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "two"
    config = folder.with_name("config.yaml")
    config.write_text(TrainConfig.build(SMALL).to_yaml())
    told = run("train", config, "--committee", 2, "--seed", 5, "--out", folder)
    assert told.exit_code == 0, told.output
    assert "A committee of 2 is in" in " ".join(told.output.split())
    return folder


def test_members_differ_in_their_seeds_alone(committee):
    one, two = (TrainConfig.from_yaml(committee / f"member-{k}" / "config.yaml") for k in range(2))
    assert (one.seed, two.seed) == (5, 6)
    assert one.model_copy(update={"seed": 6, "out": two.out}) == two


def test_evaluation_is_of_the_mean_and_tells_the_spread(committee, azobenzene, tmp_path):
    members = [load_potential(committee / f"member-{k}") for k in range(2)]
    frames = azobenzene.split("time")["test"][:6]
    both = evaluate_committee(members, azobenzene, frames, batch_size=4).predictions
    alone = [evaluate(each, azobenzene, frames).predictions for each in members]
    for name in ("energy", "forces"):
        values = np.array([each[name] for each in alone], dtype=np.float64)
        np.testing.assert_allclose(both[name], values.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(both[f"{name}_uncertainty"], values.std(axis=0, ddof=1), atol=2e-4)
    told = run("evaluate", committee, "azobenzene", "--plot", tmp_path / "p.png", "--json", tmp_path / "e.json",
               "--predictions", tmp_path / "p.npz", "--bins", "torsion:5,6,7,8")  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "Mean of 2 members" in told.output
    assert (tmp_path / "p_calibration.png").stat().st_size > 5000
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["members"] == 2
    assert report["calibration"]["forces"]["num_values"] == 319 * 24 * 3
    assert np.load(tmp_path / "p.npz")["forces_uncertainty"].shape == (319 * 24, 1, 3)


def test_a_committee_goes_on_where_it_was(committee):
    told = run("train", "--resume", committee, "--epochs", 2)
    assert told.exit_code == 0, told.output
    for k in range(2):
        assert json.loads((committee / f"member-{k}" / "summary.json").read_text())["epochs"] == 2


def test_a_member_that_was_never_begun_is_trained(committee, tmp_path):
    folder = tmp_path / "begun"
    (folder / "member-0").mkdir(parents=True)
    (folder / "committee.yaml").write_bytes((committee / "committee.yaml").read_bytes())
    (folder / "member-0").rmdir()
    told = run("train", "--resume", folder)
    assert told.exit_code == 0, told.output
    assert sorted(path.name for path in folder.glob("member-*/model")) == ["model", "model"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--resume", "{}", "--committee", 2), "leave --committee out"),
        (("--resume", "{}", "model.num_features=9"), "cannot change"),
        (("--data", "azobenzene", "--out", "{}", "--committee", 2), "holds files that are no run"),
        (("--data", "azobenzene", "--out", "{}/new", "--committee", 2, "devices=2"), "one after the other"),
    ],
)
def test_mistakes_are_told(committee, arguments, sentence):
    result = run("train", *(str(each).format(committee) for each in arguments))
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())


def made(spread, error):
    """Predictions with these spreads and errors of forces, [N]."""
    forces = np.zeros((len(error), 1, 3))
    return {
        "energy": np.zeros((1, 1)), "energy_ref": np.full((1, 1), np.nan), "energy_uncertainty": np.ones((1, 1)),
        "forces": forces + error[:, None, None], "forces_ref": forces,
        "forces_uncertainty": forces + spread[:, None, None], "num_atoms": np.array([len(error)]),
    }  # fmt: skip


def test_a_calibrated_committee_is_recognised(tmp_path):
    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(size=20_000))
    figures = calibration(made(spread, spread * rng.normal(size=20_000)), "forces")
    assert figures["ratio"] == pytest.approx(1.0, abs=0.05)
    assert figures["rank_correlation"] > 0.5
    for row in figures["bins"]:
        assert row["error"] == pytest.approx(row["spread"], rel=0.15)
    assert sum(row["num_values"] for row in figures["bins"]) == figures["num_values"] == 60_000
    twice = calibration(made(0.5 * spread, spread), "forces")
    assert twice["ratio"] == pytest.approx(2.0)


def test_what_is_not_defined_is_left_out(tmp_path):
    predictions = made(np.zeros(8), np.ones(8))
    assert calibration(predictions, "energy")["num_values"] == 0
    figures = calibration(predictions, "forces")
    assert figures["ratio"] is None and figures["rank_correlation"] is None
    assert calibration_text(predictions) == [
        "forces: spread 0.00 meV/Å, error 1000 meV/Å (RMS), error / spread –, rank correlation –"
    ]
    assert plot_calibration(predictions, tmp_path / "a.png").exists()
    nothing = {**predictions, "forces_ref": np.full((8, 1, 3), np.nan)}
    assert plot_calibration(nothing, tmp_path / "b.png").exists()


def test_one_model_has_no_spread(committee, azobenzene):
    with pytest.raises(ValueError, match="the spread of 1 model is not defined"):
        evaluate_committee([load_potential(committee / "member-0")], azobenzene, [0])


def test_frames_are_selected_with_their_spread():
    from mlff.train.metrics import Metrics

    predictions = made(np.ones(8), np.ones(8)) | {"num_atoms": np.array([3, 5])}
    predictions |= {name: np.zeros((2, 1)) for name in ("energy", "energy_ref", "energy_uncertainty")}
    chosen = select_frames(Metrics(predictions), np.array([False, True])).predictions
    assert chosen["forces_uncertainty"].shape == (5, 1, 3)
    assert chosen["energy_uncertainty"].shape == (1, 1)
