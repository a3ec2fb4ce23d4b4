"""Planar molecules, where polar vectors lie in the plane and axial ones stand on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mlff.graph import build_graph
from mlff.potential.potential import Potential

from .conftest import CUTOFF, KINDS, SYMMETRIC

C, S = np.cos(np.radians(60)), np.sin(np.radians(60))
METHANIMINIUM = (
    np.array([6, 7, 1, 1, 1, 1]),
    np.array([[0, 0, 0], [1.28, 0, 0], [-1.08 * C, 1.08 * S, 0], [-1.08 * C, -1.08 * S, 0],
              [1.28 + 1.01 * C, 1.01 * S, 0], [1.28 + 1.01 * C, -1.01 * S, 0]]),
)  # fmt: skip
"""CH2NH2+, C2v, in the xy plane, Å."""
ETHYLENE = (
    np.array([6, 6, 1, 1, 1, 1]),
    np.array([[0, 0, 0], [1.33, 0, 0], [-1.08 * C, 1.08 * S, 0], [-1.08 * C, -1.08 * S, 0],
              [1.33 + 1.08 * C, 1.08 * S, 0], [1.33 + 1.08 * C, -1.08 * S, 0]]),
)  # fmt: skip
IN_PLANE = np.array([[0.03, 0.05, 0], [-0.04, 0.02, 0], [0.1, -0.03, 0], [-0.02, 0.06, 0], [0.05, -0.07, 0], [0, 0.04, 0]])
"""A displacement in the plane that leaves no symmetry but the plane."""
PYRAZINE = (
    np.array([7, 7, 6, 6, 6, 6, 1, 1, 1, 1]),
    np.array([[0, 0, 1.41], [0, 0, -1.41], *([0, y, z] for y in (1.13, -1.13) for z in (0.70, -0.70)),
              *([0, y, z] for y in (2.06, -2.06) for z in (1.25, -1.25))]),
)  # fmt: skip
"""D2h, in the yz plane, nitrogen on z, Å."""
NU_10A = np.array([0, 0, 0.02, 0.02, -0.02, -0.02, -0.2, -0.2, 0.2, 0.2])
"""Out of the plane, along x, like a turn about z (B1g): the mode that couples S1 (B3u) and S2 (B2u) of pyrazine, Å."""


def couplings(potential: Potential, numbers: np.ndarray, positions: np.ndarray) -> dict[str, torch.Tensor]:
    return potential(build_graph(positions, numbers, CUTOFF), couplings=True)


@pytest.mark.parametrize("molecule", [METHANIMINIUM, ETHYLENE], ids=["CH2NH2+", "ethylene"])
@pytest.mark.parametrize("model", SYMMETRIC)
def test_symmetric_planes_hold_polar_couplings_and_axial_ones_stand_on_them(
    model: str, molecule: tuple, make_potential: Callable
) -> None:
    found = couplings(make_potential(model, couplings="interstate"), *molecule)["interstate_coupling"]
    polar, axial = found[:, 1], found[:, [0, 2]]
    assert polar[:, :2].abs().max() > 1e-4 and polar[:, 2].abs().max() < 1e-12
    assert axial[..., 2].abs().max() > 1e-4 and axial[..., :2].abs().max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["painn", "schnet"])
def test_so_do_those_of_a_plane_without_other_symmetry(model: str, kind: str, make_potential: Callable) -> None:
    numbers, positions = METHANIMINIUM
    potential = make_potential(model, **KINDS[kind])
    found = couplings(potential, numbers, positions + IN_PLANE)
    nac, parities = found["nac"], torch.tensor(potential.config.parities).double()
    if kind == "diabatic":  # where the order of the energies says which state is which
        parities = parities @ found["eigenvectors"][0].square()
        assert (parities.abs() - 1).abs().max() < 1e-12
    even = [p for p, (i, j) in enumerate(potential.config.nac_pairs) if parities[i] * parities[j] > 0]
    odd = [p for p in range(3) if p not in even]
    assert nac[:, even, 2].abs().max() < 1e-12 and nac[:, even, :2].abs().amax(dim=(0, 2)).min() > 1e-5
    assert nac[:, odd, :2].abs().max() < 1e-12 and nac[:, odd, 2].abs().amax(dim=0).min() > 1e-5


def test_transition_dipoles_between_opposite_parities_stand_on_the_plane(make_potential: Callable) -> None:
    numbers, positions = METHANIMINIUM
    dipole = couplings(make_potential(couplings="interstate"), numbers, positions + IN_PLANE)["dipole"][0]  # 00 01 02 11
    assert dipole[[0, 2, 3], 2].abs().max() < 1e-12 and dipole[[0, 2, 3], :2].abs().max(dim=1).values.min() > 1e-4
    assert dipole[1, :2].abs().max() < 1e-12 and dipole[1, 2].abs() > 1e-5


def test_a_diabatic_element_between_opposite_parities_changes_its_sign_through_the_plane(make_potential: Callable) -> None:
    numbers, positions = METHANIMINIUM
    potential = make_potential(surfaces="diabatic")
    out = np.zeros((6, 3))
    out[:, 2] = [0.05, -0.1, 0.2, -0.1, 0.02, 0.1]

    def matrix(step: float) -> torch.Tensor:
        return couplings(potential, numbers, positions + IN_PLANE + step * out)["diabatic_energy"][0]

    above, within, below = matrix(1), matrix(0), matrix(-1)
    odd, even = ([0, 1], [1, 2]), ([0, 0], [1, 2])
    assert within[odd].abs().max() < 1e-12 and above[odd].abs().min() > 1e-6
    torch.testing.assert_close(below[odd], -above[odd], rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(below[0, 2], above[0, 2])
    assert (above[even] - within[even]).abs().max() < 1
    assert not within[:3, 3].any()  # a singlet and a triplet


@pytest.mark.parametrize("parities", [(1, 1), (1, -1)])
def test_atoms_that_are_alike_have_no_linear_coupling_of_a_sign_that_a_rotation_changes(
    parities: tuple[int, int], make_potential: Callable
) -> None:
    """B1g of pyrazine: a half turn about x takes q to -q and like atoms into each other's places, and W to -W.

    A function of alike atoms is even in q (and a pseudo-scalar one, odd under the reflection that takes q to -q too, zero);
    that of atoms that are told apart is as free as parity leaves it: odd.
    """
    numbers, positions = PYRAZINE
    states = {"num_states": 2, "multiplicities": None, "parities": parities, "dipole_pairs": (), "soc_pairs": ()}
    alike = make_potential(surfaces="diabatic", **states)
    labelled = make_potential(surfaces="diabatic", **states, labelled_atoms=tuple(numbers.tolist()))

    def element(potential: Potential, q: float) -> float:
        moved = positions + q * NU_10A[:, None] * np.array([1.0, 0, 0])
        return float(couplings(potential, numbers, moved)["diabatic_energy"][0, 0, 1])

    assert element(alike, 1.0) == pytest.approx(element(alike, -1.0), abs=1e-10)
    if parities == (1, -1):
        assert element(alike, 1.0) == pytest.approx(0, abs=1e-10)
        assert abs(element(labelled, 1.0)) > 1e-4
        assert element(labelled, -1.0) == pytest.approx(-element(labelled, 1.0), rel=1e-6)
        slopes = [element(labelled, q) / q for q in (0.01, 0.02)]
        assert slopes[1] == pytest.approx(slopes[0], rel=1e-2)  # linear, as vibronic coupling is
