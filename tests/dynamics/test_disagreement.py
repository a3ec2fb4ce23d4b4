"""Simulations stop where a committee disagrees, and keep what they have and that frame."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import read

from mlff.calculators import CommitteeCalculator, MLFFCalculator
from mlff.dynamics import CommitteeDisagrees, run_md, run_replicas
from mlff.dynamics.limits import largest_deviation
from mlff.models import model_config
from mlff.potential.potential import Potential

HOT = {"temperature": 600, "seed": 4, "interval": 4}


@pytest.fixture(scope="module")
def members(potential) -> list[MLFFCalculator]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        model = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
        other = Potential.build(model, species=(1, 6, 8), scale=0.3)
    return [MLFFCalculator(each, dtype="float64") for each in (potential, other)]


@pytest.fixture
def atoms(members) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.calc = CommitteeCalculator([each.potential for each in members], dtype="float64")
    return atoms


def disagreement(atoms, members):
    """By the definition: over the atoms the largest root of the mean square deviation, with M - 1, of the force vectors."""
    atoms = atoms.copy()
    forces = []
    for each in members:
        atoms.calc = each
        forces.append(atoms.get_forces(apply_constraint=False))
    squares = ((np.array(forces) - np.mean(forces, axis=0)) ** 2).sum(axis=(0, 2)) / (len(forces) - 1)
    return np.sqrt(squares.max())


def bound_between(atoms, members, **options):
    """A bound that the simulation passes after a while, not on a frame of the interval."""
    frames = []
    run_replicas([atoms], callback=lambda _, row, each: frames.append(each.copy()), **(options | {"interval": 1}))
    values = np.array([disagreement(each, members) for each in frames])
    highest = np.maximum.accumulate(values)
    risen = [k for k in range(1, len(values)) if highest[k] > highest[k - 1] and k % options["interval"] and k > 4]
    return float(0.5 * (highest[risen[0]] + highest[risen[0] - 1])), risen[0]


def test_the_measure_is_that_of_surface_hopping(atoms, members):
    atoms.get_forces()
    assert largest_deviation(atoms.calc.results["forces_uncertainty"]) == pytest.approx(disagreement(atoms, members), rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"ensemble": "langevin"}], ids=["nve", "langevin"])
def test_a_simulation_stops_on_the_first_structure_beyond_the_bound_and_keeps_it(atoms, members, tmp_path, options):
    options = HOT | options
    bound, step = bound_between(atoms, members, steps=21, **options)
    path = tmp_path / "a.traj"
    reason = rf"^after step {step} \({0.5 * step:g} fs\) the committee's forces deviate by more than {bound} eV/angstrom$"
    with pytest.raises(CommitteeDisagrees, match=reason) as stopped:
        run_md(atoms, steps=21, trajectory=path, max_disagreement=bound, **options)
    whole = run_md(atoms, steps=21, trajectory=tmp_path / "whole.traj", **options)
    before = list(range(0, step, 4))
    assert stopped.value.simulation.energies.step.tolist() == [*before, step]
    frames = read(path, ":")
    for frame, expected in zip(frames, read(tmp_path / "whole.traj", ":")[: len(before)]):
        np.testing.assert_array_equal(frame.positions, expected.positions)
    assert len(frames) == len(before) + 1 and disagreement(frames[-1], members) > bound
    np.testing.assert_array_equal(frames[-1].positions, stopped.value.simulation.atoms.positions)

    # With the same bound it is over, to be told again; with another it goes on as if it had not stopped.
    kept = path.read_bytes(), path.with_suffix(".csv").read_bytes()
    with pytest.raises(CommitteeDisagrees, match=reason):
        run_md(atoms, steps=21, trajectory=path, restart=True, max_disagreement=bound, **options)
    assert len(read(path, ":")) == len(frames) and path.with_suffix(".csv").read_bytes() == kept[1]
    again = run_md(atoms, steps=21, trajectory=path, restart=True, max_disagreement=100.0, **options)
    np.testing.assert_array_equal(again.atoms.positions, whole.atoms.positions)
    np.testing.assert_array_equal(again.energies.step, whole.energies.step)
    assert len(read(path, ":")) == len(read(tmp_path / "whole.traj", ":"))


def test_a_start_beyond_the_bound_is_the_only_frame(atoms, members, tmp_path):
    bound = 0.9 * disagreement(atoms, members)
    with pytest.raises(CommitteeDisagrees, match="^after step 0 "):
        run_md(atoms, steps=20, trajectory=tmp_path / "a.xyz", max_disagreement=bound, **HOT)
    assert len(read(tmp_path / "a.xyz", ":")) == 1


def test_the_frame_of_an_equilibration_is_kept_until_the_simulation_goes_on(atoms, members, tmp_path):
    options = HOT | {"equilibrate": 20, "trajectory": tmp_path / "a.traj", "steps": 4}
    with pytest.raises(CommitteeDisagrees, match=r"^after step -\d+ \(-") as stopped:
        run_md(atoms, max_disagreement=1.05 * disagreement(atoms, members), **options)
    assert not len(stopped.value.simulation.energies.step)
    (frame,) = read(tmp_path / "a.traj", ":")
    np.testing.assert_array_equal(frame.positions, stopped.value.simulation.atoms.positions)
    again = run_md(atoms, restart=True, **options)
    whole = run_md(atoms, **(options | {"trajectory": tmp_path / "b.traj"}))
    np.testing.assert_array_equal(again.atoms.positions, whole.atoms.positions)
    assert len(read(tmp_path / "a.traj", ":")) == 2


def test_replicas_stop_one_by_one_as_alone(atoms, members, tmp_path):
    bound, _ = bound_between(atoms, members, steps=21, **HOT)
    found = run_replicas([atoms] * 3, steps=21, trajectory=tmp_path / "a.traj", max_disagreement=bound, **HOT)
    assert found.failures[0] is not None
    for k, (simulation, failure) in enumerate(zip(found.simulations, found.failures)):
        own = HOT | {"seed": HOT["seed"] + k, "steps": 21, "trajectory": tmp_path / f"alone-{k}.traj"}
        try:
            expected, reason = run_md(atoms, max_disagreement=bound, **own), None
        except CommitteeDisagrees as error:
            expected, reason = error.simulation, str(error)
        assert failure == reason
        np.testing.assert_array_equal(simulation.energies.step, expected.energies.step)
        np.testing.assert_allclose(simulation.atoms.positions, expected.atoms.positions, atol=1e-9)
        assert len(read(tmp_path / f"a-0{k}.traj", ":")) == len(read(tmp_path / f"alone-{k}.traj", ":"))
    again = run_replicas([atoms] * 3, steps=21, trajectory=tmp_path / "a.traj", restart=True, max_disagreement=bound, **HOT)
    assert again.failures == found.failures


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_that_is_none_is_refused(atoms, bound):
    with pytest.raises(ValueError, match="`max_disagreement` is .*; give a positive number in eV/angstrom"):
        run_md(atoms, steps=1, max_disagreement=bound, **HOT)


def test_one_model_is_refused_before_any_file(ethanol, tmp_path):
    for run, start in ((run_md, ethanol), (run_replicas, [ethanol] * 2)):
        with pytest.raises(ValueError, match="one model cannot disagree with itself; give the folder of a committee"):
            run(start, steps=1, trajectory=tmp_path / "a.traj", max_disagreement=1.0, **HOT)
    assert not list(tmp_path.iterdir())
