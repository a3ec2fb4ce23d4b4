"""The report of a run: figures equal those of the arrays, the page stands alone, every kind of run gets one."""

from __future__ import annotations

import base64
import csv
import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from mlff.figure import readable
from mlff.train import plots
from mlff.train.report import read_metrics, write_report
from mlff.train.report_errors import error_rows

PNG = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "img", "br", "link"}
COLUMNS = [
    "epoch", "step", "time_s", "learning_rate", "train_loss", "train_energy_mae_meV", "train_forces_mae_meV_per_A",
    "val_energy_mae_meV", "val_energy_rmse_meV", "val_forces_mae_meV_per_A", "val_forces_rmse_meV_per_A",
    "frames_per_second",
]  # fmt: skip


def make_predictions(num_states=1, num_frames=40, num_atoms=5, masked=False, seed=0) -> dict[str, np.ndarray]:
    """Arrays such as a run stores: absolute energies of -1000 eV and errors of 30 meV and 50 meV/Å."""
    random = np.random.default_rng(seed)
    gaps = 2.0 * np.arange(num_states)
    energy = -994.0 + gaps + random.normal(0.0, 0.7, (num_frames, num_states))
    forces = random.normal(0.0, 1.9, (num_frames * num_atoms, num_states, 3)).astype(np.float32)
    arrays = {
        "energy": energy + random.normal(0.005, 0.03, energy.shape) * (1 + np.arange(num_states)),
        "energy_ref": energy,
        "forces": (forces + random.standard_t(3, forces.shape) * 0.03).astype(np.float32),
        "forces_ref": forces,
        "num_atoms": np.full(num_frames, num_atoms),
    }
    if masked:
        arrays["energy_ref"][::3, -1] = np.nan
        arrays["forces_ref"][: num_atoms * 10, -1] = np.nan
    return arrays


def make_run(folder: Path, *, epochs: int = 12, splits=("val", "test"), summary: dict | None = None, **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        "out: run\nseed: 0\ndata:\n  path: azobenzene.h5\n  split: time\nmodel:\n  name: painn\n  num_features: 64\n"
        "loss:\n  weights:\n    energy: 0.05\n    forces: 0.95\nema: null\n"
    )
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for epoch in range(1, epochs + 1):
            energy, forces = 900 * epoch**-1.3, 1200 * epoch**-1.1
            rate = 1e-3 * 0.5 * (1 + np.cos(np.pi * (epoch - 1) / epochs))
            writer.writerow(
                [epoch, 500 * epoch, 31.0 * epoch, rate, forces / 1e3, 1.1 * energy, 1.1 * forces]
                + [energy, 1.3 * energy, forces, 1.4 * forces, 160.0]
            )
    for seed, split in enumerate(splits):
        np.savez(folder / f"predictions_{split}.npz", **make_predictions(seed=seed, **options))
    text = {"stop_reason": "the last epoch was reached", "num_parameters": 234_567} if summary is None else summary
    (folder / "summary.json").write_text(json.dumps(text))
    return folder


