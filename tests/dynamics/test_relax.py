"""run_relaxation: converges or says that it did not, leaves its input alone, writes whole files."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read

from mlff.dynamics import run_relaxation
from mlff.dynamics.relax import OPTIMIZERS, rmsd


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_it_converges_downhill_and_leaves_the_input_alone(optimizer):
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = EMT()
    start = ethanol.positions.copy()
    result = run_relaxation(ethanol, fmax=0.02, steps=300, optimizer=optimizer)
    assert result.converged and result.max_forces[-1] <= 0.02 < result.max_forces[0]
    assert result.energies[-1] < result.energies[0]
    assert result.num_steps == len(result.energies) - 1 > 0
    assert result.atoms.get_potential_energy() == result.energies[-1]
    np.testing.assert_array_equal(ethanol.positions, start)


def test_running_out_of_steps_is_reported(ethanol):
    result = run_relaxation(ethanol, fmax=1e-6, steps=3)
    assert not result.converged and result.num_steps == 3


def test_no_steps_only_evaluates(ethanol):
    result = run_relaxation(ethanol, steps=0)
    assert result.num_steps == 0 and result.rmsd == pytest.approx(0, abs=1e-6)


def test_a_relaxed_structure_takes_no_step(ethanol):
    first = run_relaxation(ethanol, fmax=0.05)
    again = run_relaxation(first.atoms, fmax=0.05)
    assert again.converged and again.num_steps == 0


def test_cell_relaxation_finds_the_lattice_constant():
    atoms = bulk("Cu", a=3.8)
    atoms.calc = EMT()
    result = run_relaxation(atoms, fmax=0.005, cell=True)
    assert result.converged
    assert result.atoms.cell.cellpar()[0] * np.sqrt(2) == pytest.approx(3.59, abs=0.02)
    assert atoms.cell.cellpar()[0] * np.sqrt(2) == pytest.approx(3.8)


def test_constraints_are_kept(ethanol):
    ethanol.set_constraint(FixAtoms([0]))
    result = run_relaxation(ethanol, fmax=0.05)
    np.testing.assert_array_equal(result.atoms.positions[0], ethanol.positions[0])
    assert result.converged


@pytest.mark.parametrize("name", ["path.traj", "path.xyz"])
def test_every_step_is_in_the_trajectory(ethanol, tmp_path, name):
    seen = []
    result = run_relaxation(ethanol, fmax=0.05, trajectory=tmp_path / name, callback=lambda *row: seen.append(row))
    frames = read(tmp_path / name, ":")
    assert [frame.get_potential_energy() for frame in frames] == pytest.approx(list(result.energies), abs=1e-6)
    assert seen == list(zip(range(len(frames)), result.energies, result.max_forces))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failure_leaves_the_steps_before_it_and_no_other_file(ethanol, tmp_path):
    def stop(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_relaxation(ethanol, fmax=1e-5, trajectory=tmp_path / "a.traj", callback=stop)
    assert len(read(tmp_path / "a.traj", ":")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.traj"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "bfgs2"}, "`optimizer` is 'bfgs2'; choose one of BFGS, LBFGS, FIRE"),
        ({"fmax": 0}, "`fmax` is 0"),
        ({"fmax": float("nan")}, "`fmax` is nan"),
        ({"steps": -1}, "`steps` is -1"),
        ({"cell": True}, "periodic along three axes"),
        ({"trajectory": "a.pdf"}, "suffix '.pdf'; use one of .traj, .xyz, .extxyz"),
    ],
)
def test_wrong_arguments_are_refused(ethanol, options, message):
    with pytest.raises(ValueError, match=message):
        run_relaxation(ethanol, **options)


def test_no_calculator():
    with pytest.raises(ValueError, match="no calculator"):
        run_relaxation(molecule("H2O"))


def test_rmsd_ignores_rotation_and_translation_of_a_molecule_only(ethanol):
    turned = ethanol.copy()
    turned.rotate(50, (1, 2, 3))
    turned.translate((4, 5, 6))
    assert rmsd(ethanol, turned) == pytest.approx(0, abs=1e-6)
    moved = ethanol.copy()
    moved.positions[0, 0] += 0.3
    assert 0.02 < rmsd(ethanol, moved) < 0.1
    crystal = bulk("Cu", cubic=True)
    shifted = crystal.copy()
    shifted.positions += 0.5
    assert rmsd(crystal, shifted) == pytest.approx(0, abs=1e-12)
    shifted.positions[0, 0] += 0.4
    assert rmsd(crystal, shifted) == pytest.approx(np.sqrt((0.3**2 + 3 * 0.1**2) / 4))
    assert rmsd(molecule("H"), molecule("H")) == pytest.approx(0, abs=1e-12)
