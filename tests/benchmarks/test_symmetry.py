"""Measured symmetry: round-off for models that have what they declare, and a model that breaks it by a millionth is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mlff.benchmarks.symmetry import (
    REGISTERED,
    Kind,
    Measurement,
    azobenzene_frames,
    measure_symmetry,
    prepare_potential,
)
from mlff.graph import Graph
from mlff.models import ADAPTERS, MODELS, TOPOLOGICAL, model_config
from mlff.nn import Features
from mlff.potential.potential import Potential

SMALL = ":num_features=8,num_layers=1"
ALL: tuple[Kind, ...] = ("rotation", "reflection", "translation", "permutation")


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return azobenzene_frames(1)


def held(measurement: Measurement) -> dict[Kind, bool]:
    return {kind: measurement.holds(kind) for kind in measurement.deviations}


@pytest.mark.parametrize("model", ["painn", "egnn", "radial-field", "schnet", "tensornet"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_deviations_of_models_that_have_what_they_declare_are_round_off(model: str, dtype: str, frames: list[Atoms]) -> None:
    found = measure_symmetry(model, prepare_potential(model + SMALL, dtype), frames, draws=1)
    assert found.declared == "O(3)" and held(found) == dict.fromkeys(ALL, True) and found.verdict == "as declared"
    limit = 1e-11 if dtype == "float64" else 1e-3
    for deviation in found.deviations.values():
        assert deviation.forces is not None and max(deviation.energy, deviation.forces) < limit
    assert found.energy_scale > 0 and found.force_scale > 0 and found.dtype == dtype


def test_coordinates_as_features_have_no_symmetry_but_permutation(frames: list[Atoms]) -> None:
    found = measure_symmetry("gnn", prepare_potential("gnn" + SMALL), frames)
    assert held(found) == {"rotation": False, "reflection": False, "translation": False, "permutation": True}
    for kind in ("rotation", "reflection", "translation"):
        assert found.deviations[kind].energy > 1e-2 and (found.deviations[kind].forces or 0) > 1e-2
    assert found.declared == "none" and found.verdict == "as declared" and not found.broken


def test_a_model_of_rotations_alone_tells_mirror_images_apart(frames: list[Atoms]) -> None:
    found = measure_symmetry("so3", prepare_potential("tensornet:group=SO(3),num_features=8,num_layers=1"), frames, draws=1)
    assert held(found) == dict.fromkeys(ALL, True) | {"reflection": False}
    assert found.declared == "SO(3)" and found.verdict == "as declared"


def broken(model: str, change: Callable[[Graph, Features], torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Potential:
    """A potential whose scalars are changed by a millionth of what the function gives."""
    potential = prepare_potential(model + SMALL)
    inner = potential.model.forward

    def forward(graph: Graph) -> Features:
        features = inner(graph)
        return Features(features.scalar + 1e-6 * change(graph, features), features.vector)

    monkeypatch.setattr(potential.model, "forward", forward)
    return potential


BREAKS: dict[str, tuple[Callable[[Graph, Features], torch.Tensor], list[Kind]]] = {
    "an axis of its own": (
        lambda graph, _: torch.zeros(graph.num_atoms, 1).double().index_add(
            0, graph.pairs[0], graph.pair_vectors()[:, :1].square()),
        ["rotation", "reflection", "permutation"],  # of each pair one atom only: the order of the atoms decides which
    ),
    "an origin": (lambda graph, _: graph.positions.norm(dim=1, keepdim=True), ["translation"]),
    "a place in the list": (
        lambda graph, features: features.scalar * torch.arange(graph.num_atoms)[:, None], ["permutation"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", BREAKS)
def test_a_model_that_breaks_what_it_declares_by_a_millionth_is_caught(
    fault: str, frames: list[Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, kinds = BREAKS[fault]
    found = measure_symmetry("broken", broken("schnet", change, monkeypatch), frames)
    assert found.broken == kinds and found.verdict == f"breaks {', '.join(kinds)}"


def test_forces_that_do_not_turn_are_caught_where_energies_are_right(
    frames: list[Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    potential = prepare_potential("schnet" + SMALL)
    inner = potential.forward

    def forward(graph: Graph, **options: Any) -> dict[str, torch.Tensor]:
        results = inner(graph, **options)
        return results | {"forces": results["forces"] * torch.tensor([1.0, 1.0, 1.001], dtype=torch.float64)}

    monkeypatch.setattr(potential, "forward", forward)
    found = measure_symmetry("broken", potential, frames)
    assert found.broken == ["rotation", "reflection"] and found.deviations["rotation"].energy < 1e-11


def test_what_is_not_a_number_is_no_symmetry(frames: list[Atoms], monkeypatch: pytest.MonkeyPatch) -> None:
    potential = broken("schnet", lambda graph, _: graph.positions[:, :1] * torch.nan, monkeypatch)
    assert measure_symmetry("broken", potential, frames, draws=1).broken == list(ALL)


def test_more_symmetry_than_declared_is_said_and_no_fault(frames: list[Atoms], monkeypatch: pytest.MonkeyPatch) -> None:
    potential = prepare_potential("schnet" + SMALL)
    monkeypatch.setattr(type(potential.model), "symmetry", property(lambda _: "SO(3)"))
    found = measure_symmetry("modest", potential, frames, draws=1)
    assert not found.broken and found.verdict == "as declared, and reflection"


def test_crystals_turn_with_their_cells() -> None:
    crystal = bulk("C", cubic=True)
    crystal.rattle(0.1, seed=3)
    assert not measure_symmetry("painn", prepare_potential("painn" + SMALL), [crystal], draws=1).broken


def test_models_without_forces_are_measured_by_their_energies() -> None:
    pytest.importorskip("torch_geometric")
    found = measure_symmetry("gcn", prepare_potential("gcn" + SMALL), [molecule("CH3CH2OH")], draws=1)
    assert not found.broken and found.deviations["rotation"].forces is None and found.force_scale == 0


def test_atoms_that_are_told_apart_are_not_exchanged() -> None:
    ethanol = molecule("CH3CH2OH")
    config = model_config("painn", num_features=8, num_layers=1)
    potential = Potential.build(config, species=(1, 6, 8), labelled_atoms=tuple(ethanol.numbers.tolist())).double().eval()
    found = measure_symmetry("labelled", potential, [ethanol], draws=1)
    assert list(found.deviations) == ["rotation", "reflection", "translation"] and not found.broken


def test_the_same_seed_gives_the_same_figures_and_leaves_the_generators(frames: list[Atoms]) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = (measure_symmetry("painn", prepare_potential("painn" + SMALL), frames, draws=1) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_every_model_of_the_registry_is_measured() -> None:
    assert {name.partition(":")[0] for name in REGISTERED} == {*MODELS, *ADAPTERS, *TOPOLOGICAL}


def test_unknown_elements_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="painn was not trained on S, which the structures have"):
        measure_symmetry("painn", prepare_potential("painn" + SMALL), [molecule("SH2")])
