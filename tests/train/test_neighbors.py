"""How atoms are connected and repelled in training: the configuration, what a run says of it, and what it leaves."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mlff.data import HDF5Writer
from mlff.graph import GraphConfig
from mlff.potential.checkpoint import load_potential
from mlff.train.config import TrainConfig
from mlff.train.neighbors import geometry_note, with_average_neighbors
from mlff.train.potential_config import PotentialSection
from mlff.train.prepare import build_potential, prepare_data
from mlff.train.trainer import train

from .runs import read_rows


def warning_of(config: TrainConfig) -> str | None:
    data = prepare_data(config.data, config.loss)
    return geometry_note(build_potential(config, data, torch.float32), data.dataset, data.train)


@pytest.mark.parametrize("kind", ["knn", "bonds"])
@pytest.mark.usefixtures("plain_report")
def test_a_run_learns_says_that_energies_jump_and_keeps_the_kind(quick, kind):
    config = quick(f"graph.kind={kind}", "optimizer.learning_rate=0.01")
    told = io.StringIO()
    train(config, console=Console(file=told, width=400))
    lines = [line for line in told.getvalue().splitlines() if "graph.kind" in line]
    assert len(lines) == 1 and f"Note: atoms are connected by `graph.kind={kind}`" in lines[0]
    losses = [float(row["train_loss"]) for row in read_rows(Path(str(config.out)))]
    assert losses[-1] < losses[0]
    assert load_potential(config.out).config.graph == GraphConfig(kind=kind)
    stored = TrainConfig.from_yaml(f"{config.out}/config.yaml")
    assert stored.graph == GraphConfig(kind=kind)


def test_nothing_is_said_of_graphs_within_a_radius(quick):
    assert warning_of(quick()) is None


@pytest.mark.parametrize("zbl", [True, False])
def test_a_prior_that_acts_in_the_data_is_said(quick, tmp_path, zbl):
    path = tmp_path / "h2.h5"
    distances = np.array([0.74, 0.40, 0.80, 0.35, 0.7, 0.7])  # the prior begins below 0.434
    with HDF5Writer(path) as writer:
        writer.add_system("H2", [1, 1])
        positions = np.zeros((6, 2, 3))
        positions[:, 1, 0] = distances
        columns = {"positions": positions, "energy": np.zeros((6, 1)), "forces": np.zeros((6, 2, 1, 3), dtype=np.float32)}
        writer.add_trajectory("H2", columns, name="H2-1", dt=1.0)
        writer.add_split("all", {"train": np.arange(4), "val": np.array([4]), "test": np.array([5])}, kind="random", seed=0)
    config = quick(f"data.path={path}", f"potential.zbl={zbl}".lower(), "potential.atomic_energies={H: 0}", data={})
    note = str(warning_of(config))
    assert ("2 of 4 training frames" in note and "set `potential.zbl=false`" in note) == zbl


def test_models_of_positions_have_the_prior_unless_it_is_refused(quick):
    assert TrainConfig.build().potential.zbl and TrainConfig.build({"potential": {"dipoles": True}}).potential.zbl
    assert not TrainConfig.build({}, ["potential.zbl=false"]).potential.zbl
    config = quick()
    assert build_potential(config, prepare_data(config.data, config.loss), torch.float32).config.zbl
    for section in ({}, {"potential": {"atomic_energies": {"C": -1.0}}}, {"potential": PotentialSection()}):
        assert not TrainConfig.build({"model": "mpnn", **section}).potential.zbl


def test_a_cutoff_that_cannot_hold_the_neighbors_is_said(quick):
    assert "fewer than" not in str(warning_of(quick("graph.kind=knn", "graph.neighbors=3")))
    message = str(warning_of(quick("graph.kind=knn", "model.cutoff=2.5")))
    assert "of the atoms have fewer than 12 others within the cutoff of 2.5 Å, and keep those" in message
    message = str(warning_of(quick("graph.kind=bonds", "model.cutoff=1.9")))
    assert "bonds may be up to 1.98 Å long, and those beyond the cutoff of 1.9 Å are not seen" in message


def test_the_kind_is_a_section_whose_keys_are_checked():
    assert TrainConfig.build({}).graph == GraphConfig()
    assert TrainConfig.build({"graph": {"kind": "knn"}}, ["graph.neighbors=4"]).graph == GraphConfig(kind="knn", neighbors=4)
    for overrides, words in {
        ("graph.kind=kn",): "`graph.kind` is 'kn', but it should be 'radius', 'knn' or 'bonds'",
        ("graph=knn",): "`graph`: must be a section; write `graph.kind=knn`",
        ("graph.neighbour=4",): "no key `graph.neighbour`.*did you mean `graph.neighbors`?",
        ("graph.neighbors=4",): "only `kind: knn` counts neighbours",
        ("graph.kind=bonds", "compile=true"): "`compile` is for graphs of all atoms .* `graph.kind` is bonds",
    }.items():
        with pytest.raises(ValueError, match=words):
            TrainConfig.build({}, overrides)


@pytest.mark.skipif(find_spec("torch_geometric") is None, reason="its layers are torch_geometric's")
def test_a_model_of_bonds_connects_bonds_unasked(quick):
    config = quick(model={"name": "gcn"})
    assert config.graph.kind == "bonds"
    assert quick("graph.kind=radius", model={"name": "gcn"}).graph.kind == "radius"
    assert "jumps" not in str(warning_of(config)), "its energies are constant between jumps, which is what it is for"


@pytest.mark.usefixtures("plain_report")
def test_fine_tuning_connects_atoms_as_the_first_training_did(quick, tmp_path):
    first = quick("graph.kind=knn", "graph.neighbors=5", "epochs=1", out="first")
    train(first, console=Console(file=io.StringIO()))
    second = TrainConfig.build({"init_from": first.out, "data": first.data.model_dump(mode="json")})
    assert second.graph == GraphConfig(kind="knn", neighbors=5)
    fewer = TrainConfig.build({"init_from": first.out}, ["graph.neighbors=4"])
    assert fewer.graph == GraphConfig(kind="knn", neighbors=4)
    other = TrainConfig.build({"init_from": first.out, "graph": {"kind": "radius"}})
    assert other.graph == GraphConfig()


@pytest.mark.skipif(find_spec("e3nn") is None, reason="its tensor products are e3nn's")
def test_average_neighbors_are_those_that_are_connected(quick):
    from mlff.models import model_config

    data = prepare_data(quick().data, quick().loss)
    kinds = (GraphConfig(), GraphConfig(kind="knn", neighbors=4), GraphConfig(kind="bonds"))
    averages = [
        with_average_neighbors(model_config("tfn"), kind, data.dataset, data.train).average_neighbors for kind in kinds
    ]
    # Azobenzene has 25 bonds and 24 atoms.
    assert averages[0] > averages[1] > 4 and averages[2] == pytest.approx(2 * 25 / 24, abs=0.03)
