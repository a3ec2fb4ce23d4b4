"""The scripts in benchmarks/: the accuracy table and the cards of shipped models say what was measured."""

import json

import pytest
from click.testing import CliRunner

from benchmarks import azobenzene_table, ship_model
from mlff import Potential, load_potential, save_potential
from mlff.datasets import azobenzene
from mlff.models import model_config
from mlff.potential.checkpoint import read_document

SUMMARY = {
    "model": "painn", "num_parameters": 1234, "stop_reason": "all epochs done", "epochs": 7, "steps": 875, "best_epoch": 6,
    "wall_time_s": 1800.0, "frames_per_second": 36.1, "device": "a processor", "processes": 1, "threads": 2,
    "versions": {"mlff": "0.1.0", "torch": "2.13.0"},
    "dataset": {"data": "azobenzene.h5", "split": "time", "num_train": 1250, "level_of_theory": "GFN2-xTB"},
    "errors": {"test": {"num_frames": 319, "energy_mae_meV": 21.04, "forces_mae_meV_per_A": 44.96}},
}  # fmt: skip


@pytest.fixture
def potential():
    config = model_config("painn", num_features=4, num_layers=1, cutoff=3.0)
    return Potential.build(config, species=(1, 6, 7)).eval()


@pytest.fixture
def run(tmp_path, potential):
    """The folder of a finished run."""
    folder = tmp_path / "run"
    save_potential(potential, folder / "model", extra={"data": "azobenzene.h5", "split": "time"})
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "config.yaml").write_text("data: {path: /somewhere/azobenzene.h5}\nepochs: 7\nout: /somewhere/run\n")
    return folder


def test_a_shipped_model_keeps_what_it_is_of_and_what_it_cost(run, tmp_path):
    into = tmp_path / "models"
    result = CliRunner().invoke(ship_model.main, [str(run), "azobenzene-painn", "--into", str(into)])
    assert result.exit_code == 0, result.output
    folder = into / "azobenzene-painn"
    extra = read_document(folder)["extra"]
    assert (extra["split"], extra["epochs"], extra["wall_time_s"]) == ("time", 7, 1800.0)
    assert load_potential(folder).species == (1, 6, 7)
    text = (folder / "README.md").read_text()
    assert "| test | 319 | 21.0 | 45.0 |" in text and "30 minutes, 7 epochs" in text and "epochs: 7" in text
    assert "/somewhere" not in text


def test_an_unfinished_run_is_not_shipped(run):
    (run / "summary.json").unlink()
    result = CliRunner().invoke(ship_model.main, [str(run), "azobenzene-painn"])
    assert result.exit_code != 0 and "not a finished run" in result.output


def test_the_table_counts_every_frame_of_its_bins_and_gives_each_models_errors(potential, tmp_path):
    dataset = azobenzene()
    extra = {"split": "time", "epochs": 7, "wall_time_s": 1800.0, "device": "one GPU"}
    checkpoint = save_potential(potential, tmp_path / "model", extra=extra)
    row = azobenzene_table.measure("azobenzene-painn", checkpoint, dataset)
    for part, num_frames in (("val", 625), ("test", 319)):
        assert row.errors[part]["num_frames"] == num_frames
        bins = row.by_torsion[part]
        assert sum(each["num_frames"] for each in bins) == num_frames
        mean = sum(each["num_frames"] * each.get("forces_mae_meV_per_A", 0) for each in bins) / num_frames
        assert mean == pytest.approx(row.errors[part]["forces_mae_meV_per_A"], rel=1e-5)
    text = azobenzene_table.document([row])
    errors = row.errors["test"]
    assert f"| {errors['energy_mae_meV']:.0f} / {errors['forces_mae_meV_per_A']:.0f} |" in text
    assert "30 min, 7 epochs, one GPU" in text


def test_a_model_of_unknown_training_is_refused(potential, tmp_path):
    checkpoint = save_potential(potential, tmp_path / "model")
    with pytest.raises(ValueError, match="does not say that it was trained on one of time, trajectory"):
        azobenzene_table.measure("azobenzene-painn", checkpoint, azobenzene())


def test_the_table_replaces_what_stands_between_its_marks():
    begin, end = azobenzene_table.MARKS
    text = f"before\n{begin}\nold\n{end}\nafter"
    assert azobenzene_table.insert(text, "new") == f"before\n{begin}\nnew\n{end}\nafter"
    with pytest.raises(ValueError, match="lacks the lines"):
        azobenzene_table.insert("no marks", "new")
