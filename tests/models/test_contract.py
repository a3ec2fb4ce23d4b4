"""What every model owes its users, checked on the potential made of it. A model in ``MODELS`` is checked unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mlff.graph import build_graph, collate
from mlff.models import ADAPTERS, MODELS, TOPOLOGICAL
from mlff.potential.potential import Potential

from .contract import WITHOUT, close, every, symmetric, without_symmetry
from .variants import (
    CELL,
    CUTOFF,
    INSTALLED,
    NUM_STATES,
    NUMBERS,
    PACKAGES,
    POSITIONS,
    TOPOLOGICAL_VARIANTS,
    VARIANTS,
    crystal,
    make_potential,
    molecule,
)

Array = NDArray[np.float64]


def rotation() -> Array:
    """A rotation about no axis in particular."""
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    return q * np.linalg.det(q)


# Symmetry


@symmetric
@pytest.mark.parametrize("build", [molecule, crystal])
def test_rotating_a_structure_rotates_its_forces_and_leaves_its_energy(potential: Potential, build: Callable) -> None:
    assert potential.model.symmetry in ("O(3)", "SO(3)")
    turn = rotation()
    cell = {"cell": CELL @ turn.T} if build is crystal else {}
    before, after = potential(build()), potential(build(POSITIONS @ turn.T, **cell))
    close(after["energies"], before["energies"])
    close(after["forces"], before["forces"] @ torch.from_numpy(turn.T))


@symmetric
def test_rotating_a_structure_rotates_its_vector_features(potential: Potential) -> None:
    turn = rotation()
    before, after = potential.model(molecule()), potential.model(molecule(POSITIONS @ turn.T))
    close(after.scalar, before.scalar)
    assert potential.model.num_vectors == (0 if before.vector is None else before.vector.shape[2])
    if before.vector is not None:
        assert before.vector.abs().max() > 1e-3
        close(after.vector, torch.einsum("ab,nbf->naf", torch.from_numpy(turn), before.vector))


@symmetric
def test_the_mirror_image_has_the_same_energy_where_the_model_says_so(potential: Potential) -> None:
    before, after = potential(molecule()), potential(molecule(-POSITIONS))
    if potential.model.symmetry == "O(3)":
        close(after["energies"], before["energies"])
        close(after["forces"], -before["forces"])
        features, mirrored = potential.model(molecule()), potential.model(molecule(-POSITIONS))
        if features.vector is not None:  # polar
            close(mirrored.vector, -features.vector)
    else:
        assert (after["energy"] - before["energy"]).abs().max() > 1e-5  # round-off is 1e-11


@without_symmetry
def test_a_model_that_declares_no_symmetry_has_none_but_of_like_atoms(potential: Potential) -> None:
    """Of its own: it would declare more, or hide what it cannot do. Round-off is 1e-9."""
    assert potential.model.symmetry == "none"
    before = potential(molecule())
    for moved in (POSITIONS @ rotation().T, -POSITIONS, POSITIONS + np.array([1.0, -0.7, 0.3])):
        after = potential(molecule(moved))
        assert (after["energy"] - before["energy"]).abs().max() > 1e-3
    assert before["forces"].sum(0).abs().max() > 1e-3  # the sum is minus the derivative by a translation


@symmetric
@pytest.mark.parametrize("shift", [1.0, 1e4])
def test_moving_a_structure_changes_nothing(potential: Potential, shift: float) -> None:
    before, after = potential(molecule()), potential(molecule(POSITIONS + shift * np.array([1.0, -0.7, 0.3])))
    close(after["energies"], before["energies"], atol=1e-9 * shift)
    close(after["forces"], before["forces"], atol=1e-9 * shift)


@symmetric
def test_moving_an_atom_by_a_lattice_vector_changes_nothing(potential: Potential) -> None:
    positions = POSITIONS.copy()
    positions[2] += 2 * CELL[0] - CELL[2]
    before, after = potential(crystal()), potential(crystal(positions))
    close(after["energies"], before["energies"])
    close(after["forces"], before["forces"])


@every
@pytest.mark.parametrize("build", [molecule, crystal])
def test_the_order_of_the_atoms_does_not_matter(potential: Potential, build: Callable) -> None:
    order = np.random.default_rng(0).permutation(len(NUMBERS))
    before, after = potential(build()), potential(build(POSITIONS[order], NUMBERS[order]))
    close(after["energies"], before["energies"][order])
    close(after["forces"], before["forces"][order])


@every
def test_the_order_and_direction_of_the_pairs_do_not_matter(potential: Potential) -> None:
    graph = crystal()
    order = torch.from_numpy(np.random.default_rng(0).permutation(graph.num_pairs))
    turned = replace(graph, pairs=graph.pairs.flip(0)[:, order], pair_shifts=-graph.pair_shifts[order])
    before, after = potential(graph), potential(turned)
    close(after["energies"], before["energies"])
    close(after["forces"], before["forces"])


# Batches


@every
def test_a_batch_gives_what_its_structures_give_alone(potential: Potential) -> None:
    far = build_graph([[0, 0, 0], [90, 0, 0]], [1, 6], CUTOFF)
    graphs = [molecule(), build_graph([[1, 2, 3]], [8], CUTOFF), crystal(), far, molecule(POSITIONS * 1.1)]
    together, alone = potential(collate(graphs)), [potential(graph) for graph in graphs]
    for name in ("energy", "energies", "forces"):
        close(together[name], torch.cat([results[name] for results in alone]))


@every
def test_stresses_in_a_batch_are_those_of_its_crystals_alone(potential: Potential) -> None:
    graphs = [crystal(), crystal(POSITIONS * 1.05, cell=CELL * 1.1)]
    alone = [potential(graph, stress=True)["stress"] for graph in graphs]
    close(potential(collate(graphs), stress=True)["stress"], torch.cat(alone))


# Few atoms


@symmetric
def test_one_atom_has_no_force_and_the_same_energy_everywhere(potential: Potential) -> None:
    here, there = (potential(build_graph([position], [8], CUTOFF)) for position in ([0, 0, 0], [3.1, -9.0, 40.0]))
    assert here["forces"].shape == (1, NUM_STATES, 3)
    assert not here["forces"].any()
    close(there["energy"], here["energy"], atol=0)


@symmetric
def test_two_far_atoms_have_the_energies_of_each_alone_and_no_forces(potential: Potential) -> None:
    results = potential(build_graph([[0, 0, 0], [0, 0, 30.0]], [8, 1], CUTOFF))
    alone = [potential(build_graph([[0, 0, 0]], [number], CUTOFF))["energy"] for number in (8, 1)]
    close(results["energies"], torch.cat(alone))
    assert not results["forces"].any()


# Crystals


@symmetric
def test_a_supercell_has_the_energy_of_its_cells(potential: Potential) -> None:
    if potential.model.config.model_dump()["name"] == "graph-transformer":
        pytest.skip("its encodings are those of the cell's graph: it is for molecules")
    repeats = (2, 1, 3)
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in repeats], indexing="ij"), axis=-1).reshape(-1, 1, 3) @ CELL
    many = crystal((POSITIONS + cells).reshape(-1, 3), np.tile(NUMBERS, 6), np.diag(repeats) @ CELL)
    one, six = potential(crystal(), stress=True), potential(many, stress=True)
    close(six["energy"], 6 * one["energy"], atol=1e-7)
    close(six["forces"], one["forces"].repeat(6, 1, 1))
    close(six["stress"], one["stress"])


@every
def test_an_axis_that_is_not_periodic_is_as_good_as_one_with_vacuum(potential: Potential) -> None:
    tall = CELL + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 30.0]])
    slab = build_graph(POSITIONS, NUMBERS, CUTOFF, cell=CELL, pbc=[True, True, False])
    with_vacuum = build_graph(POSITIONS, NUMBERS, CUTOFF, cell=tall, pbc=True)
    before, after = potential(slab), potential(with_vacuum)
    close(after["energies"], before["energies"])
    close(after["forces"], before["forces"])


# Manners


@every
@pytest.mark.parametrize("training", [False, True])
def test_the_input_and_the_surroundings_are_left_as_they_were(potential: Potential, training: bool) -> None:
    graph = collate([crystal(), molecule()])
    tensors = {name: value for name, value in vars(graph).items() if isinstance(value, Tensor)}
    before = {name: value.clone() for name, value in tensors.items()}
    seed, default = torch.random.get_rng_state(), torch.get_default_dtype()
    potential.train(training)(graph)
    for name, value in tensors.items():
        assert torch.equal(value, before[name]), name
        assert not value.requires_grad and value.grad is None, name
    assert torch.equal(torch.random.get_rng_state(), seed) and torch.get_default_dtype() == default
    assert all(parameter.grad is None for parameter in potential.parameters())


@every
def test_forces_are_there_where_gradients_are_switched_off(potential: Potential) -> None:
    expected = potential(molecule())
    with torch.no_grad():
        results = potential(molecule())
    close(results["forces"], expected["forces"], atol=0)
    assert not any(value.requires_grad for value in results.values())


@every
def test_the_same_input_gives_the_same_bits(variant: str) -> None:
    first, second = make_potential(variant, torch.float32), make_potential(variant, torch.float32)
    results = [first(crystal(), stress=True), first(crystal(), stress=True), second(crystal(), stress=True)]
    for name in results[0]:
        assert torch.equal(results[0][name], results[1][name]) and torch.equal(results[0][name], results[2][name])


@every
def test_training_mode_gives_the_same_energies_and_forces(potential: Potential) -> None:
    evaluated, trained = potential.eval()(molecule()), potential.train()(molecule())
    close(trained["energy"], evaluated["energy"])
    close(trained["forces"], evaluated["forces"])


@every
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_float32_is_close_to_float64(variant: str, shift: float) -> None:
    """Also for a molecule far from the origin: distances are taken before the positions are rounded."""
    if shift and variant in WITHOUT:
        pytest.skip("positions are its features, and are rounded")
    positions: ArrayLike = POSITIONS + shift
    exact, rounded = (
        make_potential(variant)(molecule(positions)),
        make_potential(variant, torch.float32)(molecule(positions)),
    )
    assert rounded["energy"].dtype == torch.float64 and rounded["forces"].dtype == torch.float32
    largest = max(1.0, exact["forces"].abs().max().item())
    close(rounded["energies"], exact["energies"], atol=2e-5)
    close(rounded["forces"].double(), exact["forces"], atol=1e-4 * largest)


def test_every_registered_model_is_under_contract() -> None:
    assert not TOPOLOGICAL_VARIANTS or {name for name, _ in TOPOLOGICAL_VARIANTS.values()} == {*TOPOLOGICAL}
    assert {name for name, _ in VARIANTS.values()} == {*MODELS, *INSTALLED}


@pytest.mark.parametrize("name", ADAPTERS)
def test_models_of_other_packages_are_under_contract_where_these_are_installed(name: str) -> None:
    if name not in INSTALLED:
        pytest.skip(f"{PACKAGES[name]} is not installed: run `make test-adapters`")
    assert name in VARIANTS
