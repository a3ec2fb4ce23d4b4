"""The embedded surface hopping of CH2NH2+: its quantities agree with each other, and PySCF finds its labels again."""

import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.main import main
from mlff.data.checks import check_trajectory
from mlff.data.plots.shown import Shown
from mlff.datasets import ch2nh2
from mlff.dynamics.namd.analysis import energy_conservation
from mlff.dynamics.namd.surfaces import kinetic_energy
from mlff.train.prepare import open_dataset

QUANTITIES = ("positions", "velocities", "energy", "forces", "nac", "dipole", "kinetic_energy", "active_state", "hop", "time")


@pytest.fixture(scope="module")
def hopping():
    return ch2nh2()


def test_it_is_what_the_card_says(hopping):
    assert hopping.path.stat().st_size <= 3_000_000
    assert (len(hopping), len(hopping.trajectories), hopping.num_states) == (706, 10, 3)
    (system,) = hopping.systems
    assert (system.charge, system.level_of_theory) == (1.0, "SA3-CASSCF(6,5)/6-31G*")
    assert system.atomic_numbers.tolist() == [6, 7, 1, 1, 1, 1]
    assert tuple(system.state_labels) == ("S0", "S1", "S2")


def test_only_the_forces_of_the_active_state_are_known(hopping):
    (system,) = hopping.systems
    valid, active = system.read("forces_valid"), system.read("active_state").astype(int)
    np.testing.assert_array_equal(valid, np.arange(3) == active[:, None])
    forces = system.read("forces")[np.arange(len(hopping)), :, active]
    assert np.abs(forces.sum(axis=1)).max() < 2e-3  # eV/angstrom: no net force
    assert system.read("energy_valid").all()


def test_couplings_move_no_centre_of_mass_and_energies_are_in_order(hopping):
    (system,) = hopping.systems
    nac, energy = system.read("nac"), system.read("energy")
    size = np.abs(nac).max(axis=(1, 3), keepdims=True)
    assert np.abs(nac.sum(axis=1, keepdims=True) / size).max() < 1e-4
    assert (np.diff(energy, axis=1) > 0).all()
    np.testing.assert_allclose(system.read("population").sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.abs(system.read("coefficients")) ** 2, system.read("population"), atol=1e-6)


def test_quantities_agree_along_every_trajectory(hopping):
    """Energies with forces times displacements, velocities with displacements, hops with active states."""
    (system,) = hopping.systems
    kinetic = kinetic_energy(system.read("velocities").astype(float), np.asarray(system.masses))
    np.testing.assert_allclose(kinetic, system.read("kinetic_energy"), rtol=1e-5)
    for each in hopping.trajectories:
        rows = slice(each.first, each.first + each.count)
        columns = {name: system.read(name, rows) for name in QUANTITIES}
        found = check_trajectory(columns, np.asarray(system.masses), name=each.name, owner=str(each.name),
                                 labels=system.state_labels, pairs=system.nac_pairs)  # fmt: skip
        assert not found.problems and found.figures["hop_mismatch"] == 0
        if each.count > 20:
            assert abs(found.figures["velocity_slope"] - 1) < 0.03
            assert abs(found.figures["force_slope"] - 1) < 0.1


def test_the_total_energy_is_conserved_as_the_card_says(hopping):
    (system,) = hopping.systems
    kept = energy_conservation(Shown(hopping, system, tuple(hopping.trajectories), False))
    assert kept.largest.max() < 260 and np.median(kept.rms) < 25  # meV


def test_whole_trajectories_are_held_out(hopping):
    split = hopping.split("trajectory")
    names = {part: {hopping[int(k)].trajectory for k in rows} for part, rows in split.items()}
    assert sum(len(rows) for rows in split.values()) == len(hopping)
    assert len(names["val"]) == len(names["test"]) == 1 and not names["train"] & (names["val"] | names["test"])


def test_pyscf_finds_the_labels_again(hopping):
    pytest.importorskip("pyscf")
    from mlff.dynamics.namd.casscf import CASSCFSurfaces

    planar = np.array([[0, 0, 0], [0, 0, 1.28], [0.94, 0, -0.54], [-0.94, 0, -0.54], [0.87, 0, 1.79], [-0.87, 0, 1.79]])
    potential = CASSCFSurfaces([6, 7, 1, 1, 1, 1], planar, basis="6-31G*", charge=1, num_states=3, active_electrons=6,
                               active_orbitals=[5, 6, 7, 8, 9])  # fmt: skip
    frame = hopping[0]
    state = int(frame.active_state)
    found = potential.surfaces(frame.positions[None], np.array([state]), couplings=True)
    np.testing.assert_allclose(found.energies[0], frame.energy, atol=1e-3)
    np.testing.assert_allclose(found.forces[0], frame.forces[:, state], atol=2e-2)
    np.testing.assert_allclose(np.abs(found.nac[0]), np.abs(frame.nac), atol=2e-2, rtol=1e-2)


def test_the_word_stands_for_it(hopping):
    assert open_dataset("ch2nh2").path == hopping.path
    result = CliRunner().invoke(main, ["data", "info", "ch2nh2"])
    assert result.exit_code == 0 and "SA3-CASSCF(6,5)/6-31G*" in result.output
