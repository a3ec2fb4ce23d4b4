"""run_md: exact restarts, conserved energy, the right temperature, an end with a reason when it explodes."""

import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read

from mlff.calculators import MLFFCalculator
from mlff.dynamics import SimulationExploded, run_md
from mlff.dynamics.conservation import read_rows

NVE = {"temperature": 200, "seed": 1}
LANGEVIN = {"ensemble": "langevin", "temperature": 300, "seed": 2}
EQUILIBRATED = {"temperature": 300, "seed": 3, "equilibrate": 25}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("settings", [NVE, LANGEVIN, EQUILIBRATED], ids=["nve", "langevin", "equilibrated"])
@pytest.mark.parametrize("suffix", [".traj", ".xyz"])
def test_a_run_in_pieces_equals_one_run_to_the_last_bit(ethanol, potential, tmp_path, settings, suffix):
    whole, pieces = tmp_path / f"whole{suffix}", tmp_path / f"pieces{suffix}"
    expected = run_md(ethanol, steps=60, trajectory=whole, **settings)
    for steps in (23, 40, 60):  # the first end lies between two frames
        ethanol.calc = MLFFCalculator(potential, dtype="float64")  # as in a new process
        result = run_md(ethanol, steps=steps, trajectory=pieces, restart=steps > 23, **settings)
    np.testing.assert_array_equal(result.atoms.positions, expected.atoms.positions)
    np.testing.assert_array_equal(result.atoms.get_momenta(), expected.atoms.get_momenta())
    for name in ("step", "time", "potential", "kinetic", "temperature"):
        np.testing.assert_array_equal(getattr(result.energies, name), getattr(expected.energies, name))
    first, second = read(whole, ":"), read(pieces, ":")
    assert len(first) == len(second) == 7
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.get_momenta(), b.get_momenta())


@pytest.mark.parametrize(
    ("settings", "killed_at"), [(LANGEVIN, 0), (LANGEVIN, 30), (EQUILIBRATED, -10), (EQUILIBRATED, 0), (EQUILIBRATED, 30)]
)
def test_a_killed_run_continues_to_the_same_end(ethanol, tmp_path, settings, killed_at):
    expected = run_md(ethanol, steps=50, trajectory=tmp_path / "whole.traj", **settings)

    def kill(row):
        if row[0] >= killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_md(ethanol, steps=50, trajectory=tmp_path / "a.traj", callback=kill, **settings)
    result = run_md(ethanol, steps=50, trajectory=tmp_path / "a.traj", restart=True, **settings)
    np.testing.assert_array_equal(result.atoms.positions, expected.atoms.positions)
    assert len(read(tmp_path / "a.traj", ":")) == 6


@pytest.mark.parametrize("suffix", [".traj", ".xyz"])
def test_what_was_written_after_the_last_state_is_cut_off(ethanol, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    run_md(ethanol, steps=20, trajectory=path, **NVE)
    state = tmp_path / "a.state.npz"
    old = state.read_bytes()
    run_md(ethanol, steps=40, trajectory=path, restart=True, **NVE)
    state.write_bytes(old)  # as if killed before the states of the last two frames were saved
    if suffix == ".xyz":
        with open(path, "a") as file:
            file.write("9\nhalf a fra")
    run_md(ethanol, steps=50, trajectory=path, restart=True, **NVE)
    expected = run_md(ethanol, steps=50, trajectory=tmp_path / f"b{suffix}", **NVE)
    assert len(read(path, ":")) == 6
    np.testing.assert_array_equal(read(path).positions, read(tmp_path / f"b{suffix}").positions)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert len(expected.energies.time) == 6


def test_restarting_a_finished_run_changes_nothing(ethanol, tmp_path):
    path = tmp_path / "a.traj"
    first = run_md(ethanol, steps=25, trajectory=path, **NVE)
    again = run_md(ethanol, steps=25, trajectory=path, restart=True, **NVE)
    np.testing.assert_array_equal(first.atoms.positions, again.atoms.positions)
    assert len(read(path, ":")) == 4 and len(again.energies.time) == 4
    with pytest.raises(ValueError, match="has 25 steps already"):
        run_md(ethanol, steps=10, trajectory=path, restart=True, **NVE)


def test_a_restart_does_not_need_the_seed(ethanol, tmp_path):
    first = run_md(ethanol, steps=10, trajectory=tmp_path / "a.traj", ensemble="langevin", temperature=300)
    again = run_md(ethanol, steps=20, trajectory=tmp_path / "a.traj", ensemble="langevin", temperature=300, restart=True)
    assert again.settings.seed == first.settings.seed
    whole = run_md(ethanol, steps=20, ensemble="langevin", temperature=300, seed=first.settings.seed)
    np.testing.assert_array_equal(again.atoms.positions, whole.atoms.positions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestep": 1.0}, "other settings .timestep 0.5 -> 1.0"),
        ({"temperature": 300}, "temperature 200.0 -> 300.0"),
        ({"seed": 7}, "seed 1 -> 7"),
        ({"ensemble": "langevin"}, "ensemble nve -> langevin"),
    ],
)
def test_a_restart_with_other_settings_is_refused(ethanol, tmp_path, change, message):
    run_md(ethanol, steps=10, trajectory=tmp_path / "a.traj", **NVE)
    with pytest.raises(ValueError, match=message):
        run_md(ethanol, steps=20, trajectory=tmp_path / "a.traj", restart=True, **(NVE | change))


