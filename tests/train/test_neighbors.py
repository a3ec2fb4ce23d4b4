"""How atoms are connected in training: the section of the configuration, what a run says of it, and what it leaves."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mlff.graph import GraphConfig
from mlff.potential.checkpoint import load_potential
from mlff.train.config import TrainConfig
from mlff.train.neighbors import connection_warning, with_average_neighbors
from mlff.train.prepare import build_potential, prepare_data
from mlff.train.trainer import train

from .runs import read_rows


def warning_of(config: TrainConfig) -> str | None:
    data = prepare_data(config.data, config.loss)
    return connection_warning(build_potential(config, data, torch.float32), data.dataset, data.train)


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
