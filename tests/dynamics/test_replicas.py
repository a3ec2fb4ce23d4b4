"""Replicas in one batch are the single simulations with the same seeds, exploded ones aside."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms, FixBondLength
from ase.io import read
from hypothesis import given, settings
from hypothesis import strategies as some

from mlff.calculators import CommitteeCalculator, MLFFCalculator
from mlff.dynamics import run_md, run_replicas

NVE = {"temperature": 200, "seed": 1}
LANGEVIN = {"ensemble": "langevin", "temperature": 300, "seed": 2}
EQUILIBRATED = {"temperature": 300, "seed": 3, "equilibrate": 5}


def assert_same(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found.atoms.positions, expected.atoms.positions, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.atoms.get_momenta(), expected.atoms.get_momenta(), rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found.energies.step, expected.energies.step)
    np.testing.assert_allclose(found.energies.total, expected.energies.total, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.energies.temperature, expected.energies.temperature, rtol=0, atol=1e-5)


def assert_equal(found, expected):
    for first, second in zip(found.simulations, expected.simulations):
        np.testing.assert_array_equal(first.atoms.positions, second.atoms.positions)
        np.testing.assert_array_equal(first.atoms.get_momenta(), second.atoms.get_momenta())
        for name in ("step", "potential", "kinetic", "temperature"):
            np.testing.assert_array_equal(getattr(first.energies, name), getattr(second.energies, name))


@given(
    count=some.integers(1, 3),
    run=some.sampled_from([NVE, LANGEVIN, EQUILIBRATED]),
    steps=some.integers(0, 10),
    interval=some.integers(1, 6),
    seed=some.integers(0, 2**31),
)
@settings(max_examples=8, deadline=None)
def test_a_batch_of_replicas_is_that_many_single_runs(potential, count, run, steps, interval, seed):
    options = run | {"steps": steps, "interval": interval, "seed": seed}
    starts = [molecule("CH3CH2OH") for _ in range(count)]
    for k, each in enumerate(starts):
        each.rattle(0.02, seed=k)
        each.calc = MLFFCalculator(potential, dtype="float64")
    found = run_replicas(starts, **options)
    assert found.failures == (None,) * count
    for k, simulation in enumerate(found.simulations):
        expected = run_md(starts[k], **(options | {"seed": seed + k}))
        assert_same(simulation, expected)
        assert simulation.settings == expected.settings and simulation.num_steps == expected.num_steps


@pytest.mark.parametrize("options", [NVE, LANGEVIN], ids=["nve", "langevin"])
def test_crystals_fixed_atoms_and_committees(potential, options):
    crystal = bulk("C", cubic=True)
    crystal.calc = MLFFCalculator(potential, dtype="float64")
    fixed = molecule("CH3CH2OH")
    fixed.set_constraint(FixAtoms([0, 3]))
    fixed.calc = CommitteeCalculator([potential, potential], dtype="float64")
    for atoms in (crystal, fixed):
        found = run_replicas([atoms] * 3, steps=15, **options)
        for k, simulation in enumerate(found.simulations):
            assert_same(simulation, run_md(atoms, steps=15, **(options | {"seed": options["seed"] + k})))
            assert simulation.atoms.get_potential_energy() == pytest.approx(simulation.energies.potential[-1], abs=1e-9)


@pytest.mark.parametrize(("options", "suffix"), [(NVE, ".traj"), (LANGEVIN, ".xyz"), (EQUILIBRATED, ".traj")])
def test_runs_in_pieces_equal_one_run_to_the_last_bit(ethanol, potential, tmp_path, options, suffix):
    whole = run_replicas([ethanol] * 3, steps=20, interval=5, trajectory=tmp_path / f"whole{suffix}", **options)
    for steps in (7, 15, 20):
        ethanol.calc = MLFFCalculator(potential, dtype="float64")  # as in a new process
        files = {"trajectory": tmp_path / f"a{suffix}", "restart": steps > 7}
        pieces = run_replicas([ethanol] * 3, steps=steps, interval=5, **files, **options)
    assert_equal(pieces, whole)
    for k in range(3):
        first, second = read(tmp_path / f"whole-0{k}{suffix}", ":"), read(tmp_path / f"a-0{k}{suffix}", ":")
        assert len(first) == len(second) == 5
        for a, b in zip(first, second):
            np.testing.assert_array_equal(a.positions, b.positions)
            np.testing.assert_array_equal(a.get_forces(apply_constraint=False), b.get_forces(apply_constraint=False))
            assert a.get_potential_energy() == b.get_potential_energy()
        assert (tmp_path / f"whole-0{k}.csv").read_text() == (tmp_path / f"a-0{k}.csv").read_text()


@pytest.mark.parametrize("killed_at", [(1, 0), (1, 10), (0, -5)])
def test_replicas_that_a_kill_left_behind_catch_up(ethanol, tmp_path, killed_at):
    options = EQUILIBRATED | {"steps": 20, "interval": 5}
    expected = run_replicas([ethanol] * 3, **options)

    def kill(replica, row, atoms):
        if (replica, row[0]) == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_replicas([ethanol] * 3, trajectory=tmp_path / "a.traj", callback=kill, **options)
    found = run_replicas([ethanol] * 3, trajectory=tmp_path / "a.traj", restart=True, **options)
    for first, second in zip(found.simulations, expected.simulations):
        assert_same(first, second)
    assert [len(read(tmp_path / f"a-0{k}.traj", ":")) for k in range(3)] == [5, 5, 5]


def test_the_files_of_a_replica_are_those_of_a_single_run(ethanol, tmp_path):
    run_replicas([ethanol] * 2, steps=10, trajectory=tmp_path / "a.traj", **LANGEVIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a-00.csv", "a-00.state.npz", "a-00.traj", "a-01.csv", "a-01.state.npz", "a-01.traj"
    ]  # fmt: skip
    own = LANGEVIN | {"seed": LANGEVIN["seed"] + 1}
    alone = run_md(ethanol, steps=20, trajectory=tmp_path / "a-01.traj", restart=True, **own)
    assert_same(alone, run_md(ethanol, steps=20, **own))


def test_more_replicas_can_join_later(ethanol, tmp_path):
    run_replicas([ethanol] * 2, steps=10, trajectory=tmp_path / "a.traj", **NVE)
    found = run_replicas([ethanol] * 3, steps=20, trajectory=tmp_path / "a.traj", restart=True, **NVE)
    for first, second in zip(found.simulations, run_replicas([ethanol] * 3, steps=20, **NVE).simulations):
        assert_same(first, second)


def test_one_that_gets_too_hot_is_reported_and_the_others_go_on(ethanol, tmp_path):
    starts = [ethanol.copy() for _ in range(3)]
    starts[1].set_velocities(np.random.default_rng(0).normal(scale=1.0, size=(9, 3)))
    for each in starts:
        each.calc = ethanol.calc
    starts[2].set_velocities(np.full((9, 3), 0.001))
    found = run_replicas(starts, steps=10, interval=5, max_temperature=5000, trajectory=tmp_path / "a.traj")
    assert found.failures[0] is None and found.failures[2] is None
    assert "exploded at step 1 (0.5 fs): the temperature reached" in found.failures[1]
    assert len(found.simulations[1].energies.time) == 1 and len(read(tmp_path / "a-01.traj", ":")) == 1
    for k in (0, 2):
        assert_same(found.simulations[k], run_md(starts[k], steps=10, interval=5))
        assert len(read(tmp_path / f"a-0{k}.traj", ":")) == 3


@pytest.mark.parametrize("options", [{}, LANGEVIN], ids=["nve", "langevin"])
def test_atoms_that_collide_in_one_do_not_stop_the_others(ethanol, options):
    starts = [ethanol.copy() for _ in range(3)]
    for k, each in enumerate(starts):
        each.calc = ethanol.calc
        each.set_velocities(np.full((9, 3), 0.001 * k))
    starts[1].positions[8] = starts[1].positions[7] + [0.101, 0, 0]
    starts[1].arrays["momenta"][8] = [-0.05, 0, 0]
    found = run_replicas(starts, steps=12, max_temperature=1e9, **options)
    assert found.failures[0] is None and found.failures[2] is None
    assert "angstrom apart" in found.failures[1]
    for k in (0, 2):
        own = options | ({"seed": options["seed"] + k} if options else {})
        assert_same(found.simulations[k], run_md(starts[k], steps=12, max_temperature=1e9, **own))


def test_energies_that_are_not_finite_end_one_replica(ethanol):
    starts = [ethanol.copy() for _ in range(2)]
    for each in starts:
        each.calc = ethanol.calc
    starts[0].set_velocities(np.full((9, 3), 0.001))
    starts[1].set_velocities(np.random.default_rng(0).normal(scale=1e200, size=(9, 3)))
    found = run_replicas(starts, steps=5, max_temperature=float("inf"))
    assert found.failures[0] is None and "exploded at step 1" in found.failures[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda starts: starts[1].set_atomic_numbers([1] * 9), "start 1 has other atoms than start 0"),
        (lambda starts: starts[1].set_cell([5, 5, 5]), "other cell or periodicity"),
        (lambda starts: starts[1].set_constraint(FixAtoms([0])), "other constraints"),
        (lambda starts: setattr(starts[0], "calc", LennardJones()), "replicas need a calculator of mlff .* LennardJones"),
        (lambda starts: setattr(starts[0], "calc", None), "has no calculator"),
        (lambda starts: starts.clear(), "no structure was given"),
        (lambda starts: [each.set_constraint(FixBondLength(0, 1)) for each in starts], "cannot repeat these constraints"),
    ],
)
def test_starts_that_cannot_go_together_are_refused(ethanol, change, message):
    starts = [ethanol, ethanol.copy()]
    change(starts)
    with pytest.raises(ValueError, match=message):
        run_replicas(starts, steps=5, **NVE)


def test_wrong_arguments_are_refused(ethanol, tmp_path):
    with pytest.raises(ValueError, match="would all be the same simulation"):
        run_replicas([ethanol] * 2, steps=5)
    with pytest.raises(ValueError, match="`steps` is -1"):
        run_replicas([ethanol] * 2, steps=-1, **NVE)
    with pytest.raises(ValueError, match="a restart needs the `trajectory`"):
        run_replicas([ethanol] * 2, steps=5, restart=True, **NVE)
    with pytest.raises(ValueError, match="nothing to continue from"):
        run_replicas([ethanol] * 2, steps=5, restart=True, trajectory=tmp_path / "a.traj", **NVE)
    run_replicas([ethanol] * 2, steps=5, trajectory=tmp_path / "a.traj", **NVE)
    with pytest.raises(ValueError, match="a-00.traj` exists already"):
        run_replicas([ethanol] * 2, steps=5, trajectory=tmp_path / "a.traj", **NVE)
    with pytest.raises(ValueError, match="seed 1 -> 9"):
        run_replicas([ethanol] * 2, steps=9, trajectory=tmp_path / "a.traj", restart=True, **(NVE | {"seed": 9}))
