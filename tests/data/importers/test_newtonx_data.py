"""Newton-X: the shared runs, as their authors printed them."""

import re

import numpy as np
import pytest

from mlff.data.importers.newtonx.log import lower_triangle
from mlff.data.importers.newtonx.raw import read_dyn
from mlff.units import ATOMIC_TIME, BOHR, HARTREE, KINETIC

from .newtonx_files import read


@pytest.fixture(scope="module")
def pyrazine(surface_hopping):
    return read(surface_hopping / "newtonx_cs26_pyrazine_orca" / "TRAJ1")


@pytest.fixture(scope="module")
def restarted(surface_hopping):
    return read(surface_hopping / "newtonx_v22_R02a_bagel" / "TRAJ1")


@pytest.fixture(scope="module")
def without_log(surface_hopping):
    return read(surface_hopping / "newtonx_R02b_bagel" / "TRAJ49")


def slope_and_correlation(columns):
    """Of dE against -F.dx, where one state's forces are known on two frames in turn."""
    moved = np.diff(columns["positions"], axis=0)
    mean = (columns["forces"][1:] + columns["forces"][:-1]) / 2
    expected = -np.einsum("fasx,fax->fs", mean, moved)
    use = np.isfinite(expected)
    change, expected = np.diff(columns["energy"], axis=0)[use], expected[use]
    return change @ expected / (expected @ expected), np.corrcoef(change, expected)[0, 1]


def assert_kinetic_energy_and_velocities_agree(trajectory):
    columns, masses = trajectory.columns, np.array(trajectory.system.masses)
    kinetic = KINETIC / 2 * (masses[:, None] * columns["velocities"] ** 2).sum(axis=(1, 2))
    assert np.allclose(kinetic, columns["kinetic_energy"], atol=5e-5)
    moved = (columns["positions"][2:] - columns["positions"][:-2]) / (2 * trajectory.dt)
    assert np.corrcoef(moved.ravel(), columns["velocities"][1:-1].ravel())[0, 1] > 0.9995
    held = columns["energy"][np.arange(len(kinetic)), columns["active_state"]] + columns["kinetic_energy"]
    assert np.abs(np.diff(held)).max() < 0.05 * HARTREE


def test_pyrazine_is_read_as_its_authors_printed_it(pyrazine, surface_hopping):
    columns = pyrazine.columns
    assert pyrazine.num_frames == 201 and pyrazine.dt == 0.5 and pyrazine.status == "complete" and not pyrazine.problems
    first = [-263.93654539, -263.80128239, -263.76728539, -263.74220339, -263.73484839, -263.70492239, -263.69125539]
    assert np.allclose(columns["energy"][0] / HARTREE, first, atol=1e-9)
    assert columns["active_state"][0] == 3 and columns["active_state"][-1] == 1
    hops = [12, 43, 52, 73, 94, 102, 111, 122, 141, 152]
    assert np.flatnonzero(columns["hop"]).tolist() == hops
    dyn = read_dyn(surface_hopping / "newtonx_cs26_pyrazine_orca" / "TRAJ1" / "RESULTS" / "dyn.out")
    assert (np.flatnonzero(np.diff(dyn.state_before)) + 1).tolist() == [hop + 1 for hop in hops]
    assert dyn.acceleration is not None
    assert np.flatnonzero(~dyn.acceleration.any(axis=(1, 2))).tolist() == hops
    facts = pyrazine.system
    assert facts.charge == 0 and facts.multiplicity == (1,) * 7 and facts.level_of_theory == "B3LYP def2-SVP TDDFT"
    assert "Newton-X 2.6" in pyrazine.notes[0]


def test_pyrazine_forces_are_of_the_active_state_and_missing_where_it_hops(pyrazine):
    known = np.isfinite(pyrazine.columns["forces"]).all(axis=(1, 3))
    active, hop = pyrazine.columns["active_state"], pyrazine.columns["hop"]
    assert (known.sum(axis=1) == 1 - hop).all() and known[hop == 0, active[hop == 0]].all()
    slope, correlation = slope_and_correlation(pyrazine.columns)
    assert slope == pytest.approx(1.0025, abs=0.001) and correlation > 0.999
    assert_kinetic_energy_and_velocities_agree(pyrazine)


