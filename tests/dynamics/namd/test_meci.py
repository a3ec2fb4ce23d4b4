"""Both searches find the crossing of a linear vibronic coupling model that is known in closed form."""

import numpy as np
import pytest

from mlff.dynamics.namd.analytic.pyrazine import HALF_GAP, KAPPA, pyrazine, pyrazine_modes
from mlff.dynamics.namd.meci import find_crossing

from .lvc import CartesianLVC


@pytest.mark.parametrize("algorithm", ["penalty", "projection"])
@pytest.mark.parametrize("multiplicities", [(1, 1), (1, 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_lowest_crossing_is_the_one_in_closed_form(algorithm, multiplicities, seed):
    model = CartesianLVC(seed, multiplicities=multiplicities)
    positions, energy = model.lowest_crossing()
    steps = []
    found = find_crossing(
        model, model.start, (1, 0), algorithm=algorithm, gap=5e-4, callback=lambda *row: steps.append(row)
    )
    assert found.converged and found.states == (0, 1) and found.gap <= 5e-4 and found.seam_force <= 0.01
    np.testing.assert_allclose(found.positions, positions, atol=2e-3)
    assert found.energies.mean() == pytest.approx(energy, abs=2e-3)
    assert steps[-1][0] == found.num_steps and steps[-1][2] == found.gap


@pytest.mark.parametrize("algorithm", ["penalty", "projection"])
def test_running_out_of_steps_is_reported(algorithm):
    model = CartesianLVC()
    found = find_crossing(model, model.start, algorithm=algorithm, steps=2)
    assert not found.converged and found.num_steps == 2


def test_mistakes_end_in_sentences():
    model = CartesianLVC()
    for states, options, words in [
        ((0, 2), {}, "the states 0 to 1"),
        ((1, 1), {}, "two different states"),
        ((0, 1), {"algorithm": "magic"}, "choose one of penalty, projection"),
        ((0, 1), {"gap": -1.0}, "`gap` is -1.0; give a positive number"),
        ((0, 1), {"steps": 0}, "`steps` is 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            find_crossing(model, model.start, states, **options)


@pytest.mark.parametrize("algorithm", ["penalty", "projection"])
def test_the_lowest_crossing_of_pyrazine_is_that_of_its_parameters(algorithm):
    model = pyrazine()
    molecule = pyrazine_modes()
    tuned = [molecule.labels.index(label) for label in KAPPA]
    omega = molecule.frequencies[tuned]
    first, second = np.array(list(KAPPA.values())).T
    # Least of sum omega Q^2 / 2 + mean kappa Q where 2 half_gap + (second - first) Q = 0, by a Lagrange multiplier.
    mean, apart = 0.5 * (first + second), second - first
    factor = (2 * HALF_GAP - apart @ (mean / omega)) / (apart @ (apart / omega))
    reached = -(mean + factor * apart) / omega
    energy = 0.5 * omega @ reached**2 + mean @ reached
    start = molecule.positions + 0.03 * np.random.default_rng(0).standard_normal((10, 3))
    found = find_crossing(model, start, algorithm=algorithm, gap=2e-4, fmax=2e-3)
    assert found.converged
    assert found.energies.mean() == pytest.approx(energy, abs=2e-3)
