"""The ZBL prior: published values, a smooth switch, nothing left at equilibrium bonds."""

import math

import pytest
import torch

from mlff.potential.zbl import COVALENT_RADII, SWITCH_END, SWITCH_START, zbl_outer_radius, zbl_pair_energy


def pair(distance: float, number_i: int, number_j: int) -> float:
    distances = torch.tensor([distance], dtype=torch.float64)
    return float(zbl_pair_energy(distances, torch.tensor([number_i]), torch.tensor([number_j])))


def test_unswitched_energy_is_the_published_formula():
    """Silicon on silicon at 0.3 angstrom, by hand from the universal screening function."""
    a = 0.8854 * 0.529177210903 / (2 * 14**0.23)
    x = 0.3 / a
    terms = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
    phi = sum(c * math.exp(-d * x) for c, d in terms)
    assert pair(0.3, 14, 14) == pytest.approx(14.399645478 * 196 / 0.3 * phi, rel=1e-12)


def test_screening_function_starts_at_one():
    assert pair(1e-7, 6, 8) == pytest.approx(14.399645478 * 48 / 1e-7, rel=1e-5)


def test_radii_are_those_of_ase():
    ase_data = pytest.importorskip("ase.data")
    assert ase_data.covalent_radii[: len(COVALENT_RADII)] == pytest.approx(COVALENT_RADII)


@pytest.mark.parametrize(
    ("number_i", "number_j", "bond"),
    [(7, 7, 1.098), (6, 8, 1.128), (6, 1, 1.09), (1, 1, 0.741), (6, 6, 1.203), (6, 7, 1.156), (8, 1, 0.958)],
)
def test_equilibrium_bonds_feel_nothing(number_i, number_j, bond):
    assert pair(bond, number_i, number_j) == 0.0


def test_repulsion_grows_steadily_as_atoms_approach():
    distances = torch.linspace(0.05, 1.2, 400, dtype=torch.float64)
    numbers = torch.full((400,), 6)
    energy = zbl_pair_energy(distances, numbers, numbers)
    assert bool((energy[1:] <= energy[:-1]).all())
    assert float(energy[0]) > 1000


@pytest.mark.parametrize("edge", [SWITCH_START, SWITCH_END])
def test_energy_force_and_curvature_are_continuous_at_both_ends_of_the_switch(edge):
    centre = edge * 2 * COVALENT_RADII[6]
    values = []
    for distance in (centre - 1e-7, centre + 1e-7):
        r = torch.tensor([distance], dtype=torch.float64, requires_grad=True)
        energy = zbl_pair_energy(r, torch.tensor([6]), torch.tensor([6])).sum()
        (slope,) = torch.autograd.grad(energy, r, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), r)
        values.append((energy.item(), slope.item(), curvature.item()))
    assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-3)


def test_float32_distances_give_float64_energies_and_finite_slopes():
    distances = torch.tensor([0.1, 0.6, 2.0], requires_grad=True)
    energy = zbl_pair_energy(distances, torch.tensor([6, 1, 8]), torch.tensor([8, 8, 8]))
    assert energy.dtype == torch.float64
    (slope,) = torch.autograd.grad(energy.sum(), distances)
    assert bool(torch.isfinite(slope).all()) and float(slope[2]) == 0.0


def test_outer_radius_is_the_largest_pair():
    assert zbl_outer_radius((1, 6)) == pytest.approx(2 * 0.7 * 0.76)
    with pytest.raises(ValueError, match="not 120"):
        zbl_outer_radius((1, 120))