class Page(HTMLParser):
    """Checks that tags are balanced and collects attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def read_page(run: Path) -> tuple[Page, str]:
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    return page, text


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[Path]]:
    run = make_run(tmp_path_factory.mktemp("finished") / "run")
    return run, write_report(run)


def test_a_run_gets_its_pictures_and_one_page(finished):
    run, paths = finished
    assert [path.name for path in paths] == [
        "learning_curves.png", "parity_energy.png", "parity_forces.png", "error_distribution.png", "report.html",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(PNG) for path in paths[:-1])
    assert not [path for path in run.iterdir() if path.name.endswith(".part")]
    page, _ = read_page(run)
    for word in ("Why it stopped: the last epoch was reached", "234,567", "num_features", "loss", "weights.energy"):
        assert word in page.text


def test_the_page_embeds_its_pictures_and_asks_for_nothing_outside(finished):
    run, (*pictures, _) = finished
    page, text = read_page(run)
    embedded = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert [base64.b64decode(value.removeprefix("data:image/png;base64,")) for value in embedded] == [
        path.read_bytes() for path in pictures
    ]
    assert not [name for _, name, _ in page.attributes if name in {"href", "srcset", "action", "data", "poster"}]
    for word in ("http:", "https:", "<script", "<link", "<iframe", "@import", "url("):
        assert word not in text


@pytest.mark.parametrize("masked", [False, True])
def test_errors_in_the_table_are_those_of_the_arrays(tmp_path, masked):
    run = make_run(tmp_path / "run", epochs=0, num_states=2, masked=masked)
    write_report(run)
    page, _ = read_page(run)
    for split in ("val", "test"):
        with np.load(run / f"predictions_{split}.npz") as arrays:
            for name in ("energy", "forces"):
                difference = np.abs(arrays[name].astype(float) - arrays[f"{name}_ref"].astype(float))
                for state in (0, 1):
                    errors = 1000 * difference[:, state]
                    assert f" {readable(np.nanmean(errors))} " in page.text
                    assert f" {readable(np.sqrt(np.nanmean(errors**2)))} " in page.text
    assert "state 1" in page.text and "all states" in page.text


def test_the_table_by_hand():
    arrays = {
        "energy": np.array([[1.001], [2.003], [9.0]]),
        "energy_ref": np.array([[1.0], [2.0], [np.nan]]),
        "forces": np.array([[[0.01, 0.0, -0.02]], [[1.0, 1.0, 1.0]]]),
        "forces_ref": np.array([[[0.0, 0.0, 0.0]], [[np.nan] * 3]]),
        "num_atoms": np.array([1, 2, 1]),
    }
    rows = error_rows({"val": arrays})
    assert [row[:3] for row in rows] == [
        ("Energy", "state 0", "meV"),
        ("Energy per atom", "state 0", "meV/atom"),
        ("Force component", "state 0", "meV/Å"),
    ]
    energy, per_atom, forces = (row[3]["val"] for row in rows)
    assert (energy.mae, energy.rmse, energy.maximum) == pytest.approx((2.0, np.sqrt(5.0), 3.0)) and energy.count == 2
    assert per_atom.mae == pytest.approx((1.0 + 1.5) / 2)
    assert forces.mae == pytest.approx(10.0) and forces.count == 3


@pytest.mark.parametrize(("epochs", "splits"), [(0, ()), (1, ()), (1, ("val",))])
def test_a_run_stopped_early_still_gets_a_report(tmp_path, epochs, splits):
    run = make_run(tmp_path / "run", epochs=epochs, splits=splits, num_frames=1)
    names = [path.name for path in write_report(run)]
    assert ("parity_energy.png" in names) == bool(splits)
    page, _ = read_page(run)
    assert ("no test split" if splits else "No predictions were stored") in page.text


def test_a_folder_with_nothing_but_a_config_gets_a_report(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    assert [path.name for path in write_report(tmp_path)] == ["learning_curves.png", "report.html"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no run folder at .*nowhere"):
        write_report(tmp_path / "nowhere")


def test_values_are_escaped_in_the_page(tmp_path):
    run = make_run(
        tmp_path / "a <b> & 'c'",
        epochs=0,
        splits=("val",),
        num_frames=1,
        summary={"stop_reason": "<script>alert(1)</script>", "state_labels": ["<S0>"], "versions": {"x<y": "1 & 2"}},
    )
    write_report(run)
    page, text = read_page(run)
    assert "<script" not in text and "<b>" not in text
    assert "<script>alert(1)</script>" in page.text and "<S0>" in page.text and "1 & 2" in page.text


def test_lines_to_use_the_model_give_its_absolute_path(tmp_path):
    summary = {"dataset": {"path": "/data/my file.h5", "split": "time"}}
    run = make_run(tmp_path / "my run", epochs=0, splits=(), summary=summary)
    write_report(run)
    page, _ = read_page(run)
    model = run.resolve() / "model"
    assert f'MLFFCalculator("{model}")' in page.text
    assert f"mlff optimize '{model}' molecule.xyz" in page.text
    assert f"mlff evaluate '{model}' '/data/my file.h5' --split-name time --split val" in page.text


def test_a_split_whose_references_are_all_missing_is_left_out(tmp_path):
    run = make_run(tmp_path / "run", epochs=0, splits=("val",))
    arrays = make_predictions()
    arrays["energy_ref"][:] = np.nan
    np.savez(run / "predictions_test.npz", **arrays)
    write_report(run)
    energy, *_ = error_rows({"val": make_predictions(), "test": arrays})
    assert list(energy[3]) == ["val"] and energy[3]["val"].count == 40
    read_page(run)


def test_predictions_of_other_frames_than_the_references_are_refused(tmp_path):
    arrays = make_predictions() | {"energy": np.zeros((3, 1))}
    with pytest.raises(ValueError, match=r"`energy` has the shape \(3, 1\) but `energy_ref` has \(40, 1\)"):
        plots.plot_parity({"test": arrays}, tmp_path / "parity.png")
    with pytest.raises(ValueError, match="choose one of energy, forces, stress"):
        plots.plot_parity({"test": arrays}, tmp_path / "parity.png", quantity="force")
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_model_is_drawn_with_what_is_finite(tmp_path):
    arrays = make_predictions(num_frames=6)
    arrays["energy"][:] = np.inf
    arrays["forces"][0] = np.nan
    predictions = {"test": arrays}
    for draw, name in ((plots.plot_parity, "parity.png"), (plots.plot_error_distribution, "errors.png")):
        assert draw(predictions, tmp_path / name).read_bytes().startswith(PNG)


def test_metrics_of_a_run_killed_while_writing_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,time_s,val_energy_mae_meV\n1,2.5,30\n2,5.0,\n3,7")
    columns = read_metrics(tmp_path / "metrics.csv")
    np.testing.assert_array_equal(columns["epoch"], [1, 2, 3])
    np.testing.assert_array_equal(columns["val_energy_mae_meV"], [30, np.nan, np.nan])


def test_drawing_leaves_the_callers_matplotlib_alone(tmp_path):
    settings = dict(matplotlib.rcParams)  # with the backend, which reading it resolves
    loaded = "matplotlib.pyplot" in sys.modules
    write_report(make_run(tmp_path / "run", num_frames=3))
    assert dict(matplotlib.rcParams) == settings
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_readable_numbers():
    assert [readable(value) for value in (0.0, 0.01234, 4.5678, 43.21, 1234.5, 2.5e7, float("nan"))] == [
        "0.00", "0.0123", "4.57", "43.2", "1234", "2.50e+07", "–",
    ]  # fmt: skip
