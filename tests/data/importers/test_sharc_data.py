"""SHARC runs: every fact of the shared data."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.units import ATOMIC_VELOCITY, BOHR, ELECTRON_MASS, HARTREE, INVERSE_CM

from .sharc_reading import hartree, read


def hops(trajectory):
    """(from, to, frame) with states counted from 1."""
    active = trajectory.columns["active_state"]
    at = np.flatnonzero(trajectory.columns["hop"] == 1)
    return [(int(active[k - 1]) + 1, int(active[k]) + 1, int(k)) for k in at]


def test_sharc_2_ch2nh2(surface_hopping):
    trajectory = read(surface_hopping / "sharc_v2_ch2nh2" / "TRAJ_00002")
    columns, facts = trajectory.columns, trajectory.system
    assert trajectory.num_frames == 201 and trajectory.status == "complete" and not trajectory.problems
    assert facts.atomic_numbers == (6, 7, 1, 1, 1, 1) and facts.label == ("S0", "S1", "S2")
    assert facts.program == "SHARC 2.0" and trajectory.dt == pytest.approx(0.5, abs=1e-6)
    assert facts.masses == pytest.approx((12.0, 14.003074, 1.007825, 1.007825, 1.007825, 1.007825), abs=1e-4)
    np.testing.assert_allclose(
        hartree(columns["energy"][0]), [-94.69456031, -94.37547501, -94.34420719], rtol=0, atol=6e-9
    )
    assert columns["kinetic_energy"][0] / HARTREE == pytest.approx(0.05949891758, abs=1e-11)
    assert hops(trajectory) == [(3, 2, 52), (2, 1, 67), (1, 2, 91)]
    np.testing.assert_allclose(
        columns["positions"][0, 0] / BOHR, [0.02999025, 0.01240097, 0.01987989], rtol=0, atol=1e-8
    )
    assert columns["forces"][:, 0, 0, 0][50:].size and np.isnan(columns["forces"]).any()
    present = np.isfinite(columns["forces"]).all(axis=(1, 3)).mean(axis=0) * 100
    np.testing.assert_allclose(present, [12.94, 63.18, 26.37], atol=0.005)
    assert not (columns["forces"] == 0).all(axis=(1, 3)).any()
    norms = np.linalg.norm(columns["nac"][0].transpose(1, 0, 2).reshape(3, -1), axis=1) * BOHR
    np.testing.assert_allclose(norms, [0.41742, 0.37855, 4.26288], rtol=0, atol=6e-6)
    assert facts.nac_pairs == ((0, 1), (0, 2), (1, 2)) and facts.phase == "raw"


def test_sharc_2_gradient_is_stored_as_its_negative(surface_hopping):
    trajectory = read(surface_hopping / "sharc_v2_ch2nh2" / "TRAJ_00002")
    text = (surface_hopping / "sharc_v2_ch2nh2" / "TRAJ_00002" / "output.dat").read_text()
    first = text.split("! 15 Gradients (MCH) State  1\n")[1].split("\n")[0].split()
    forces = trajectory.columns["forces"]
    if float(first[0]):
        assert -forces[0, 0, 0, 0] * BOHR / HARTREE == pytest.approx(float(first[0]), rel=1e-9)
    frame = int(np.flatnonzero(np.isfinite(forces[:, 0, 0, 0]))[0])
    assert -forces[frame, 0, 0, 0] * BOHR / HARTREE == pytest.approx(0.0911164, abs=6e-8)


def test_half_of_the_raw_phases_flip(surface_hopping):
    nac = read(surface_hopping / "sharc_v2_ch2nh2" / "TRAJ_00002").columns["nac"]
    flips = [np.einsum("fax,fax->f", nac[1:, :, p], nac[:-1, :, p]) < 0 for p in range(3)]
    assert 0.3 < np.mean(flips) < 0.7


def test_sharc_2_coefficients_are_those_that_its_own_tool_extracts(surface_hopping):
    folder = surface_hopping / "sharc_v2_ch2nh2" / "TRAJ_00002"
    table = np.loadtxt(folder / "output_data" / "coeff_MCH.out")
    expected = table[:, 2::2] + 1j * table[:, 3::2]
    np.testing.assert_allclose(read(folder).columns["coefficients"], expected, atol=1e-9)
    energies = np.loadtxt(folder / "output_data" / "energy.out")
    np.testing.assert_allclose(read(folder).columns["kinetic_energy"], energies[:, 1], rtol=1e-6)


@pytest.mark.parametrize("name", ["sharc_v2_ch2nh2/TRAJ_00002", "sharc_v4beta_ch2nh2_triplets/TRAJ_00001"])
def test_the_probabilities_explain_every_hop_of_the_diagonal_state(surface_hopping, name):
    folder = surface_hopping / name
    columns = read(folder).columns
    text = (folder / "output.dat").read_text()
    drawn = np.array([float(each.split(maxsplit=1)[0]) for each in text.split("! 9 Random number\n")[1:]])
    diagonal, probability = columns["active_diagonal_state"], columns["hopping_probability"]
    assert np.isnan(probability[0]).all() and (probability[1:] >= 0).all() and (probability[1:].sum(axis=1) <= 1).all()
    changed = np.flatnonzero(np.diff(diagonal)) + 1
    assert len(changed) > 2
    for k in changed:  # the state whose share of the interval from 0 to 1 holds the random number
        above = np.cumsum(probability[k])[diagonal[k]]
        assert above - probability[k, diagonal[k]] - 1e-12 <= drawn[k] <= above + 1e-12


@pytest.mark.parametrize("version", ["v2_ch2nh2/TRAJ_00002", "v3_ch2nh2_triplets_nacs_socs/TRAJ_00001", "v4_netcdf/*"])
def test_the_diagonal_state_is_the_one_that_output_lis_tells(surface_hopping, version):
    (folder,) = surface_hopping.glob(f"sharc_{version}")
    rows = [line.split() for line in (folder / "output.lis").read_text().splitlines()]
    told = {int(row[0]): int(row[2]) for row in rows if len(row) > 6 and row[0].isdigit()}
    columns = read(folder).columns
    ours = dict(zip(columns["step"].tolist(), (columns["active_diagonal_state"] + 1).tolist(), strict=True))
    assert len(ours) > 50 and {step: told[step] for step in ours} == ours


def test_sharc_2_crashed_run_gives_every_whole_frame(surface_hopping):
    trajectory = read(surface_hopping / "sharc_v2_ch2nh2" / "TRAJ_00009")
    assert trajectory.num_frames == 173 and trajectory.status == "crashed"
    assert trajectory.problems == ["TRAJ_00009: the run ended at step 172 of 200"]
    assert hops(trajectory) == [(3, 2, 8), (2, 1, 28)]
    np.testing.assert_allclose(
        hartree(trajectory.columns["energy"][-1]), [-94.36749251, -94.22650660, -94.21484397], rtol=0, atol=6e-9
    )


def test_sharc_4_beta_with_triplets(surface_hopping):
    trajectory = read(surface_hopping / "sharc_v4beta_ch2nh2_triplets" / "TRAJ_00001")
    columns, facts = trajectory.columns, trajectory.system
    assert trajectory.num_frames == 201 and trajectory.status == "complete" and not trajectory.problems
    assert facts.program == "SHARC 3.0" and facts.charge == 1
    assert facts.label == ("S0", "S1", "S2", "S3", "T1", "T2", "T3") and len(facts.spin_states) == 13
    expected = [-94.39867273, -94.05639996, -94.03939014, -93.99634465, -94.22032793, -94.08036730, -94.03162875]
    np.testing.assert_allclose(hartree(columns["energy"][0]), expected, rtol=0, atol=6e-9)
    assert columns["active_spin_state"][0] + 1 == 3 and columns["active_state"][0] + 1 == 3
    assert hops(trajectory) == [(3, 2, 34)]
    assert columns["active_diagonal_state"][0] + 1 == 9
    assert np.abs(columns["soc"]).max() / INVERSE_CM == pytest.approx(22.088, abs=6e-4)
    assert np.isnan(columns["overlap"][0]).all() and np.abs(columns["overlap"][1:]).max() < 1.1
    np.testing.assert_allclose(np.linalg.norm(columns["coefficients"], axis=1), 1, atol=1e-6)
    assert "forces" not in columns and "nac" not in columns
    assert columns["dipole"].shape == (201, 10 + 6, 3) and len(facts.dipole_pairs) == 16


def test_sharc_3_without_output_dat(surface_hopping):
    trajectory = read(surface_hopping / "sharc_v3_ch2nh2_triplets_nacs_socs" / "TRAJ_00001")
    columns = trajectory.columns
    assert trajectory.num_frames == 90 and trajectory.status == "crashed" and trajectory.system.program == "SHARC 3.0"
    expected = [-94.146414, -94.089357, -93.978272, -93.892566, -94.166808, -94.061143, -93.885244]
    np.testing.assert_allclose(hartree(columns["energy"][-1]), expected, rtol=0, atol=6e-7)
    assert np.isnan(columns["energy"][:-1]).all()
    assert np.nanmax(np.abs(columns["soc"])) / INVERSE_CM == pytest.approx(17.066, abs=6e-4)
    assert np.isfinite(columns["forces"][-1]).all(axis=(0, 2)).tolist() == [True] + [False] * 6
    assert columns["forces"][-1, 0, 0, 0] * BOHR / HARTREE == pytest.approx(3.194021712e-2, rel=1e-9)
    assert np.isfinite(columns["nac"][-1]).all() and np.isnan(columns["nac"][:-1]).all()
    np.testing.assert_allclose(columns["positions"][0, 0], [-0.003019131, -0.004514686, 0.005938993], atol=1e-9)
    assert columns["time"][-1] == pytest.approx(44.5)


def test_sharc_4_netcdf(surface_hopping):
    trajectory = read(surface_hopping / "sharc_v4_netcdf" / "LVC_pysharc_netcdf")
    columns, facts = trajectory.columns, trajectory.system
    assert trajectory.num_frames == 61 and trajectory.status == "complete" and not trajectory.problems
    assert facts.atomic_numbers == (16, 8, 8) and len(facts.spin_states) == 13
    mch = columns["active_spin_state"] + 1
    changes = [(int(mch[k - 1]), int(mch[k]), int(k)) for k in np.flatnonzero(np.diff(mch)) + 1]
    assert changes == [(2, 3, 28), (3, 2, 51), (2, 6, 55), (6, 2, 56)] == hops(trajectory)
    assert facts.label[5] == "T2"
    assert np.abs(columns["soc"]).max() / INVERSE_CM == pytest.approx(159.68, abs=6e-3)
    assert columns["kinetic_energy"][7] / HARTREE == pytest.approx(0.013441651571, abs=1e-12)
    np.testing.assert_allclose(columns["positions"][0, 1] / BOHR, [0, -2.37838033, 1.34722248], atol=1e-8)
    masses = np.array(facts.masses)
    kinetic = 0.5 * np.einsum("a,fax->f", masses / ELECTRON_MASS, (columns["velocities"] / ATOMIC_VELOCITY) ** 2)
    np.testing.assert_allclose(kinetic, columns["kinetic_energy"] / HARTREE, rtol=1e-5)


def test_every_shared_run_is_imported_at_once(surface_hopping, tmp_path):
    report = import_sources(sorted(surface_hopping.glob("sharc_*")), tmp_path / "all.h5")
    dataset = HDF5Dataset(tmp_path / "all.h5")
    assert report.num_frames == len(dataset) == 201 + 173 + 90 + 61 + 201
    assert [system.num_frames for system in dataset.systems] == [374, 90, 61, 201]
    assert [each.status for each in dataset.trajectories].count("crashed") == 2
    crashed = dataset.trajectory("TRAJ_00009")
    assert len(crashed) == 173 and crashed[8].hop == 1 and crashed[0].nac.shape == (6, 3, 3)


def test_real_runs_pass_the_checks(surface_hopping, tmp_path):
    report = import_sources([surface_hopping / "sharc_v2_ch2nh2"], tmp_path / "out.h5")
    assert report.problems == ["TRAJ_00009: the run ended at step 172 of 200"]
    for row in report.rows:
        for figure, value in (("force_slope", 1), ("kinetic_ratio", 1), ("velocity_slope", 1), ("velocity_fit", 1)):
            assert row.figures[figure] == pytest.approx(value, abs=0.01)
        assert row.figures["hop_mismatch"] == 0 and row.figures["nac_net"] > 0.01
