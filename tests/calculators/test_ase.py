"""MLFFCalculator: what it gives, when it computes anew, what it refuses, how it is copied."""

import copy
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError

from mlff.calculators import MLFFCalculator
from mlff.graph import build_graph
from mlff.potential.checkpoint import save_potential


@pytest.fixture
def calculator(potential):
    return MLFFCalculator(potential, dtype="float64")


@pytest.fixture
def ethanol(calculator):
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator
    return atoms


@pytest.fixture
def crystal(calculator):
    atoms = bulk("C") * (2, 1, 1)
    atoms.rattle(0.05, seed=1)
    atoms.calc = calculator
    return atoms


def test_results_are_those_of_the_potential(ethanol, potential):
    graph = build_graph(ethanol.positions, ethanol.numbers, potential.cutoff)
    expected = copy.deepcopy(potential).double().eval()(graph)
    assert ethanol.get_potential_energy() == pytest.approx(float(expected["energy"][0, 0]), abs=1e-10)
    np.testing.assert_allclose(ethanol.get_forces(), expected["forces"][:, 0].numpy(), atol=1e-12)
    np.testing.assert_allclose(ethanol.calc.get_property("state_energies", ethanol), expected["energy"][0].numpy())


def test_shapes_units_and_sums_of_the_results(crystal):
    crystal.get_stress()
    results = crystal.calc.results
    shapes = {name: np.shape(value) for name, value in results.items()}
    assert shapes == {"energy": (), "free_energy": (), "forces": (4, 3), "stress": (6,), "energies": (4,),
                      "state_energies": (2,), "gaps": (1,)}  # fmt: skip
    assert results["energies"].sum() == pytest.approx(results["energy"], abs=1e-9)
    assert results["free_energy"] == results["energy"] == crystal.get_potential_energy(force_consistent=True)
    assert all(np.asarray(value).dtype == np.float64 for value in results.values())


def test_energy_includes_the_atomic_references(ethanol):
    assert abs(ethanol.get_potential_energy() - (2 * -1030 + 6 * -13.6 - 2040)) < 100


def test_energy_alone_then_forces_agree_with_both_at_once(ethanol, potential):
    energy = ethanol.get_potential_energy()
    assert "forces" not in ethanol.calc.results
    forces = ethanol.get_forces()
    other = ethanol.copy()
    other.calc = MLFFCalculator(potential, dtype="float64")
    np.testing.assert_array_equal(other.get_forces(), forces)
    assert other.get_potential_energy() == energy


@pytest.mark.parametrize("change", ["numbers", "positions", "cell", "pbc", "one more atom"])
def test_a_change_of_the_structure_is_noticed(crystal, potential, change):
    before = crystal.get_potential_energy()
    if change == "numbers":
        crystal.numbers[0] = 7  # in place, as no setter sees
    elif change == "positions":
        crystal.positions[0] += 0.1
    elif change == "cell":
        crystal.set_cell(crystal.cell * 1.02)
    elif change == "pbc":
        crystal.pbc = (True, True, False)
    else:
        crystal.append("H")
        crystal.positions[-1] = crystal.positions[0] + (0.9, 0.9, -0.9)
    after = crystal.get_potential_energy()
    assert after != before
    fresh = crystal.copy()
    fresh.calc = MLFFCalculator(potential, dtype="float64")
    assert after == pytest.approx(fresh.get_potential_energy(), abs=1e-10)


def test_nothing_is_computed_twice_for_an_unchanged_structure(ethanol):
    ethanol.get_forces()
    builds, results = ethanol.calc.neighbors.num_builds, ethanol.calc.results
    ethanol.get_forces()
    ethanol.get_potential_energy()
    assert ethanol.calc.results is results and ethanol.calc.neighbors.num_builds == builds


def test_results_handed_out_are_copies(ethanol):
    forces = ethanol.get_forces()
    kept = forces.copy()
    forces[:] = 0
    np.testing.assert_array_equal(ethanol.get_forces(), kept)


