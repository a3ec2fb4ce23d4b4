"""Denoising: the noise is what it should be, the same on every machine, and can be learned."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.datasets import chno
from mlff.potential.checkpoint import load_potential, read_document
from mlff.train.config import TrainConfig
from mlff.train.denoise import NoisyLoader, without_rigid_motion
from mlff.train.loaders import BatchLoader
from mlff.train.prepare import prepare_data
from mlff.train.run_folder import resume_config
from mlff.train.trainer import train

from .runs import Killed, assert_same_end, kill_at, read_rows

pytestmark = pytest.mark.usefixtures("plain_report")
SIGMA = 0.04


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory) -> Path:
    """64 relaxed structures of six compositions of the corpus in the package, positions alone, and a linear molecule."""
    corpus = chno()
    path = tmp_path_factory.mktemp("relaxed") / "relaxed.h5"
    chosen = corpus.select(max_force=0.1).indices
    owners, rows = corpus.locate(chosen)
    most = np.argsort(-np.bincount(owners), kind="stable")[:6]
    with HDF5Writer(path) as writer:
        writer.add_system("HCN", [1, 6, 7])
        writer.add_trajectory("HCN", {"positions": np.array([[[0.0, 0.0, -1.06], [0.0, 0.0, 0.0], [0.0, 0.0, 1.16]]])})
        for k in most:
            system = corpus.systems[k]
            writer.add_system(system.name, system.atomic_numbers)
            writer.add_trajectory(system.name, {"positions": system.read("positions", rows[owners == k])[:12]})
        parts = np.random.default_rng(0).permutation(64)
        writer.add_split("given", {"train": parts[:40], "val": parts[40:56], "test": parts[56:]}, kind="given")
    return path


@pytest.fixture
def dataset(relaxed) -> HDF5Dataset:
    return HDF5Dataset(relaxed)


@pytest.fixture
def denoising(relaxed, tmp_path) -> Callable[..., TrainConfig]:
    return partial(denoising_config, relaxed, tmp_path)


def denoising_config(relaxed: Path, tmp_path: Path, *overrides: str, out: str = "run") -> TrainConfig:
    values = {
        "data": {"path": str(relaxed), "noise": SIGMA},
        "model": {"name": "painn", "num_features": 16, "num_layers": 1}, "loss": {"energy": 0, "forces": 1, "kind": "mse"},
        "batch_size": 8, "epochs": 3, "schedule": {"warmup_steps": 2}, "accelerator": "cpu", "num_threads": 1,
        "out": str(tmp_path / out),
    }  # fmt: skip
    return TrainConfig.build(values, overrides)


def test_the_noise_has_its_standard_deviation_and_moves_or_turns_no_molecule(dataset):
    loader = NoisyLoader(dataset, 5.0, SIGMA, seed=3, dtype=torch.float64)
    frames = np.arange(len(dataset))
    graph, targets = loader.load(frames, epoch=0)
    clean = dataset.batch(frames)
    moved = graph.positions.numpy() - clean.positions
    np.testing.assert_allclose(targets.values["forces"][:, 0].numpy(), -moved / SIGMA, atol=1e-9)
    starts = np.cumsum(clean.num_atoms) - clean.num_atoms
    np.testing.assert_allclose(np.add.reduceat(moved, starts), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.add.reduceat(np.cross(clean.positions, moved), starts), 0.0, atol=1e-6)
    torque = np.add.reduceat(np.cross(graph.positions.numpy(), targets.values["forces"][:, 0].numpy()), starts)
    np.testing.assert_allclose(torque, 0.0, atol=1e-4)
    freedom = (3 * clean.num_atoms - 6).sum()
    assert np.sqrt(np.square(moved).sum() / freedom) == pytest.approx(SIGMA, rel=0.04)
    assert abs(moved.mean()) < 1e-12


def test_linear_molecules_and_crystals_lose_what_they_can_lose():
    rng = np.random.default_rng(0)
    linear = np.array([[0.0, 0.0, -1.2], [0.0, 0.0, 0.0], [0.0, 0.0, 1.2]])
    positions, count = np.concatenate([linear, linear, np.zeros((1, 3))]), np.array([3, 3, 1])
    found = without_rigid_motion(rng.normal(size=(7, 3)), positions, count, np.array([False, True, False]))
    np.testing.assert_allclose(np.cross(linear, found[:3]).sum(0), 0.0, atol=1e-12)
    assert np.abs(np.cross(linear, found[3:6]).sum(0)[:2]).min() > 1e-3  # a crystal does not turn freely
    np.testing.assert_allclose([found[:3].sum(0), found[3:6].sum(0), found[6]], 0.0, atol=1e-12)
    again = without_rigid_motion(found, positions, count, np.array([False, True, False]))
    np.testing.assert_allclose(again, found, atol=1e-12)  # a projection


def test_seed_epoch_and_frame_alone_decide_the_noise(dataset):
    loader = NoisyLoader(dataset, 5.0, SIGMA, seed=3)
    together = loader.load(np.array([4, 60, 7]), epoch=2)[0].positions
    size = len(dataset[4].atomic_numbers)
    assert torch.equal(loader.load(np.array([4]), epoch=2)[0].positions, together[:size])
    others = (loader.load(np.array([4]), epoch=3), loader.load(np.array([4])), NoisyLoader(dataset, 5.0, SIGMA, 4).load(
        np.array([4]), epoch=2))  # fmt: skip
    assert all(not torch.allclose(graph.positions, together[:size]) for graph, _ in others)
    first, second = (loader.load(np.array([4]))[0].positions for _ in range(2))
    assert torch.equal(first, second)  # measured with the same noise in every epoch


def test_the_loss_falls_and_the_model_says_what_it_is(denoising, console):
    result = train(denoising("epochs=25"), console=console)
    losses = [float(row["val_loss"]) for row in read_rows(result.folder)]
    assert losses[-1] < 0.75 * losses[0]
    assert read_document(result.folder / "model")["extra"]["denoising"] == {"noise": SIGMA}
    assert "--init-from" in console.file.getvalue() and "MLFFCalculator" not in console.file.getvalue()
    with pytest.raises(ValueError, match="was pre-trained to find noise"):
        load_potential(result.folder)


def test_a_resumed_run_sees_the_same_noise(denoising, console, monkeypatch):
    whole = train(denoising(out="whole"), console=console).folder
    config = denoising(out="killed")
    with monkeypatch.context() as patch:
        kill_at(patch, 7)
        with pytest.raises(Killed):
            train(config, console=console)
    assert_same_end(whole, train(resume_config(config.out), resume=True, console=console).folder)


@pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies")
def test_a_pretrained_model_starts_ahead_of_a_random_one(denoising, tmp_path, console):
    pretrained = train(denoising("epochs=30"), console=console).folder
    values = {
        "data": {"num_train": 24, "num_val": 8, "num_test": 16}, "batch_size": 8, "epochs": 5, "accelerator": "cpu",
        "schedule": {"warmup_steps": 0}, "num_threads": 1,
    }  # fmt: skip
    tuned = TrainConfig.build({**values, "init_from": str(pretrained), "out": str(tmp_path / "tuned")})
    model = {"name": "painn", "num_features": 16, "num_layers": 1}
    scratch = TrainConfig.build({**values, "model": model, "out": str(tmp_path / "scratch")})
    errors = [train(config, console=console).metrics["test"].error("forces").mae for config in (tuned, scratch)]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["loss.energy=0.1"], "`data.noise` is 0.04, so the run learns to find noise, which has no energy"),
        (["data.states=[0]"], "`data.states` chooses electronic states, but denoising"),
        (["data.noise=-1"], "`data.noise` is -1"),
    ],
)
def test_more_than_noise_can_teach_is_refused(denoising, overrides, words):
    with pytest.raises(ValueError, match=words):
        config = denoising(*overrides)
        prepare_data(config.data, config.loss)


def test_labels_and_states_are_not_looked_at(two_states, denoising):
    config = denoising(f"data.path={two_states}")
    data = prepare_data(config.data, config.loss)
    assert data.states == (0,) and data.state_labels == ("noise",)
    assert BatchLoader(data.dataset, 5.0).load(data.train[:2])[1].values.keys() != {"forces"}
    assert NoisyLoader(data.dataset, 5.0, SIGMA, 0).load(data.train[:2])[1].values.keys() == {"forces"}
