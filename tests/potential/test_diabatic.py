"""Diabatic surfaces: forces and couplings from eigenvectors, a conical intersection and a loop around it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlff.graph import build_graph, collate
from mlff.models import model_config
from mlff.potential.eigen import eigenstates, over_gap
from mlff.potential.potential import Potential

CUTOFF = 4.0
NUMBERS = np.array([6, 8, 1, 1])
POSITIONS = np.array([[0.0, 0.0, 0.0], [1.21, 0.1, 0.05], [-0.6, 0.93, 0.2], [-0.55, -0.9, 0.3]])


def make(num_states=2, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = model_config("painn", num_features=16, num_layers=2, cutoff=CUTOFF)
        potential = Potential.build(model, species=(1, 6, 8), num_states=num_states, **options)
        with torch.no_grad():
            for parameter in potential.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    return potential.double().eval()


def evaluate(potential, positions, **options):
    positions = np.asarray(positions, dtype=float).reshape(-1, len(NUMBERS), 3)
    graphs = [build_graph(each, NUMBERS, CUTOFF) for each in positions]
    return potential(collate(graphs), **options)


def displaced(step=1e-5):
    """All atoms, both ways along all axes: ``[N * 3 * 2, N, 3]``."""
    moves = step * np.eye(POSITIONS.size).reshape(-1, *POSITIONS.shape)
    return np.stack((POSITIONS + moves, POSITIONS - moves), axis=1).reshape(-1, *POSITIONS.shape), step


SYSTEMS = {"two": {}, "three": {"num_states": 3}, "with triplets": {"num_states": 5, "multiplicities": (1, 1, 3, 3, 1)}}


@pytest.mark.parametrize("system", SYSTEMS)
def test_forces_are_minus_the_derivative_of_the_eigenvalues(system):
    potential = make(surfaces="diabatic", **SYSTEMS[system])
    positions, step = displaced()
    energy = evaluate(potential, positions, forces=False)["energy"].view(len(NUMBERS), 3, 2, -1)
    numeric = -(energy[:, :, 0] - energy[:, :, 1]) / (2 * step)
    found = evaluate(potential, POSITIONS)
    torch.testing.assert_close(found["forces"], numeric.transpose(1, 2), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["energies"].sum(0), found["energy"][0])


@pytest.mark.parametrize("system", SYSTEMS)
def test_couplings_are_those_of_the_eigenvectors(system):
    """<i|d/dR|j> = c_i . dc_j/dR, in a basis that does not depend on R."""
    potential = make(surfaces="diabatic", **SYSTEMS[system])
    positions, step = displaced()
    here = evaluate(potential, POSITIONS, couplings=True)
    c = here["eigenvectors"][0]
    moved = evaluate(potential, positions, forces=False)["eigenvectors"]
    moved = moved * torch.einsum("as,bas->bs", c, moved).sign().unsqueeze(1)  # the signs of this structure
    slopes = (moved[0::2] - moved[1::2]) / (2 * step)
    for pair, (i, j) in enumerate(potential.config.nac_pairs):
        numeric = (c[:, i] @ slopes[:, :, j].T).view(len(NUMBERS), 3)
        torch.testing.assert_close(here["nac"][:, pair], numeric, rtol=1e-4, atol=1e-5)
        gap = here["energy"][0, j] - here["energy"][0, i]
        torch.testing.assert_close(here["interstate_coupling"][:, pair], here["nac"][:, pair] * gap, rtol=1e-4, atol=1e-7)


def test_states_of_a_multiplicity_are_in_order_and_do_not_mix_with_others():
    potential = make(surfaces="diabatic", **SYSTEMS["with triplets"])
    found = evaluate(potential, POSITIONS, couplings=True)
    energy, c, matrix = (found[name][0] for name in ("energy", "eigenvectors", "diabatic_energy"))
    assert potential.config.nac_pairs == ((0, 1), (0, 4), (1, 4), (2, 3))
    assert energy[0] < energy[1] < energy[4] and energy[2] < energy[3]
    assert not c[[0, 1, 4]][:, [2, 3]].any() and not matrix[[0, 1, 4]][:, [2, 3]].any()
    torch.testing.assert_close(c.T @ matrix @ c, torch.diag(energy))


def test_reference_energies_are_on_the_diagonal():
    reference = {1: -13.5, 6: -1030.25, 8: -2041.5}
    bare, total = make(surfaces="diabatic"), make(surfaces="diabatic", atomic_energies=reference)
    shift = evaluate(total, POSITIONS)["energy"] - evaluate(bare, POSITIONS)["energy"]
    torch.testing.assert_close(shift, torch.full_like(shift, -1030.25 - 2041.5 - 27.0))


# Dipoles turn with the states


def test_dipoles_of_a_pair_of_states_that_swap_swap():
    """The trace of the permanent dipoles over the states of a multiplicity does not depend on the mixing."""
    pairs = ((0, 0), (0, 1), (1, 1))
    potential = make(surfaces="diabatic", dipole_pairs=pairs)
    found = evaluate(potential, POSITIONS)
    c, dipole = found["eigenvectors"][0], found["dipole"][0]
    with torch.no_grad():
        for readout in potential.diabatic_head.readout.readouts:
            readout.network[-1].weight.zero_()
            readout.network[-1].bias.zero_()
    diabatic = evaluate(potential, POSITIONS)
    order = diabatic["eigenvectors"][0].argmax(0)
    assert sorted(order.tolist()) == [0, 1]
    mu = torch.zeros(3, 2, 2, dtype=torch.float64)
    for place, (i, j) in enumerate(pairs):
        mu[:, order[i], order[j]] = mu[:, order[j], order[i]] = diabatic["dipole"][0, place]
    turned = c.T @ mu @ c
    torch.testing.assert_close(turned[:, 0, 0] + turned[:, 1, 1], dipole[0] + dipole[2])
    torch.testing.assert_close(turned[:, 0, 1].abs(), dipole[1].abs())


# Degeneracy


def degenerate():
    """Two states that are degenerate at ``POSITIONS``: biases of the matrix are chosen so."""
    potential = make(surfaces="diabatic")
    matrix = evaluate(potential, POSITIONS, forces=False)["diabatic_energy"][0]
    with torch.no_grad():
        potential.head.network[-1].bias[1] -= (matrix[1, 1] - matrix[0, 0]) / len(NUMBERS)
        (readout,) = potential.diabatic_head.readout.readouts
        readout.network[-1].bias -= matrix[0, 1] / len(NUMBERS)
    return potential


def test_gradients_of_a_loss_are_finite_at_a_degeneracy():
    potential = degenerate().train()
    found = evaluate(potential, POSITIONS, couplings=True)
    assert (found["energy"][0, 1] - found["energy"][0, 0]).abs() < 1e-12
    assert all(value.isfinite().all() for value in found.values())
    (found["forces"].square().sum() + found["interstate_coupling"].square().sum() + found["energy"].square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in potential.parameters())


def test_exactly_equal_eigenvalues_have_finite_second_derivatives():
    matrix = torch.eye(3, dtype=torch.float64).expand(2, 3, 3).clone().requires_grad_(True)
    values, vectors = eigenstates(matrix, [(0, 1, 2)])
    loss = values.square().sum() + vectors.sin().sum()
    (gradient,) = torch.autograd.grad(loss, matrix, create_graph=True)
    gradient.square().sum().backward()
    assert gradient.isfinite().all() and matrix.grad.isfinite().all()


def test_derivatives_of_eigenvectors_are_right_where_states_are_apart():
    blocks = [(0, 2), (1, 3)]
    mask = torch.zeros(4, 4, dtype=torch.float64)
    for i, j in blocks:
        mask[[i, i, j, j], [i, j, i, j]] = 1
    matrix = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def function(m):
        values, vectors = eigenstates((m + m.mT) * mask, blocks)
        return values, vectors.square()

    assert torch.autograd.gradcheck(function, matrix)
    assert torch.autograd.gradgradcheck(function, matrix)


def test_the_quotient_by_a_gap_is_exact_where_states_are_apart_and_finite_where_they_meet():
    gaps = torch.tensor([1.0, 1e-2, 1e-3, 0.0, -1e-2], dtype=torch.float64)
    quotient = over_gap(torch.ones_like(gaps), gaps)
    torch.testing.assert_close(quotient[[0, 1, 4]], 1 / gaps[[0, 1, 4]], rtol=2e-8, atol=0)
    assert quotient[2] == pytest.approx(1e3, rel=2e-6) and quotient[3] == 0
    assert over_gap(torch.tensor(1.0), torch.logspace(-9, 0, 200)).max() <= 0.5e6


# A conical intersection


def branching_plane(potential):
    """Orthonormal directions of the gradients of W_11 - W_00 and of W_01, ``[2, N, 3]``: where the degeneracy is lifted."""
    positions, step = displaced()
    matrix = evaluate(potential, positions, forces=False)["diabatic_energy"]
    slopes = (matrix[0::2] - matrix[1::2]).detach().numpy() / (2 * step)
    g, h = (slopes[:, 1, 1] - slopes[:, 0, 0]), slopes[:, 0, 1]
    e_1 = g / np.linalg.norm(g)
    e_2 = h - (h @ e_1) * e_1
    return np.stack((e_1, e_2 / np.linalg.norm(e_2))).reshape(2, *POSITIONS.shape)


def on_loop(plane, radius, count=200):
    """Closed: the last structure is the first."""
    angles = np.linspace(0, 2 * np.pi, count + 1)
    return POSITIONS + radius * np.einsum("kp,pna->kna", np.stack((np.cos(angles), np.sin(angles)), axis=1), plane)


def loop_integral(nac, positions):
    """Of nac . dR, its sign followed along the loop."""
    nac = nac.reshape(len(positions), -1).numpy().copy()
    for k in range(1, len(nac)):
        nac[k] *= np.sign(nac[k] @ nac[k - 1]) or 1.0
    steps = np.diff(positions.reshape(len(positions), -1), axis=0)
    return 0.5 * ((nac[:-1] + nac[1:]) * steps).sum()


def test_energies_are_continuous_with_a_cusp_at_a_conical_intersection():
    potential = degenerate()
    e_1 = branching_plane(potential)[0]
    steps = np.array([-2e-3, -1e-3, -1e-6, 1e-6, 1e-3, 2e-3])
    gap = evaluate(potential, POSITIONS + steps[:, None, None] * e_1)["energy"].diff(dim=1)[:, 0].numpy()
    slopes = gap / np.abs(steps)
    assert gap[2] < 1e-4 and slopes.min() > 0.1
    np.testing.assert_allclose(slopes, slopes[-1], rtol=0.05)  # |step| on both sides: no derivative, and no gap


def test_a_loop_around_a_conical_intersection_collects_pi_and_turns_the_sign_of_the_states():
    """Longuet-Higgins, Proc. R. Soc. A 344, 147 (1975); the integral is quantised for every loop that is small enough."""
    potential = degenerate()
    plane = branching_plane(potential)
    for radius in (0.002, 0.01):
        positions = on_loop(plane, radius)
        found = evaluate(potential, positions, couplings=True)
        assert abs(loop_integral(found["nac"], positions)) == pytest.approx(np.pi, rel=2e-3)
        c = found["eigenvectors"]
        overlaps = torch.einsum("kas,kas->ks", c[1:], c[:-1])
        assert overlaps.abs().min() > 0.999
        assert torch.equal(overlaps.sign().prod(0), -torch.ones(2, dtype=torch.float64))
    beside = on_loop(plane, 0.005) + 0.02 * plane[0]  # around nothing
    assert loop_integral(evaluate(potential, beside, couplings=True)["nac"], beside) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("couplings", ["direct", "interstate"])
def test_no_single_valued_coupling_collects_pi_on_loops_of_any_size(couplings):
    """A learned vector field is smooth, so its integral shrinks with the area of the loop: a known limit of these heads."""
    potential, plane = make(couplings=couplings), branching_plane(degenerate())
    found = []
    for radius in (0.02, 0.01):
        positions = on_loop(plane, radius, 100)
        nac = evaluate(potential, positions, forces=False, couplings=True)["nac"]
        steps = np.diff(positions, axis=0).reshape(100, -1)
        nac = nac.detach().numpy().reshape(101, -1)
        found.append(abs(0.5 * ((nac[:-1] + nac[1:]) * steps).sum()))
    assert found[0] < 0.05 and found[1] == pytest.approx(found[0] / 4, rel=0.1)