def test_pairs_of_seven_states_are_in_lower_triangle_order(pyrazine, surface_hopping):
    text = (surface_hopping / "newtonx_cs26_pyrazine_orca" / "TRAJ1" / "RESULTS" / "sh.out").read_text()
    terms = np.array([line.split() for line in re.findall(r"\|v\.h\|=(.*)", text)], dtype=float)[:201]
    used = terms[1:].any(axis=0)  # Baeck-An: only between states near in energy
    energy = pyrazine.columns["energy"]

    def widest(pairs):
        return max(np.abs(energy[:, i] - energy[:, j]).min() for (i, j), each in zip(pairs, used, strict=True) if each)

    assert widest(lower_triangle(7)) < 0.5 * widest(list(zip(*np.triu_indices(7, 1), strict=True)))


def test_the_restarted_run_is_one_trajectory_of_400_fs(restarted):
    columns = restarted.columns
    assert restarted.num_frames == 801 and restarted.status == "complete" and not restarted.problems
    assert np.allclose(columns["time"], np.arange(801) * 0.5) and columns["step"].tolist() == list(range(801))
    assert np.allclose(columns["energy"][0] / HARTREE, [-232.577008, -232.406006, -232.387657], atol=1e-9)
    assert np.flatnonzero(columns["hop"]).tolist() == [88]
    assert columns["active_state"].tolist() == [1] * 88 + [0] * 713
    assert_kinetic_energy_and_velocities_agree(restarted)
    assert restarted.system.level_of_theory == "XMS-CASPT2/cc-pvdz" and "Newton-X 2.2" in restarted.notes[0]


def test_the_log_of_the_restarted_run_covers_its_second_half(restarted):
    columns = restarted.columns
    known = np.isfinite(columns["forces"]).all(axis=(1, 3))
    assert not known[:400].any() and known[400:, 0].all() and not known[:, 1:].any()
    slope, correlation = slope_and_correlation(columns)
    assert slope == pytest.approx(1.0022, abs=0.001) and correlation > 0.9998
    coupled = np.isfinite(columns["nac"]).all(axis=(1, 3))
    pairs = restarted.system.nac_pairs
    assert coupled[400:, pairs.index((0, 1))].all() and coupled[400:, pairs.index((0, 2))].all()
    assert not coupled[:400].any() and not coupled[:, pairs.index((1, 2))].any()
    assert columns["nac"][400, 0, 0] * BOHR == pytest.approx([-0.010302, 0.0472612, 0.0067441], abs=1e-9)
    assert restarted.system.phase == "tracked"
    turned = np.einsum("fapx,fapx->fp", columns["nac"][401:], columns["nac"][400:-1])[:, :2]
    assert (turned > 0).all()


def test_the_run_without_a_log_has_energies_and_states(without_log):
    columns = without_log.columns
    assert without_log.num_frames == 1601 and without_log.dt == 0.25 and not without_log.problems
    assert np.allclose(columns["energy"][0] / HARTREE, [-232.577060, -232.406044, -232.377380], atol=1e-9)
    assert np.flatnonzero(columns["hop"]).tolist() == [353] and columns["active_state"][[352, 353]].tolist() == [1, 0]
    assert "forces" not in columns and "nac" not in columns
    assert_kinetic_energy_and_velocities_agree(without_log)


def test_the_printed_coupling_of_pair_a_b_is_that_of_a_with_the_derivative_of_b(without_log, surface_hopping):
    """The printed wave function (interaction picture) follows dc/dt = -T c with T_ab = v.h as printed, a > b."""
    text = (surface_hopping / "newtonx_R02b_bagel" / "TRAJ49" / "RESULTS" / "sh.out").read_text()
    term = np.array([line.split() for line in re.findall(r"\|v\.h\|=(.*)", text)], dtype=float)
    c, energy = without_log.columns["coefficients"], without_log.columns["energy"] / HARTREE
    dt = 0.25 / ATOMIC_TIME
    phase = np.zeros(3)
    told, found = [], []
    for k in range(40):
        change = np.zeros(3, dtype=complex)
        for part in (np.arange(20) + 0.5) / 20:
            level = (1 - part) * energy[k] + part * energy[k + 1]
            phase = phase + (level - level[1]) * dt / 20
            matrix = np.zeros((3, 3))
            for (a, b), value in zip(lower_triangle(3), (1 - part) * term[k + 1] + part * term[k + 2], strict=True):
                matrix[a, b], matrix[b, a] = value, -value
            change -= (matrix * np.exp(1j * np.subtract.outer(phase, phase))) @ c[k] * dt / 20
        told.append(change[[0, 2]])
        found.append((c[k + 1] - c[k])[[0, 2]])
    told, found = np.array(told), np.array(found)
    assert np.vdot(told, found).real / np.linalg.norm(told) / np.linalg.norm(found) > 0.9
