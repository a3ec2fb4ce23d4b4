"""A SHARC run as the importer reads it, and whether that is what was written."""

import numpy as np
from hypothesis import HealthCheck, settings

from mlff.data.importers.sharc.run import SHARC
from mlff.data.importers.trajectory import ImportOptions
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, HARTREE

SLOW_OK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
SINGLETS = [3, 0, 0]
TRIPLETS = [2, 0, 1]  # 5 components: S0 S1 | T1(-1) T1(0) T1(+1)


def read(path):
    """The run in a folder."""
    (trajectory,) = SHARC.read([path], ImportOptions())
    return trajectory


def hartree(energies):
    """Energies in eV as they are in the files."""
    return np.asarray(energies) / HARTREE


def compare(trajectory, run, *, gradients):
    """Every number of a trajectory with that of the `SharcRun` it was read from."""
    held, columns, facts = run.held, trajectory.columns, trajectory.system
    first = [[s for s, _ in facts.spin_states].index(state) for state in range(facts.num_states)]
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(columns["positions"], held["positions"] * BOHR, **close)
    np.testing.assert_allclose(columns["velocities"], held["velocities"] * ATOMIC_VELOCITY, **close)
    energy = np.einsum("faa->fa", held["hamiltonian"]).real[:, first] + run.ezero
    np.testing.assert_allclose(columns["energy"], energy * HARTREE, rtol=0, atol=1e-9)
    np.testing.assert_allclose(columns["kinetic_energy"], held["kinetic_energy"] * HARTREE, **close)
    np.testing.assert_array_equal(columns["active_spin_state"], held["state"][:, 1] - 1)
    np.testing.assert_array_equal(columns["active_diagonal_state"], held["state"][:, 0] - 1)
    np.testing.assert_allclose(columns["hopping_probability"], held["hopping_probability"], **close)
    owners = np.array([state for state, _ in facts.spin_states])
    np.testing.assert_array_equal(columns["active_state"], owners[held["state"][:, 1] - 1])
    np.testing.assert_allclose(columns["overlap"], held["overlap"], **close)
    expected = np.einsum("fab,fb->fa", held["transformation"], held["coefficients"])
    np.testing.assert_allclose(columns["coefficients"], expected, **close)
    for q, (i, j) in enumerate(facts.dipole_pairs):
        np.testing.assert_allclose(
            columns["dipole"][:, q], held["dipole"][:, :, first[i], first[j]].real * BOHR, **close
        )
    if "soc" in columns:
        off = held["hamiltonian"].copy()
        off[:, range(run.m), range(run.m)] = 0
        np.testing.assert_allclose(columns["soc"], off * HARTREE, **close)
    np.testing.assert_allclose(columns["time"], run.step * run.dtstep * ATOMIC_TIME, rtol=1e-9)
    if gradients:
        for state, k in enumerate(first):
            np.testing.assert_allclose(
                columns["forces"][:, :, state], -held["gradients"][:, k] * HARTREE / BOHR, **close
            )
        for p, (i, j) in enumerate(facts.nac_pairs):
            np.testing.assert_allclose(columns["nac"][:, :, p], held["nac"][:, first[i], first[j]] / BOHR, **close)
