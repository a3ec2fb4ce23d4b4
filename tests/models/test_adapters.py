"""What adapters to other packages' models owe beside the contract; no package is needed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.special import spherical_jn

from mlff.datasets import azobenzene
from mlff.graph import Graph, GraphConfig, build_graph
from mlff.models import ADAPTERS, build_model, model_config
from mlff.models.adapter import building
from mlff.models.dimenet import bessel_zeros, spherical_bessel, triplets
from mlff.train.neighbors import with_average_neighbors

from .variants import PACKAGES, crystal, molecule


@pytest.mark.parametrize("name", ADAPTERS)
def test_without_the_package_a_sentence_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [*sys.modules]:
        if module.partition(".")[0] == PACKAGES[name]:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    settings = model_config(name).for_species((1, 6))
    with pytest.raises(ImportError, match=r'pip install "mlff\[(mace|nequip|allegro|dimenet|e3nn)\]"'):
        build_model(settings)


@pytest.mark.parametrize("name", ["mace", "nequip", "allegro", "tfn"])
def test_elements_are_those_of_the_data_unless_more_are_named(name: str) -> None:
    assert model_config(name).for_species((7, 1, 6)).model_dump()["species"] == (1, 6, 7)
    wide = model_config(name, species=(8, 1, 6, 7))
    assert wide.for_species((1, 6)) == wide
    with pytest.raises(ValueError, match=r"hold Z = \[16\] too"):
        wide.for_species((1, 16))
    with pytest.raises(ValueError, match="no atomic numbers"):
        model_config(name, species=(0, 1))


def test_the_default_dtype_is_another_only_while_a_model_is_built() -> None:
    before = torch.get_default_dtype()
    with pytest.raises(RuntimeError), building():
        assert torch.get_default_dtype() == torch.float64
        raise RuntimeError
    assert torch.get_default_dtype() == before


def test_dimenet_ends_where_its_embedding_does() -> None:
    assert model_config("dimenet++").for_species((1, 94)) == model_config("dimenet++")
    with pytest.raises(ValueError, match=r"Z = \[95\]"):
        model_config("dimenet++").for_species((1, 95))


def test_average_neighbors_are_counted_in_the_training_frames() -> None:
    data = azobenzene()
    frames = np.array([0, 700])
    settings = with_average_neighbors(model_config("mace", cutoff=3.0), GraphConfig(), data, frames)
    counted = []
    for index in frames:
        distances = np.linalg.norm(data[int(index)].positions[:, None] - data[int(index)].positions, axis=-1)
        counted.append(((distances < 3.0).sum() - 24) / 24)
    assert settings.model_dump()["average_neighbors"] == pytest.approx(np.mean(counted), abs=0.006)
    given = model_config("mace", average_neighbors=7.0)
    assert with_average_neighbors(given, GraphConfig(), data, frames) == given
    assert with_average_neighbors(model_config("painn"), GraphConfig(), data, frames) == model_config("painn")


def test_bessel_functions_and_their_zeros_are_scipys() -> None:
    zeros = bessel_zeros(7, 6)
    assert np.all(np.diff(zeros, axis=1) > 0)
    for order, row in enumerate(zeros):
        np.testing.assert_allclose(spherical_jn(order, row), 0, atol=1e-13)
    x = np.linspace(0.3, 30, 50)
    found = spherical_bessel(torch.from_numpy(x)[:, None, None].expand(-1, 7, 1))[:, :, 0]
    np.testing.assert_allclose(found, np.stack([spherical_jn(order, x) for order in range(7)], axis=1), atol=1e-7)


@pytest.mark.parametrize("graph", [molecule(), crystal(), build_graph([[0, 0, 0], [0, 0, 1.1]], [6, 8], 4.0),
                                   build_graph([[0, 0, 0]], [6], 4.0)])  # fmt: skip
def test_triplets_are_all_paths_of_two_edges_that_do_not_go_back(graph: Graph) -> None:
    centre, neighbor = graph.edge_index.tolist()
    half = graph.num_pairs
    expected = {
        (outer, inner)
        for outer in range(2 * half) for inner in range(2 * half)
        if centre[inner] == neighbor[outer] and inner != (outer + half) % (2 * half)
    }  # fmt: skip
    outer, inner = triplets(graph)
    assert len(outer) == len(expected) and set(zip(outer.tolist(), inner.tolist())) == expected
