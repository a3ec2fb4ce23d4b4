"""Small runs on the embedded data, and a small file with two states, gaps and two compositions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlff.data import HDF5Writer
from mlff.train.config import TrainConfig

QUICK = {
    "data": {"num_train": 24, "num_val": 8, "num_test": 16},
    "model": {"name": "painn", "num_features": 8, "num_layers": 1},
    "batch_size": 5,  # 24 frames: an uneven last batch of 4
    "epochs": 3,
    "accelerator": "cpu",
    "num_threads": 1,
}


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., TrainConfig]:
    """Makes the configuration of a run that takes about a second; overrides are ``KEY=VALUE`` texts."""

    def make(*overrides: str, out: str = "run", **sections: Any) -> TrainConfig:
        return TrainConfig.build({**QUICK, **sections, "out": str(tmp_path / out)}, overrides)

    return make


@pytest.fixture
def plain_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the pictures out of the report, which take longer than a small run."""
    monkeypatch.setattr("mlff.train.report.write_report", lambda run: (Path(run) / "report.html").write_text("report"))


@pytest.fixture(scope="session")
def two_states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Formaldehyde with two states, whose second has gaps, and water with one state; harmonic energies."""
    path = tmp_path_factory.mktemp("data") / "two_states.h5"
    rng = np.random.default_rng(0)
    formaldehyde = np.array([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [-0.6, 0.9, 0.0], [-0.6, -0.9, 0.0]])
    water = np.array([[0.0, 0.0, 0.1], [0.0, 0.76, -0.5], [0.0, -0.76, -0.5]])
    with HDF5Writer(path) as writer:
        writer.add_system("CH2O", [6, 8, 1, 1], num_states=2, label=["S0", "S1"])
        writer.add_system("H2O", [8, 1, 1])
        for name, minimum, offsets in (("CH2O", formaldehyde, (-100.0, -96.0)), ("H2O", water, (-70.0,))):
            moved = 0.1 * rng.normal(size=(30, *minimum.shape))
            moved -= moved.mean(1, keepdims=True)
            force_constants = 10.0 + 2.0 * np.arange(len(offsets))
            energy = np.array(offsets) + 0.5 * force_constants * np.square(moved).sum((1, 2))[:, None]
            forces = -force_constants[:, None] * moved[:, :, None, :]
            valid = np.ones_like(energy, dtype=bool)
            if name == "CH2O":
                valid[::3, 1] = False
                energy[~valid] = np.nan
                forces = np.where(valid[:, None, :, None], forces, np.nan)
            writer.add_trajectory(
                name,
                {"positions": minimum + moved, "energy": energy, "forces": forces.astype(np.float32),
                 "energy_valid": valid, "forces_valid": valid},
                name=f"{name}-1", dt=1.0,
            )  # fmt: skip
        order = rng.permutation(60)
        writer.add_split("random", {"train": order[:40], "val": order[40:50], "test": order[50:]}, kind="random", seed=0)
    return path
