"""SHARC runs in the netCDF form, and those that lost their output.dat, on small runs of our own writing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.units import ATOMIC_VELOCITY, BOHR, HARTREE

from .sharc_files import SharcRun
from .sharc_reading import SLOW_OK, TRIPLETS, compare, hartree, read


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
