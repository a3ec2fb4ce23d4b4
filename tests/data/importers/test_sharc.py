"""SHARC runs: every fact of the shared data, and the same code paths on small runs of our own writing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.data.importers.sharc.run import SHARC
from mlff.data.importers.trajectory import ImportOptions
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, ELECTRON_MASS, HARTREE, INVERSE_CM

from .sharc_files import SharcRun

SLOW_OK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
SINGLETS = [3, 0, 0]
TRIPLETS = [2, 0, 1]  # 5 components: S0 S1 | T1(-1) T1(0) T1(+1)


def read(path):
    (trajectory,) = SHARC.read([path], ImportOptions())
    return trajectory


def hops(trajectory):
    """(from, to, frame) with states counted from 1."""
    active = trajectory.columns["active_state"]
    at = np.flatnonzero(trajectory.columns["hop"] == 1)
    return [(int(active[k - 1]) + 1, int(active[k]) + 1, int(k)) for k in at]


def hartree(energies):
    return np.asarray(energies) / HARTREE


@pytest.fixture
def surface_hopping(shared_data):
    folder = shared_data / "surface_hopping"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    return folder


@pytest.fixture
def run_folder(tmp_path):
    def make(text, name="TRAJ_00001"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "output.dat").write_text(text)
        return folder

    return make


# -- the shared data ----------------------------------------------------------------------------------------------------


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


# -- runs of our own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.0", "3.0", "4.0"])
@pytest.mark.parametrize("nstates", [SINGLETS, TRIPLETS, [1, 0, 0], [0, 2]])
def test_every_number_of_an_ascii_run_is_read(run_folder, version, nstates):
    run = SharcRun([6, 1, 1], nstates, 4)
    trajectory = read(run_folder(run.ascii(version)))
    compare(trajectory, run, gradients=True)
    assert trajectory.status == "complete" and not trajectory.problems


def compare(trajectory, run, *, gradients):
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


def test_the_diagonal_state_and_its_probabilities_are_unknown_where_the_run_does_not_say(run_folder):
    run = SharcRun([6, 1, 1], TRIPLETS, 4)
    run.held["hopping_probability"][[0, 2]] = 0  # before the first step, and a step without any chance to hop
    run.held["state"][1] = [6, 0]
    trajectory = read(run_folder(run.ascii()))
    columns = trajectory.columns
    assert np.isnan(columns["hopping_probability"][0]).all() and not columns["hopping_probability"][2].any()
    assert columns["active_diagonal_state"][1] == -1 and columns["active_spin_state"][1] == -1
    assert trajectory.problems == [
        f"TRAJ_00001: the active {basis} state of 1 frames is none of the 5: unknown there"
        for basis in ("MCH", "diagonal")
    ]
    assert trajectory.notes[0].endswith("; no place for: random numbers, run times")


def test_a_netcdf_run_has_the_same_numbers(tmp_path):
    run = SharcRun([8, 1, 1], TRIPLETS, 5)
    run.write_netcdf(tmp_path)
    assert recognise(tmp_path) == "sharc"
    compare(read(tmp_path), run, gradients=False)
    (tmp_path / "output.dat.nc").write_bytes((tmp_path / "output.dat.nc").read_bytes()[:100])
    with pytest.raises(ValueError, match="output.dat.nc is not a whole netCDF 3 file"):
        read(tmp_path)


def test_positions_that_are_no_numbers_lose_their_frames_only(tmp_path):
    run = SharcRun([8, 1, 1], TRIPLETS, 5)
    run.held["positions"][2, 1, 0] = np.nan
    (tmp_path / "TRAJ").mkdir()
    run.write_netcdf(tmp_path / "TRAJ")
    report = import_sources([tmp_path / "TRAJ"], tmp_path / "out.h5")
    assert "TRAJ: 1 frames dropped with positions that are NaN or infinite, first frame 2" in report.problems
    assert HDF5Dataset(tmp_path / "out.h5").systems[0].read("step").tolist() == [0, 1, 3, 4]


def test_a_run_without_output_dat_gives_what_it_has(tmp_path):
    run = SharcRun([8, 1, 1], TRIPLETS, 5)
    run.write_last_qm(tmp_path)
    assert recognise(tmp_path) == "sharc"
    trajectory = read(tmp_path)
    columns = trajectory.columns
    assert trajectory.status == "crashed" and trajectory.num_frames == 5
    np.testing.assert_array_equal(columns["active_diagonal_state"], run.held["state"][:, 0] - 1)
    np.testing.assert_allclose(columns["positions"], run.held["positions"] * BOHR, atol=2e-9)
    np.testing.assert_allclose(columns["velocities"][0], run.held["velocities"][0] * ATOMIC_VELOCITY, rtol=1e-9)
    assert np.isnan(columns["velocities"][1:]).all() and np.isnan(columns["energy"][:-1]).all()
    energy = run.held["hamiltonian"][-1].diagonal().real[[0, 1, 2]] + run.ezero
    np.testing.assert_allclose(hartree(columns["energy"][-1]), energy, rtol=0, atol=1e-9)
    np.testing.assert_allclose(columns["forces"][-1, :, 1], -run.held["gradients"][-1, 1] * HARTREE / BOHR, rtol=1e-9)
    text = (tmp_path / "output.lis").read_text().splitlines()
    words = text[-1].split()
    words[5] = str(float(words[5]) + 1)
    (tmp_path / "output.lis").write_text("\n".join([*text[:-1], " ".join(words)]))
    other = read(tmp_path)
    assert any("QM/QM.out is not of the last frame" in each for each in other.problems)
    assert "energy" not in other.columns and other.num_frames == 5


def spoiled(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("input", lambda text: text.replace("stepsize", "step"), "the file input lacks nstates, stepsize or tmax"),
        ("geom", lambda text: text.replace("8.0", "eight"), "the file geom cannot be read"),
        ("output.xyz", lambda text: text[:100], "output.xyz has no whole frame"),
    ],
)
def test_a_run_without_output_dat_that_cannot_be_read_says_why(tmp_path, name, change, told):
    SharcRun([8, 1, 1], TRIPLETS, 5).write_last_qm(tmp_path)
    spoiled(tmp_path, name, change)
    with pytest.raises(ValueError, match=told):
        read(tmp_path)


def test_a_run_without_output_dat_loses_only_what_is_damaged(tmp_path):
    run = SharcRun([8, 1, 1], TRIPLETS, 5)
    run.write_last_qm(tmp_path)
    spoiled(tmp_path, "output.xyz", lambda text: text.replace("t=         1.00000", "t=         one", 1))
    (tmp_path / "output.log").write_text("  SHARC version\n  Version: 3.0 (May 2023)\n")
    trajectory = read(tmp_path)
    assert trajectory.columns["step"].tolist() == [0, 1, 3, 4] and trajectory.system.program == "SHARC 3.0"
    assert any("output.xyz, line 11: frame dropped" in each for each in trajectory.problems)
    spoiled(tmp_path, "QM/QM.out", lambda text: text.replace("! 3 Gradient", "! 9 Gradient"))
    assert "forces" not in read(tmp_path).columns
    spoiled(tmp_path, "QM/QM.out", lambda text: text.replace("! 1 Hamiltonian", "! 7 Hamiltonian"))
    assert any("QM/QM.out has no whole Hamiltonian" in each for each in read(tmp_path).problems)
    (tmp_path / "QM" / "QM.out").unlink()
    (tmp_path / "output.lis").unlink()
    (tmp_path / "veloc").unlink()
    bare = read(tmp_path)
    assert any("so no frame has energies" in each for each in bare.problems)
    assert not {"energy", "kinetic_energy", "velocities"} & set(bare.columns)


@SLOW_OK
@given(data=st.data())
def test_a_mutilated_run_without_output_dat_gives_what_is_whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("last")
    run = SharcRun([8, 1, 1], TRIPLETS, 4)
    run.write_last_qm(folder)
    name = data.draw(st.sampled_from(["output.xyz", "output.lis", "QM/QM.out", "veloc"]))
    text = (folder / name).read_text()
    first = data.draw(st.integers(0, len(text) - 1))
    last = data.draw(st.integers(first, min(len(text), first + 400)))
    filling = data.draw(st.sampled_from(["", "\n", "****", "x y z\n"]))
    (folder / name).write_text(text[:first] + filling + text[last:])
    try:
        trajectory = read(folder)
    except ValueError as error:
        assert "no whole frame" in str(error)
        return
    kept = trajectory.columns["step"].tolist()
    if name == "output.xyz":
        lost = set(range(4 * first // len(text), 4 * last // len(text) + 1))
        assert set(range(4)) - lost - {min(lost) - 1} <= set(kept) and (len(kept) == 4 or trajectory.problems)
        kept = [k for k in kept if k not in lost]
    at = [trajectory.columns["step"].tolist().index(k) for k in kept]
    np.testing.assert_allclose(trajectory.columns["positions"][at], run.held["positions"][kept] * BOHR, atol=2e-9)
    gone = {"energy", "forces", "nac", "dipole", "velocities", "kinetic_energy"} - set(trajectory.columns)
    assert not gone or trajectory.problems


@SLOW_OK
@given(cut=st.floats(0, 1))
def test_a_netcdf_run_cut_anywhere_is_refused_or_gives_its_frames(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    run = SharcRun([8, 1, 1], TRIPLETS, 4)
    run.write_netcdf(folder)
    data = (folder / "output.dat.nc").read_bytes()
    (folder / "output.dat.nc").write_bytes(data[: round(cut * len(data))])
    try:
        trajectory = read(folder)
    except ValueError as error:
        assert "output.dat.nc" in str(error)
        return
    count = trajectory.num_frames
    np.testing.assert_allclose(trajectory.columns["positions"], run.held["positions"][:count] * BOHR, rtol=1e-9)
    assert count == 4 or trajectory.problems


def test_a_netcdf_run_whose_arrays_do_not_fit_its_header_is_refused(tmp_path):
    run = SharcRun([8, 1, 1], TRIPLETS, 3)
    run.write_netcdf(tmp_path)
    other = SharcRun([8, 1], TRIPLETS, 3)
    (tmp_path / "output.dat").write_text(other.header("4.0", gradients=False))
    with pytest.raises(ValueError, match="geom has 9 numbers a frame, 6 were expected"):
        read(tmp_path)


def test_gradients_that_were_not_computed_are_missing_not_zero(run_folder, tmp_path):
    run = SharcRun([6, 1, 1], SINGLETS, 4)
    run.held["gradients"][1:, 0] = 0
    run.held["nac"][2, 0, 1] = run.held["nac"][2, 1, 0] = 0
    folder = run_folder(run.ascii())
    import_sources([folder], tmp_path / "out.h5")
    system = HDF5Dataset(tmp_path / "out.h5").systems[0]
    assert system.read("forces_valid").tolist() == [[True] * 3] + [[False, True, True]] * 3
    assert system.read("nac_valid")[:, 0].tolist() == [True, True, False, True]
    assert np.isnan(system.read("forces")[1:, :, 0]).all()


def test_the_gradient_of_any_component_is_the_gradient_of_its_state(run_folder):
    run = SharcRun([6, 1, 1], TRIPLETS, 2)
    run.held["gradients"][:, 2] = 0  # of T1, M_S = -1
    forces = read(run_folder(run.ascii())).columns["forces"]
    np.testing.assert_allclose(forces[:, :, 2], -run.held["gradients"][:, 3] * HARTREE / BOHR, rtol=1e-9)


def test_step_numbers_may_skip_and_times_may_be_written(run_folder):
    run = SharcRun([6, 1], SINGLETS, 4, step=np.arange(4) * 5)
    trajectory = read(run_folder(run.ascii()))
    assert trajectory.dt == pytest.approx(5 * 0.5, abs=1e-6) and trajectory.columns["step"].tolist() == [0, 5, 10, 15]
    adaptive = read(run_folder(run.ascii(adaptive=True), "adaptive"))
    np.testing.assert_allclose(adaptive.columns["time"], (run.step * run.dtstep + 0.25) * ATOMIC_TIME, rtol=1e-9)


def test_hops_are_of_the_active_state_not_of_its_components(run_folder):
    run = SharcRun([6, 1], TRIPLETS, 5)
    run.held["state"][:, 1] = [2, 3, 4, 5, 1]  # S1, T1 three times, S0
    assert read(run_folder(run.ascii())).columns["hop"].tolist() == [0, 1, 0, 0, 1]


def test_a_restart_that_writes_steps_again_keeps_the_later_ones(run_folder):
    run = SharcRun([6, 1], SINGLETS, 6)
    run.step[:] = [0, 1, 2, 3, 2, 3]
    trajectory = read(run_folder(run.ascii()))
    assert trajectory.columns["step"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(trajectory.columns["positions"], run.held["positions"][[0, 1, 4, 5]] * BOHR, atol=1e-9)
    assert trajectory.problems == ["TRAJ_00001: 2 frames dropped whose steps the restarted run wrote again"]


def test_exponents_without_a_letter_are_read(run_folder):
    run = SharcRun([6, 1], SINGLETS, 2)
    run.held["velocities"][1, 0, 0] = 1.5e-120
    text = run.ascii().replace("1.500000000000E-120", "1.500000000000-120")
    assert "1.500000000000-120" in text
    assert read(run_folder(text)).columns["velocities"][1, 0, 0] == pytest.approx(1.5e-120 * ATOMIC_VELOCITY, rel=1e-6)


def test_charge_is_read_from_the_input_else_from_the_option(run_folder, tmp_path):
    folder = run_folder(SharcRun([6, 1], TRIPLETS, 2).ascii())
    report = import_sources([folder], tmp_path / "none.h5")
    assert "does not say the charge: 0 is stored" in report.text()
    import_sources([folder], tmp_path / "given.h5", charge=2, level_of_theory="CASSCF")
    (folder / "input").write_text("nstates 2 0 1\ncharge 1 0 1\n")
    import_sources([folder], tmp_path / "said.h5", charge=2)
    charges = [HDF5Dataset(tmp_path / f"{name}.h5").systems[0].charge for name in ("none", "given", "said")]
    assert charges == [0, 2, 1] and HDF5Dataset(tmp_path / "given.h5").systems[0].level_of_theory == "CASSCF"


def test_the_same_run_twice_is_told(run_folder, tmp_path):
    text = SharcRun([6, 1], SINGLETS, 3).ascii()
    folders = [run_folder(text, name) for name in ("Singlet_1/TRAJ_00001", "Singlet_2/TRAJ_00001")]
    report = import_sources(folders, tmp_path / "out.h5")
    assert any("Singlet_2/TRAJ_00001: the same file as" in each for each in report.problems)
    assert [row.name for row in report.rows] == ["TRAJ_00001", "Singlet_2/TRAJ_00001"]
    assert HDF5Dataset(tmp_path / "out.h5").report == tuple(report.problems)


def test_workers_write_the_same_file_in_the_same_order(run_folder, tmp_path):
    folders = [run_folder(SharcRun([6, 1], SINGLETS, 3, seed=k).ascii(), f"TRAJ_{k}") for k in range(5)]
    folders[2].joinpath("output.dat").write_text("SHARC_version 3.0\n")
    told = []
    one = import_sources(folders, tmp_path / "one.h5", progress=lambda *each: told.append(each))
    assert told == [(k, 5) for k in range(1, 6)]
    two = import_sources(folders, tmp_path / "two.h5", workers=2)
    assert one == two and any("TRAJ_2: output.dat has no whole SHARC header" in each for each in one.problems)
    first, second = (HDF5Dataset(tmp_path / f"{name}.h5") for name in ("one", "two"))
    assert first.trajectories == second.trajectories
    for name in first.systems[0].names:
        np.testing.assert_array_equal(first.systems[0].read(name), second.systems[0].read(name))
    with pytest.raises(ValueError, match="`workers` is 0"):
        import_sources(folders, tmp_path / "none.h5", workers=0)


def test_real_runs_pass_the_checks(surface_hopping, tmp_path):
    report = import_sources([surface_hopping / "sharc_v2_ch2nh2"], tmp_path / "out.h5")
    assert report.problems == ["TRAJ_00009: the run ended at step 172 of 200"]
    for row in report.rows:
        for figure, value in (("force_slope", 1), ("kinetic_ratio", 1), ("velocity_slope", 1), ("velocity_fit", 1)):
            assert row.figures[figure] == pytest.approx(value, abs=0.01)
        assert row.figures["hop_mismatch"] == 0 and row.figures["nac_net"] > 0.01


def test_a_folder_of_runs_is_searched_and_a_ruined_run_is_a_line(run_folder, tmp_path):
    run = SharcRun([6, 1], SINGLETS, 3)
    for k in range(3):
        run_folder(run.ascii(), f"Singlet_2/TRAJ_{k:05d}")
    ruined = run_folder("SHARC_version 3.0\n natom 2\n", "Singlet_2/TRAJ_00003")
    (tmp_path / "Singlet_2" / "notes").mkdir()
    report = import_sources([tmp_path / "Singlet_2"], tmp_path / "out.h5", every=2)
    assert report.num_frames == 6 and "nstates_m, dtstep, End of settings" not in report.text()
    assert any("TRAJ_00003" in each and "no whole SHARC header" in each for each in report.problems)
    assert [each.name for each in HDF5Dataset(tmp_path / "out.h5").trajectories] == [f"TRAJ_{k:05d}" for k in range(3)]
    with pytest.raises(ValueError, match="`--energy-key` has no effect on sharc data"):
        import_sources([tmp_path / "Singlet_2"], tmp_path / "key.h5", energy_key="E")
    with pytest.raises(ValueError, match="`--strict` was given"):
        import_sources([tmp_path / "Singlet_2"], tmp_path / "strict.h5", strict=True)
    with pytest.raises(ValueError, match="no whole frame was found"):
        import_sources([ruined], tmp_path / "none.h5")


@SLOW_OK
@given(data=st.data())
def test_a_truncated_run_gives_exactly_its_whole_frames(tmp_path_factory, data):
    run = SharcRun([6, 1], data.draw(st.sampled_from([SINGLETS, TRIPLETS])), 4)
    text = run.ascii()
    header = len(run.header())
    length = len(run.frame(0))
    cut = data.draw(st.integers(header + length, len(text)))
    folder = tmp_path_factory.mktemp("cut")
    (folder / "output.dat").write_text(text[:cut])
    trajectory = read(folder)
    whole = (cut - header) // length
    assert trajectory.num_frames == whole
    np.testing.assert_allclose(trajectory.columns["positions"], run.held["positions"][:whole] * BOHR, atol=1e-9)
    assert bool(trajectory.problems) == (cut < len(text))


@SLOW_OK
@given(data=st.data())
def test_a_mutilated_run_loses_no_frame_in_silence(tmp_path_factory, data):
    run = SharcRun([6, 1], SINGLETS, 5)
    text, header, length = run.ascii(), len(run.header()), len(run.frame(0))
    first = data.draw(st.integers(header, len(text) - 2))
    last = data.draw(st.integers(first + 1, min(first + 3 * length, len(text))))
    filling = data.draw(st.sampled_from(["", "\n", "****", "nan", "x y z\n", "! 7 Ekin (a.u.)\n"]))
    folder = tmp_path_factory.mktemp("hole")
    (folder / "output.dat").write_text(text[:first] + filling + text[last:])
    try:
        trajectory = read(folder)
    except ValueError as error:
        assert "no whole frame" in str(error)
        return
    touched = range((first - header) // length, (last - 1 - header) // length + 1)
    untouched = [k for k in range(5) if k not in touched]
    assert set(untouched) <= set(trajectory.columns["step"].tolist())
    kept = dict(zip(trajectory.columns["step"].tolist(), trajectory.columns["positions"], strict=True))
    for k in untouched:
        np.testing.assert_allclose(kept[k], run.held["positions"][k] * BOHR, atol=1e-9)
    if trajectory.num_frames < 5:
        assert trajectory.problems
