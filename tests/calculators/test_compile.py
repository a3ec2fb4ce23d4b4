"""compile=True gives the eager energies and forces, or one warning where there is no compiler."""

import copy
import pickle
import shutil

import numpy as np
import pytest
from ase.build import bulk, molecule

from mlff.calculators import MLFFCalculator


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_compiled_equals_eager_for_any_number_of_atoms(make_potential):
    potential = make_potential("egnn", model_options={"num_layers": 1, "num_features": 8})
    eager = MLFFCalculator(potential, dtype="float64")
    compiled = MLFFCalculator(potential, dtype="float64", compile=True)
    crystal = bulk("C")
    crystal.rattle(0.05)
    for atoms in (molecule("CH3CH2OH"), molecule("C6H6"), crystal):
        atoms.calc = eager
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        stress = atoms.get_stress() if atoms.pbc.all() else None
        atoms.calc = compiled
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-11)
        if stress is not None:
            np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-12)
        assert compiled.potential.model._compiled_call_impl is not None


def test_copies_compile_for_themselves(make_potential):
    compiled = MLFFCalculator(make_potential("egnn"), compile=True)
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        code = other.potential.model._compiled_call_impl
        assert code is not None and code is not compiled.potential.model._compiled_call_impl


def test_without_a_working_compiler_one_warning_says_so(make_potential, monkeypatch):
    potential = make_potential("egnn", model_options={"num_layers": 1, "num_features": 8})
    calculator = MLFFCalculator(potential, dtype="float64", compile=True)

    def broken(*_, **__):
        raise RuntimeError("No working C++ compiler found\nlong story")

    monkeypatch.setattr(calculator.potential.model, "_compiled_call_impl", broken)
    atoms = molecule("H2O", calculator=calculator)
    with pytest.warns(UserWarning, match="^torch.compile failed, so the model runs uncompiled: No working C.. comp.*found$"):
        forces = atoms.get_forces()
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    np.testing.assert_array_equal(forces, atoms.get_forces())