def test_a_restart_with_other_atoms_another_model_or_broken_files_is_refused(ethanol, tmp_path):
    path = tmp_path / "a.traj"
    run_md(ethanol, steps=20, trajectory=path, **NVE)
    run = {"steps": 30, "trajectory": path, "restart": True} | NVE
    other = ethanol[[0, 1, 2]]
    other.calc = ethanol.calc
    with pytest.raises(ValueError, match="atoms are not those"):
        run_md(other, **run)
    foreign = ethanol.copy()
    foreign.calc = LennardJones()
    with pytest.raises(ValueError, match="cannot continue with another model"):
        run_md(foreign, **run)
    (tmp_path / "a.csv").write_text("step\n")
    with pytest.raises(ValueError, match="table of energies .* cannot be continued"):
        run_md(ethanol, **run)
    state = tmp_path / "a.state.npz"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(ValueError, match="state .* cannot be read"):
        run_md(ethanol, **run)
    state.unlink()
    with pytest.raises(ValueError, match="nothing to continue from"):
        run_md(ethanol, **run)
    with pytest.raises(ValueError, match="restart needs the `trajectory`"):
        run_md(ethanol, steps=1, restart=True, **NVE)


def test_a_cut_trajectory_is_refused(ethanol, tmp_path):
    for name in ("a.traj", "b.xyz"):
        run_md(ethanol, steps=20, trajectory=tmp_path / name, **NVE)
        short = run_md(ethanol, steps=10, trajectory=tmp_path / f"short-{name}", **NVE)
        assert len(short.energies.time) == 2
        shutil.copy(tmp_path / f"short-{name}", tmp_path / name)
        with pytest.raises(ValueError, match="fewer than the 3 frames"):
            run_md(ethanol, steps=30, trajectory=tmp_path / name, restart=True, **NVE)


def test_files_of_a_run_are_not_overwritten_unless_asked(ethanol, tmp_path):
    path = tmp_path / "a.traj"
    run_md(ethanol, steps=10, trajectory=path, **NVE)
    assert files(tmp_path) == ["a.csv", "a.state.npz", "a.traj"]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="exists already"):
        run_md(ethanol, steps=20, trajectory=path, **NVE)
    assert path.read_bytes() == before
    run_md(ethanol, steps=20, trajectory=path, overwrite=True, **NVE)
    assert len(read(path, ":")) == 3 and len(read_rows(tmp_path / "a.csv", 3)) == 3


def test_a_structure_that_the_model_refuses_leaves_no_files(ethanol, tmp_path):
    ethanol.numbers[0] = 26
    with pytest.raises(ValueError, match="not trained on Fe"):
        run_md(ethanol, steps=10, trajectory=tmp_path / "a.traj", **NVE)
    assert files(tmp_path) == []


def test_the_input_is_left_alone(ethanol):
    positions = ethanol.positions.copy()
    run_md(ethanol, steps=5, **NVE)
    np.testing.assert_array_equal(ethanol.positions, positions)
    assert not ethanol.get_momenta().any()


def test_drawn_velocities_have_no_drift_no_rotation_and_the_right_temperature(potential):
    atoms = molecule("C6H6")
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    temperatures = []
    for seed in range(40):
        start = run_md(atoms, steps=0, temperature=300, seed=seed)
        assert abs(start.atoms.get_momenta().sum(axis=0)).max() < 1e-12
        assert abs(start.atoms.get_angular_momentum()).max() < 1e-10
        temperatures.append(start.energies.temperature[0])
    assert np.mean(temperatures) == pytest.approx(300, abs=30)  # 30 degrees of freedom, 40 draws: 12 K


