"""Rows and tables: what is averaged with what, which learning rate counts, and what is drawn."""

import csv
import json
import math

import pytest

from mlff.benchmarks.accuracy.plot import plot_accuracy
from mlff.benchmarks.accuracy.row import Row, error_columns, read_row, read_rows, write_row
from mlff.benchmarks.accuracy.table import cells, markdown, summarize, write_tables


def row(model="painn", rate=1e-3, seed=0, val=50.0, test=60.0, **other):
    errors = {"val_energy_mae": 20.0, "val_forces_mae": val, "test_energy_mae": 25.0, "test_forces_mae": test}
    known = {"data": "azobenzene", "budget": "3 minutes", "model": model, "learning_rate": rate, "seed": seed}
    return Row(**(known | errors | other))


def test_the_learning_rate_is_chosen_on_val_whatever_test_says():
    rows = [row(rate=1e-3, val=50, test=40), row(rate=2e-3, val=45, test=70), row(rate=2e-3, seed=1, val=47, test=74)]
    (summary,) = summarize(rows)
    assert summary.first.learning_rate == 2e-3 and summary.tried == (1e-3, 2e-3)
    assert summary.cell("test_forces_mae") == f"72.0 ± {math.sqrt(8):.1f}"


def test_runs_of_other_budgets_data_or_packages_are_not_averaged():
    rows = [row(), row(seed=1), row(budget="60 minutes"), row(data="chno"), row(package="schnetpack")]
    assert sorted(len(each.rows) for each in summarize(rows)) == [1, 1, 1, 2]
    text = markdown(summarize(rows))
    assert "azobenzene, 3 minutes a run:" in text and "azobenzene, 60 minutes a run:" in text
    assert "| schnetpack painn | 0.001 | 1 | 20.0 | 50.0 |" in text


def test_a_run_that_diverged_is_worse_than_any_other():
    diverged = row(rate=5e-3, val=None, test=None, error="the loss became nan")
    (summary,) = summarize([diverged, row(rate=1e-3, val=9e9)])
    assert summary.first.learning_rate == 1e-3
    (alone,) = summarize([diverged])
    assert alone.cell("test_forces_mae") == "-" and cells(alone, [])[2] == "0 of 1"


def test_the_best_on_test_stand_first():
    assert [each.name for each in summarize([row("a", test=70), row("b", test=50), row("c", test=60)])] == ["b", "c", "a"]


def test_a_row_is_read_as_it_was_written_and_one_of_a_newer_version_too(tmp_path):
    (tmp_path / "run").mkdir()
    written = row(md_mode="compiled", md_milliseconds=1.5)
    write_row(tmp_path / "run", written)
    assert read_row(tmp_path / "run") == written and read_rows(tmp_path) == [written]
    path = tmp_path / "run" / "accuracy.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"of_a_later_version": 1}))
    assert read_row(tmp_path / "run") == written
    path.write_text('{"data": "azobenzene"}')
    with pytest.raises(ValueError, match="is no row of `mlff benchmark accuracy`.*remove it"):
        read_rows(tmp_path)


def test_the_columns_are_those_of_metrics():
    tables = {"val": {"energy_mae_meV": 1.0, "energy_rmse_meV": 2.0, "forces_mae_meV_per_A": None, "num_frames": 3}}
    assert error_columns(tables) == {
        "val_energy_mae": 1.0, "val_energy_rmse": 2.0, "val_forces_mae": None, "val_forces_rmse": None,
    }  # fmt: skip


def test_every_run_is_in_the_files(tmp_path):
    rows = [row(seed=seed, test=60 + seed) for seed in range(3)]
    write_tables(rows, tmp_path, {"processor": "one"})
    with (tmp_path / "runs.csv").open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [float(each["test_forces_mae"]) for each in read] == [60, 61, 62] and read[0]["md_mode"] == ""
    document = json.loads((tmp_path / "runs.json").read_text())
    assert document["machine"] == {"processor": "one"} and [Row(**each) for each in document["runs"]] == rows
    assert "61.0 ± 1.0" in (tmp_path / "table.md").read_text()


def test_the_time_of_a_step_is_processor_time_of_one_thread_and_wall_time_elsewhere():
    times = {"md_milliseconds": 20.0, "md_processor_milliseconds": 4.0}
    found = [row(**times, **other).md_step for other in ({}, {"threads": 2}, {"device": "cuda"})]
    assert found == [4.0, 20.0, 20.0]


def test_errors_are_drawn_against_cost_where_both_are_known(tmp_path):
    timed = [
        ("painn", "mlff", 60, 1.5, "compiled"), ("egnn", "mlff", 90, 9.0, "eager"), ("PaiNN", "schnetpack", 57, 8.0, "eager"),
    ]  # fmt: skip
    rows = [
        row(model, package=package, test=error, md_mode=mode, md_processor_milliseconds=time)
        for model, package, error, time, mode in timed
    ]
    rows.append(row("untimed"))
    path = plot_accuracy(summarize(rows), tmp_path / "picture.png")
    assert path is not None and path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    assert plot_accuracy(summarize([row()]), tmp_path / "none.png") is None and not (tmp_path / "none.png").exists()
