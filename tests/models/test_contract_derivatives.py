"""What every model owes its users of derivatives, up to the second, and at the cutoff."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mlff.graph import Graph, build_graph, collate
from mlff.potential.potential import VOIGT, Potential

from .contract import close, every, network_energies
from .variants import CELL, CUTOFF, NUM_STATES, NUMBERS, POSITIONS, crystal, make_potential, molecule

SYMMETRIC = {  # structures where vectors cancel, directions coincide, or distances are equal
    "linear": ([6, 8, 8], [[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]]),
    "line of unlike atoms": ([1, 6, 7], [[0, 0, 0], [0, 0, 1.07], [0, 0, 2.22]]),
    "planar": ([7, 1, 1, 1], [[0, 0, 0], [1, 0, 0], [-0.5, 0.75**0.5, 0], [-0.5, -(0.75**0.5), 0]]),
    "octahedron": ([8, 1, 1, 1, 1, 1, 1], [[0, 0, 0], *np.eye(3), *-np.eye(3)]),
    "two atoms": ([1, 1], [[0, 0, 0], [0.74, 0, 0]]),
    "one atom": ([8], [[0.3, 0.2, 0.1]]),
    "two far atoms": ([8, 1], [[0, 0, 0], [0, 0, 50.0]]),
}


# Derivatives


@pytest.mark.parametrize("build", [molecule, crystal])
def test_forces_are_minus_the_derivative_of_the_energy(potential: Potential, build: Callable) -> None:
    step, graphs = 1e-5, []
    for atom in range(len(NUMBERS)):
        for axis in range(3):
            for sign in (1, -1):
                displaced = POSITIONS.copy()
                displaced[atom, axis] += sign * step
                graphs.append(build(displaced))
    energy = network_energies(potential, collate(graphs)).detach()
    energy = energy.view(len(NUMBERS), 3, 2, len(NUMBERS), NUM_STATES).sum(3)
    numeric = -(energy[:, :, 0] - energy[:, :, 1]) / (2 * step)
    forces = potential(build())["forces"]
    assert forces.abs().max() > 1e-2
    close(forces, numeric.transpose(1, 2), atol=1e-6 * max(1.0, forces.abs().max().item()))


def test_stress_is_the_derivative_of_the_energy_by_strain_over_the_volume(potential: Potential) -> None:
    step, numeric = 1e-4, torch.zeros(NUM_STATES, 6, dtype=torch.float64)
    for component, (i, j) in enumerate(zip(*VOIGT)):
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        plus, minus = (
            potential(crystal(POSITIONS @ (np.eye(3) + e), cell=CELL @ (np.eye(3) + e)), forces=False)["energy"]
            for e in (strain, -strain)
        )
        numeric[:, component] = (plus - minus)[0].detach() / (2 * step) / np.linalg.det(CELL)
    stress = potential(crystal(), stress=True)["stress"][0]
    assert stress.abs().max() > 1e-4
    close(stress, numeric, atol=1e-7 + 1e-5 * stress.abs().max().item())


def training_loss(potential: Potential, graph: Graph, energy_weight: float = 0.0) -> Tensor:
    """A loss of the forces (and of the network's energies), as in training."""
    results = potential.train()(graph)
    return results["forces"].square().sum() + energy_weight * network_energies(potential, graph).square().sum()


def test_the_loss_of_the_forces_reaches_every_parameter(potential: Potential) -> None:
    training_loss(potential, collate([molecule(), crystal()])).backward()
    still = [n for n, p in potential.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    constant = f"head.network.{len(potential.head.network) - 1}.bias"  # no force depends on a constant
    assert [name for name in still if name != constant] == []


def test_the_gradient_of_the_loss_of_the_forces_is_its_derivative(potential: Potential) -> None:
    """Nothing is detached on the way of the second derivatives either."""
    graph = molecule()
    names_and_parameters = dict(potential.named_parameters())
    generator = torch.Generator().manual_seed(3)
    direction = {
        name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in names_and_parameters.items()
    }
    training_loss(potential, graph).backward()
    slope = sum((p.grad * direction[n]).sum() for n, p in names_and_parameters.items() if p.grad is not None)

    def loss(step: float) -> float:
        moved = copy.deepcopy(potential)
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                parameter += step * direction[name]
        return training_loss(moved, graph).item()

    step = 1e-6
    numeric = (loss(step) - loss(-step)) / (2 * step)
    assert slope.item() == pytest.approx(numeric, rel=1e-5)


@every
@pytest.mark.parametrize("structure", SYMMETRIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_symmetric_structures_have_finite_forces_and_gradients(
    variant: str, structure: str, dtype: torch.dtype
) -> None:
    numbers, positions = SYMMETRIC[structure]
    potential, graph = make_potential(variant, dtype), build_graph(positions, numbers, CUTOFF)
    results = potential(graph)
    assert all(value.isfinite().all() for value in results.values())
    # Where all atoms are on the z axis no force leaves it.
    if structure.startswith("lin") and potential.model.symmetry != "none":
        assert results["forces"][..., :2].abs().max() < 1e-5 * max(1.0, results["forces"].abs().max().item())
    training_loss(potential, graph, energy_weight=1.0).backward()
    for name, parameter in potential.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


# The cutoff


def approach(distance: float) -> Graph:
    """Four atoms; the last is this far from the first, Å, and nearer to the others, which it keeps as neighbours."""
    return build_graph([[0, 0, 0], [0.3, 1.2, 0.9], [0.9, -0.4, 1.1], [0, 0, distance]], [6, 7, 1, 8], CUTOFF)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-5, 1e-4])
def test_energy_and_forces_are_continuous_when_an_atom_crosses_the_cutoff(potential: Potential, epsilon: float) -> None:
    inside, outside = approach(CUTOFF - epsilon), approach(CUTOFF + epsilon)
    assert inside.num_pairs == outside.num_pairs + 1
    before, after = potential(inside), potential(outside)
    largest = before["forces"].abs().max().item()
    slope = -(before["forces"] + after["forces"])[3, :, 2] / 2
    rise = (network_energies(potential, outside) - network_energies(potential, inside)).detach().sum(0)
    close(rise, slope * 2 * epsilon, atol=1e-11 + 10 * largest * epsilon**2)
    close(after["forces"], before["forces"], atol=1e-11 + 20 * largest * epsilon)


def curvature_jump(potential: Potential, step: float) -> Tensor:
    """Second derivative of the energy by the last atom's distance, just outside less just inside the cutoff: ``[S]``."""

    def slope(steps: int) -> Tensor:
        return -potential(approach(CUTOFF + steps * step))["forces"][3, :, 2]

    return (slope(2) - slope(1) - slope(-1) + slope(-2)) / step


def test_the_curvature_is_continuous_at_the_cutoff_of_a_polynomial_envelope(potential: Potential) -> None:
    if getattr(potential.model.config, "envelope", "polynomial") != "polynomial":
        pytest.skip("its envelope is smooth to the first derivative only: a reference's setting")
    wide, narrow = curvature_jump(potential, 2e-5), curvature_jump(potential, 1e-5)
    jump = 2 * narrow - wide  # what is left as the step goes to zero
    largest = potential(approach(CUTOFF))["forces"].abs().max().item()
    close(jump, torch.zeros(NUM_STATES, dtype=torch.float64), atol=1e-5 * max(1.0, largest))


@every
def test_pairs_beyond_the_cutoff_add_nothing(potential: Potential) -> None:
    """A graph may have been built for more than the model sees: a Verlet skin, a prior."""
    exact, wide = crystal(), build_graph(POSITIONS, NUMBERS, CUTOFF + 2, cell=CELL, pbc=True)
    assert wide.num_pairs > 2 * exact.num_pairs
    before, after = potential(exact), potential(wide)
    close(after["energies"], before["energies"])
    close(after["forces"], before["forces"])
