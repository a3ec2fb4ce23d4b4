import json

import numpy as np
import pytest
import torch

from mlff.graph import build_graph, collate
from mlff.models import model_config
from mlff.potential.potential import Potential, PotentialConfig

NUMBERS = [8, 1, 1]
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
CELL = np.array([[4.0, 0.0, 0.0], [0.5, 4.2, 0.0], [0.3, -0.4, 4.4]])


def potential(num_states=1, **options):
    torch.manual_seed(0)
    model = model_config("painn", num_features=8, num_layers=1, cutoff=3.0)
    return Potential.build(model, species=NUMBERS, num_states=num_states, **options).double().eval()


def water(shift=0.0):
    return build_graph(POSITIONS + shift, NUMBERS, 3.0)


def test_reference_energies_are_exact_to_float64_in_a_float32_potential():
    reference = {1: -13.587222780835477, 8: -2041.8396277138045}
    single = potential(atomic_energies=reference).float()
    graph = water()
    network = single.head(single.model(graph)).double().sum().detach()
    energy = single(graph, forces=False)["energy"]
    assert float(energy.detach() - network) == pytest.approx(reference[8] + 2 * reference[1], abs=1e-11)


def test_energies_of_the_atoms_sum_to_the_energy_of_each_structure():
    out = potential(num_states=2)(collate([water(), build_graph([[0, 0, 0]], [1], 3.0)]))
    assert out["energy"].shape == (2, 2) and out["forces"].shape == (4, 2, 3)
    torch.testing.assert_close(out["energies"][:3].sum(0), out["energy"][0])


def test_forces_of_chosen_states_are_those_among_all():
    model = potential(num_states=3)
    every = model(water())["forces"]
    torch.testing.assert_close(model(water(), states=[2, 0])["forces"], every[:, [2, 0]])
    assert not torch.allclose(every[:, 0], every[:, 1])


def test_stress_is_the_strain_derivative_over_the_volume():
    model = potential()

    def energy(strain):
        deform = np.eye(3) + strain
        graph = build_graph(POSITIONS @ deform, NUMBERS, 3.0, cell=CELL @ deform, pbc=True)
        return model(graph, forces=False)["energy"][0, 0].item()

    graph = build_graph(POSITIONS, NUMBERS, 3.0, cell=CELL, pbc=True)
    stress = model(graph, stress=True)["stress"][0, 0].numpy()
    step, numeric = 1e-5, []
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        numeric.append((energy(strain) - energy(-strain)) / (2 * step) / np.linalg.det(CELL))
    np.testing.assert_allclose(stress, numeric, atol=1e-8)


def test_the_prior_is_felt_by_colliding_atoms_alone():
    with_prior, without = potential(zbl=True), potential()
    torch.testing.assert_close(with_prior(water())["forces"], without(water())["forces"])
    near = build_graph([[0, 0, 0], [0.3, 0, 0]], [1, 1], 3.0)
    difference = with_prior(near)["forces"] - without(near)["forces"]
    assert difference[1, 0, 0] > 10 and torch.allclose(difference.sum(0), torch.zeros(1, 3).double())


def test_derivatives_are_computed_under_no_grad_and_leave_the_graph_alone():
    graph = water()
    before = graph.positions.clone()
    with torch.no_grad():
        forces = potential()(graph)["forces"]
    assert not forces.requires_grad and not graph.positions.requires_grad
    assert torch.equal(graph.positions, before)


def test_training_mode_lets_forces_be_differentiated_again():
    model = potential().train()
    model(water())["forces"].square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.model.parameters())


def test_a_config_survives_json_with_its_model():
    config = potential(atomic_energies={1: 0.1, 8: 1 / 3}).config
    assert PotentialConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_a_graph_with_too_small_a_cutoff_is_refused():
    with pytest.raises(ValueError, match="cutoff of 2.0 Å but the model's is 3.0 Å"):
        potential()(build_graph(POSITIONS, NUMBERS, 2.0))


def test_stress_of_a_molecule_is_refused():
    with pytest.raises(ValueError, match="no cell"):
        potential()(water(), stress=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"species": [0]}, "expected atomic numbers"),
        ({"species": []}, "expected atomic numbers"),
        ({"species": [1, 8], "atomic_energies": {1: 0.0}}, r"no entry for the elements \[8\]"),
        ({"species": [55], "zbl": True}, "ZBL prior reaches"),
    ],
)
def test_impossible_settings_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Potential.build(model_config("painn", cutoff=3.0), **options)


def test_a_misspelt_model_or_option_is_answered_with_the_name_that_was_meant():
    with pytest.raises(ValueError, match="did you mean 'painn'"):
        model_config("pain")
    with pytest.raises(ValueError, match="did you mean 'num_features'"):
        model_config("painn", num_feature=3)
    with pytest.raises(ValueError, match="num_layers=0"):
        model_config("painn", num_layers=0)