def test_own_velocities_are_kept_without_a_temperature(ethanol):
    ethanol.set_velocities(np.random.default_rng(0).normal(scale=0.02, size=(9, 3)))
    start = run_md(ethanol, steps=0)
    np.testing.assert_array_equal(start.atoms.get_momenta(), ethanol.get_momenta())


@pytest.mark.parametrize("atoms", [Atoms("H"), Atoms("H2", [[0, 0, 0], [0.8, 0, 0]]), molecule("CO2"), bulk("C")])
def test_atoms_diatomics_linear_molecules_and_crystals(potential, atoms):
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    for settings in (NVE, LANGEVIN):
        result = run_md(atoms, steps=10, **settings)
        assert np.isfinite(result.energies.total).all() and result.energies.temperature[0] > 0


def test_fixed_atoms_stay(ethanol):
    ethanol.set_constraint(FixAtoms([0]))
    for settings in (NVE, LANGEVIN, EQUILIBRATED):
        result = run_md(ethanol, steps=10, **settings)
        np.testing.assert_array_equal(result.atoms.positions[0], ethanol.positions[0])


def test_energy_is_conserved_after_equilibration(ethanol):
    result = run_md(ethanol, steps=400, timestep=0.25, temperature=100, seed=1, equilibrate=50)
    assert abs(result.energies.drift) < 1 and result.energies.fluctuation < 0.1
    assert result.energies.time[-1] == 100 and len(result.energies.time) == 41


def test_drift_and_fluctuation_are_those_of_the_line(tmp_path):
    from mlff.dynamics import EnergyLog

    step = np.arange(101)
    wave = 0.002 * np.where(step % 2, 1.0, -1.0)
    log = EnergyLog(step, 0.5 * step, -5 + 1e-5 * 0.5 * step, wave, 300 + 0.0 * step, num_atoms=2)
    assert log.drift == pytest.approx(1e-5 * 1e6 / 2, rel=0.01)
    assert log.fluctuation == pytest.approx(2.0 / 2, rel=0.01)
    for name in ("a.png", "b.svg"):
        log.plot(tmp_path / name, "test")
        assert (tmp_path / name).stat().st_size > 5000
    assert files(tmp_path) == ["a.png", "b.svg"]


def test_an_exploding_run_stops_with_a_reason_and_keeps_the_frames_before(ethanol, tmp_path):
    path = tmp_path / "a.traj"
    atoms = ethanol.copy()
    atoms.calc = LennardJones(sigma=2.0, epsilon=5.0)
    with pytest.raises(SimulationExploded, match=r"exploded at step \d+ .*timestep of 3 fs") as caught:
        run_md(atoms, steps=1000, timestep=3.0, interval=1, trajectory=path, **NVE)
    assert np.isfinite(caught.value.simulation.energies.total).all()
    assert len(read(path, ":")) == len(caught.value.simulation.energies.time)


def test_atoms_that_collide_stop_the_run(potential):
    atoms = Atoms("H2", [[0, 0, 0], [0.5, 0, 0]])
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    atoms.set_velocities([[0.49, 0, 0], [0, 0, 0]])
    with pytest.raises(SimulationExploded, match="angstrom apart"):
        run_md(atoms, steps=100, timestep=2.0, max_temperature=1e9)


def test_the_temperature_limit(ethanol):
    with pytest.raises(SimulationExploded, match=r"reached \d+ K \(limit 100 K\)"):
        run_md(ethanol, steps=10, max_temperature=100, temperature=400, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": "nvt"}, "`ensemble` is 'nvt'; choose 'nve' or 'langevin'"),
        ({"steps": -1}, "`steps` is -1"),
        ({"steps": 1.5}, "`steps` is 1.5"),
        ({"interval": 0}, "`interval` is 0"),
        ({"timestep": 0}, "`timestep` is 0"),
        ({"temperature": -5}, "`temperature` is -5"),
        ({"friction": 0}, "`friction` is 0"),
        ({"seed": -1}, "`seed` is -1"),
        ({"max_temperature": 0}, "`max_temperature` is 0"),
        ({"ensemble": "langevin"}, "thermostat needs a `temperature`"),
        ({"equilibrate": 10}, "thermostat needs a `temperature`"),
        ({"trajectory": "a.dcd"}, "suffix '.dcd'"),
        ({"trajectory": "nowhere/a.traj"}, "folder of the output .* does not exist"),
    ],
)
def test_wrong_arguments_are_refused(ethanol, options, message):
    with pytest.raises(ValueError, match=message):
        run_md(ethanol, **({"steps": 5} | options))