def test_users_atoms_and_torch_settings_are_left_alone(potential):
    atoms = bulk("C")
    positions, cell = atoms.positions.copy(), atoms.cell.array.copy()
    settings = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    random = torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in potential.state_dict().items()}
    with torch.no_grad():
        atoms.calc = MLFFCalculator(potential, dtype="float64")
        atoms.get_stress()
    assert (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()) == settings
    assert torch.equal(torch.get_rng_state(), random)
    np.testing.assert_array_equal(atoms.positions, positions)
    np.testing.assert_array_equal(atoms.cell.array, cell)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in potential.state_dict().items())
    assert next(potential.parameters()).requires_grad and potential.training


def test_float32_is_close_to_float64(ethanol, potential):
    single = ethanol.copy()
    single.calc = MLFFCalculator(potential)
    assert single.get_potential_energy() == pytest.approx(ethanol.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(single.get_forces(), ethanol.get_forces(), atol=1e-4)
    assert single.get_forces().dtype == np.float64


def test_float64_resolves_what_float32_cannot(ethanol):
    """The slope over 1e-6 angstrom comes out right only if the inputs are float64 as well as the weights."""
    slope = -ethanol.get_forces()[2, 0]
    energies = []
    for step in (1e-6, -1e-6):
        moved = ethanol.copy()
        moved.positions[2, 0] += step
        energies.append(float(ethanol.calc.get_property("energy", moved)))
    assert (energies[0] - energies[1]) / 2e-6 == pytest.approx(slope, abs=1e-5)


def test_one_atom_and_two_far_apart(calculator):
    one = Atoms("C", calculator=calculator)
    energy = one.get_potential_energy()
    np.testing.assert_array_equal(one.get_forces(), np.zeros((1, 3)))
    two = Atoms("C2", [[0, 0, 0], [50, 0, 0]], calculator=calculator)
    assert two.get_potential_energy() == pytest.approx(2 * energy, abs=1e-9)
    np.testing.assert_allclose(two.get_forces(), 0, atol=1e-12)


def test_a_molecule_in_a_box_that_is_not_periodic_is_a_molecule(ethanol):
    energy = ethanol.get_potential_energy()
    ethanol.set_cell([3, 3, 3])
    assert ethanol.get_potential_energy() == energy


@pytest.mark.parametrize("pbc", [False, (True, True, False)])
def test_stress_is_refused_unless_all_axes_are_periodic(crystal, pbc):
    crystal.pbc = pbc
    crystal.get_forces()
    with pytest.raises(PropertyNotImplementedError, match="three axes"):
        crystal.get_stress()


def test_states(ethanol, potential):
    energies = ethanol.calc.get_property("state_energies", ethanol)
    upper = ethanol.copy()
    upper.calc = MLFFCalculator(potential, state=1, dtype="float64")
    assert upper.get_potential_energy() == energies[1] != energies[0]
    ground = ethanol.get_forces()
    ethanol.calc.state = 1
    np.testing.assert_array_equal(ethanol.get_forces(), upper.get_forces())
    assert abs(ethanol.get_forces() - ground).max() > 1e-4


@pytest.mark.parametrize("state", [2, -1, True, 0.0])
def test_a_state_that_is_not_there_is_refused(potential, state):
    with pytest.raises(ValueError, match=f"`state` is {state}, but the model has the states 0 to 1"):
        MLFFCalculator(potential, state=state)


def refused(calculator, atoms, message):
    atoms.calc = calculator
    with pytest.raises(ValueError, match=message):
        atoms.get_potential_energy()
    assert not calculator.results


def test_an_unknown_element_is_named_with_those_that_are_known(calculator):
    refused(calculator, Atoms("CFeH", [[0, 0, 0], [2, 0, 0], [0, 1, 0]]),
            r"not trained on Fe \(atom 1 \(Fe\)\); it knows H, C, N, O")


def test_no_atoms(calculator):
    refused(calculator, Atoms(), "has no atoms")


def test_positions_that_are_not_finite_are_named(calculator):
    atoms = molecule("H2O")
    atoms.positions[1] = np.nan
    refused(calculator, atoms, r"positions of atom 1 \(H\) are not finite")


def test_a_cell_that_is_not_finite(calculator):
    atoms = bulk("C")
    atoms.cell[0, 0] = np.inf
    atoms.positions[:] = [[0, 0, 0], [0.9, 0.9, 0.9]]
    refused(calculator, atoms, "cell is not finite")


def test_atoms_on_top_of_each_other_are_named(calculator):
    refused(calculator, Atoms("CHO", [[0, 0, 0], [2, 0, 0], [2, 0, 0.05]]), r"atoms 1 \(H\), 2 \(O\) are 0.05 angstrom")


def test_an_atom_on_its_own_image(calculator):
    refused(calculator, Atoms("C", cell=[0.05, 5, 5], pbc=True), r"atoms 0 \(C\), 0 \(C\)")


def test_a_refused_structure_leaves_no_old_results(ethanol):
    ethanol.get_forces()
    ethanol.positions[0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        ethanol.get_forces()
    with pytest.raises(ValueError, match="not finite"):
        ethanol.get_potential_energy()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "choose 'float32' or 'float64'"),
        ({"skin": -1}, "`skin` is -1"),
        ({"skin": float("nan")}, "`skin` is nan"),
        ({"compile": "yes"}, "`compile` is 'yes'"),
        ({"device": "gpu"}, "`device` is 'gpu'"),
        ({"device": "mps"}, "runs on 'cpu' and 'cuda'"),
    ],
)
def test_wrong_options_are_refused(potential, options, message):
    with pytest.raises(ValueError, match=message):
        MLFFCalculator(potential, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(potential):
    with pytest.raises(ValueError, match="torch finds no CUDA GPU"):
        MLFFCalculator(potential, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_equals_cpu(crystal, potential):
    other = crystal.copy()
    other.calc = MLFFCalculator(potential, device="cuda", dtype="float64")
    np.testing.assert_allclose(other.get_forces(), crystal.get_forces(), atol=1e-10)
    np.testing.assert_allclose(other.get_stress(), crystal.get_stress(), atol=1e-12)
    assert other.get_potential_energy() == pytest.approx(crystal.get_potential_energy(), abs=1e-9)
    with pytest.raises(ValueError, match="GPUs end at"):
        MLFFCalculator(potential, device="cuda:99")


def test_model_of_a_wrong_type(potential):
    with pytest.raises(ValueError, match="`model` is a Linear"):
        MLFFCalculator(torch.nn.Linear(1, 1))


def test_model_from_a_file_a_folder_and_a_run(ethanol, potential, tmp_path):
    for path in (tmp_path / "model.safetensors", tmp_path / "checkpoint", tmp_path / "run" / "model"):
        save_potential(potential, path)
        named = tmp_path / "run" if path.parent.name == "run" else path
        for model in (named, str(named)):
            other = ethanol.copy()
            other.calc = MLFFCalculator(model, dtype="float64")
            assert other.get_potential_energy() == ethanol.get_potential_energy()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda calculator: pickle.loads(pickle.dumps(calculator))])
