"""compile=True gives the uncompiled energies and forces; "auto" uses what there is; no compiler is one warning."""

import copy
import pickle
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mlff.calculators import MLFFCalculator
from mlff.dynamics import run_md

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
SMALL = {"model_options": {"num_layers": 1, "num_features": 8}}


@pytest.fixture
def kept_code(monkeypatch):
    """Code that stays between runs, found by all that it depends on: the first run compiles, some 15 s a model."""
    if COMPILER is None:
        pytest.skip("needs a C++ compiler")
    monkeypatch.setenv("MLFF_CACHE", str(Path(tempfile.gettempdir()) / "mlff-compiled-for-tests"))


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFF_CACHE", str(tmp_path))
    return tmp_path


def compiled(potential, **options):
    """A calculator that compiles, or fails the test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="compiling failed")
        calculator = MLFFCalculator(potential, dtype="float64", compile=True, **options)
        assert not calculator.compiled
        calculator.calculate(molecule("H2O"), ["energy"])
    assert calculator.compiled
    return calculator


@pytest.mark.parametrize("model", ["egnn", "painn"])
def test_compiled_equals_uncompiled_for_any_number_of_atoms(make_potential, kept_code, model):
    potential = make_potential(model, **SMALL, num_states=2)
    fast, plain = compiled(potential, state=1), MLFFCalculator(potential, dtype="float64", state=1, compile=False)
    crystal = bulk("C")
    crystal.rattle(0.05)
    for atoms in (molecule("CH3CH2OH"), molecule("C6H6"), crystal, crystal * (3, 2, 2), Atoms("O"), molecule("OH")):
        atoms.calc = plain
        energy, forces, energies = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_potential_energies()
        stress = atoms.get_stress() if atoms.pbc.all() else None
        atoms.calc = fast
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)
        assert "forces" not in fast.results
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-8)
        np.testing.assert_allclose(atoms.get_potential_energies(), energies, atol=1e-8)
        assert fast.results.keys() == plain.results.keys()
        assert all(np.asarray(value).dtype == np.float64 for value in fast.results.values())
        if stress is not None:
            np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-9)


def test_energy_is_conserved_as_without_compiling(make_potential, kept_code):
    potential = make_potential("painn", **SMALL, num_states=2)
    logs = []
    for calculator in (compiled(potential), MLFFCalculator(potential, dtype="float64", compile=False)):
        atoms = molecule("CH3CH2OH", calculator=calculator)
        logs.append(run_md(atoms, steps=100, timestep=0.5, temperature=100, seed=5, interval=1).energies)
    assert logs[1].fluctuation > 1e-6
    assert logs[0].fluctuation == pytest.approx(logs[1].fluctuation, rel=1e-4)


def test_auto_uses_code_that_is_there_for_other_weights_too(make_potential, kept_code, monkeypatch):
    compiled(make_potential("painn", **SMALL, num_states=2))
    other = make_potential("painn", **SMALL, num_states=2, scale=2.0)
    for parameter in other.parameters():
        parameter.data *= 1.05
    atoms, plain = molecule("C6H6"), MLFFCalculator(other, dtype="float64", compile=False)
    atoms.calc = MLFFCalculator(other, dtype="float64")
    forces = atoms.get_forces()
    assert atoms.calc._compiled is not None
    np.testing.assert_allclose(forces, plain.get_property("forces", atoms.copy()), atol=1e-8)
    monkeypatch.setenv("MLFF_CACHE", "/nowhere")
    atoms.calc = MLFFCalculator(other, dtype="float64")
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-8)
    assert atoms.calc._compiled is None


def test_copies_find_the_code_again(make_potential, kept_code):
    calculator = compiled(make_potential("painn", **SMALL, num_states=2))
    atoms = molecule("CH4", calculator=calculator)
    forces = atoms.get_forces()
    for other in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        assert other._compiled is None
        other.reset()
        atoms.calc = other
        np.testing.assert_array_equal(atoms.get_forces(), forces)
        assert other._compiled is not None and other._compiled is not calculator._compiled


def test_distances_that_are_not_physical_are_refused_as_without_compiling(make_potential, kept_code):
    atoms = molecule("H2O", calculator=compiled(make_potential("painn", **SMALL, num_states=2)))
    atoms.positions[1] = atoms.positions[0] + (0.01, 0, 0)
    with pytest.raises(ValueError, match="0.01 angstrom apart"):
        atoms.get_forces()


@pytest.mark.parametrize("asked", [True, "auto"])
def test_a_cache_folder_that_cannot_be_used_is_one_warning_or_none(make_potential, monkeypatch, asked):
    monkeypatch.setenv("MLFF_CACHE", "/dev/null/mlff")
    atoms = molecule("H2O", calculator=MLFFCalculator(make_potential("painn", **SMALL), compile=asked))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        atoms.get_forces()
    assert len(caught) == (asked is True)
    assert all("the folder for compiled code cannot be used" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("model", ["egnn", "painn"])
def test_without_a_working_compiler_one_warning_says_so(make_potential, monkeypatch, empty_cache, model):
    monkeypatch.setattr("mlff.fast.program.ops.load", lambda library: None)
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", None)
    monkeypatch.setattr("mlff.fast.build.shutil.which", lambda name: None)
    potential = make_potential(model, **SMALL)
    atoms = molecule("H2O", calculator=MLFFCalculator(potential, dtype="float64", compile=True))
    with pytest.warns(UserWarning, match="^compiling failed, so the model runs uncompiled: [^\n]+$"):
        forces = atoms.get_forces()
    assert not atoms.calc.compiled
    atoms.rattle(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_forces()
    atoms.positions[:] = molecule("H2O").positions
    atoms.calc = MLFFCalculator(potential, dtype="float64", compile=False)
    np.testing.assert_array_equal(forces, atoms.get_forces())
    assert not [file for file in empty_cache.rglob("*") if file.suffix in (".so", ".pt2")]