def test_a_copy_gives_the_same_and_is_independent(ethanol, duplicate):
    forces = ethanol.get_forces()
    other = ethanol.copy()
    other.calc = duplicate(ethanol.calc)
    other.rattle(0.1)
    other.get_forces()
    np.testing.assert_array_equal(ethanol.get_forces(), forces)
    other.positions = ethanol.positions
    np.testing.assert_array_equal(other.get_forces(), forces)
    other.calc.state = 1
    assert ethanol.calc.state == 0


@pytest.mark.parametrize("skin", [0.0, 0.3, 2.0])
def test_results_do_not_depend_on_the_skin(potential, skin):
    calculator = MLFFCalculator(potential, dtype="float64", skin=skin)
    rng = np.random.default_rng(0)
    atoms = bulk("C", cubic=True)
    for _ in range(5):
        atoms.positions += rng.normal(scale=0.03, size=(8, 3))
        fresh = atoms.copy()
        fresh.calc = MLFFCalculator(potential, dtype="float64", skin=0)
        np.testing.assert_allclose(calculator.get_property("forces", atoms), fresh.get_forces(), atol=1e-11)
    assert calculator.neighbors.num_builds == {0.0: 5, 2.0: 1}.get(skin, calculator.neighbors.num_builds)


def test_parameters_say_what_the_calculator_is(potential, tmp_path):
    save_potential(potential, tmp_path / "m")
    calculator = MLFFCalculator(str(tmp_path / "m"), state=1)
    assert calculator.todict() == {"model": str(tmp_path / "m"), "state": 1, "dtype": "float32", "skin": 1.0,
                                   "compile": "auto"}  # fmt: skip
