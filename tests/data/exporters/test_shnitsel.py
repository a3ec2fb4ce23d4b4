"""SHNITSEL files: netCDF 4 that other readers open, and every number that they hold comes back."""

import json

import h5netcdf
import h5py
import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.exporters import export_frames
from mlff.data.importers import import_sources
from mlff.units import BOHR, HARTREE, KINETIC

from .native_files import STATES, compare, written

MASSES = np.array([12.0, 1.008, 1.008, 1.008])
STIFFNESS = np.array([20.0, 25.0, 15.0])  # eV/angstrom^2
OFFSETS = np.array([-2500.0, -2495.0, -2494.0])
REST = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.0, 1.1, 0.0], [0.0, 0.0, 1.1]])
HELD = [
    "positions",
    "velocities",
    "energy",
    "forces",
    "nac",
    "dipole",
    "soc_magnitude",
    "kinetic_energy",
    "active_state",
    "hop",
    "time",
]


def swinging(num_frames, seed):
    """Atoms that swing about their places on harmonic surfaces: forces and velocities that belong to the numbers."""
    rng = np.random.default_rng(seed)
    time = 0.25 * np.arange(num_frames)
    frequency, phase = rng.uniform(0.2, 0.6, (4, 3)), rng.uniform(0, 6, (4, 3))
    angle = frequency * time[:, None, None] + phase
    shift, velocities = 0.1 * np.sin(angle), 0.1 * frequency * np.cos(angle)
    active = np.where(np.arange(num_frames) < num_frames // 2, 2, 0)
    forces = -STIFFNESS[:, None] * shift[:, :, None]
    computed = np.arange(3) == active[:, None]
    nac = rng.normal(size=(num_frames, 4, 2, 3))
    nac[::3, :, 0] = np.nan
    return {
        "positions": REST + shift,
        "velocities": velocities,
        "energy": OFFSETS + STIFFNESS / 2 * (shift**2).sum(axis=(1, 2))[:, None],
        "forces": np.where(computed[:, None, :, None], forces, np.nan),
        "nac": nac,
        "dipole": rng.normal(size=(num_frames, 4, 3)),
        "soc_magnitude": rng.uniform(0, 1e-3, (num_frames, 1)),
        "kinetic_energy": KINETIC * 0.5 * (MASSES[:, None] * velocities**2).sum(axis=(1, 2)),
        "active_state": active,
        "hop": np.r_[0, np.diff(active) != 0].astype("u1"),
        "time": time,
    }


@pytest.fixture
def dataset(tmp_path):
    with HDF5Writer(tmp_path / "in.h5") as writer:
        writer.add_system("CH3+", [6, 1, 1, 1], **STATES, masses=MASSES)
        writer.add_system("CH3", [6, 1, 1, 1], **(STATES | {"charge": 0.0, "spin_states": ()}), masses=MASSES)
        for k in range(3):
            status = "crashed" if k == 1 else "complete"
            system = ("CH3+", "CH3")[k % 2]
            writer.add_trajectory(system, swinging(24 + k, k), name=f"TRAJ_{k}", dt=0.25, status=status)
    return HDF5Dataset(tmp_path / "in.h5")


def test_every_number_comes_back(tmp_path, dataset):
    report = export_frames(dataset, tmp_path / "out.nc", to="shnitsel")
    assert not report.lines and report.files[0][1] == len(dataset)
    found = import_sources([tmp_path / "out.nc"], tmp_path / "back.h5")
    assert found.problems == ["out.nc TRAJ_1: the run did not complete (25 frames)"]
    back = HDF5Dataset(tmp_path / "back.h5")
    compare(dataset, back, HELD, rtol=1e-14)
    assert {system.charge for system in back.systems} == {0.0, 1.0}
    for system in back.systems:
        assert system.multiplicities == (1, 1, 3) and system.state_labels == ("S0", "S1", "T1")
        assert system.program == "SHARC 2.0" and system.level_of_theory == "MR-CI / aug-cc-pVDZ"
    assert [each.dt for each in back.trajectories] == [0.25] * 3
    assert sorted(each.status for each in back.trajectories) == ["complete", "complete", "crashed"]


def test_it_is_netcdf_4(tmp_path, dataset):
    export_frames(dataset, tmp_path / "out.nc", to="shnitsel")
    with h5netcdf.File(tmp_path / "out.nc") as file:
        group = file["CH3+/0"]
        assert {name: each.size for name, each in group.dimensions.items()} == {
            "time": 24, "state": 3, "atom": 4, "direction": 3, "statecomb": 3, "full_statecomb": 6
        }  # fmt: skip
        assert group["forces"].dimensions == ("time", "state", "atom", "direction")
        assert group["nacs"].dimensions == ("time", "statecomb", "atom", "direction")
        assert json.loads(group["energy"].attrs["units"]) == "Hartree"
        frames = dataset.trajectory("TRAJ_0")
        np.testing.assert_allclose(group["energy"][:], np.stack([f.energy for f in frames]) / HARTREE, rtol=1e-15)
        np.testing.assert_allclose(group["atXYZ"][:], np.stack([f.positions for f in frames]) / BOHR, rtol=1e-15)


def test_xarray_opens_it(tmp_path, dataset):
    xarray = pytest.importorskip("xarray")
    export_frames(dataset, tmp_path / "out.nc", to="shnitsel")
    with xarray.open_dataset(tmp_path / "out.nc", group="CH3+/0", engine="h5netcdf") as data:
        assert data.energy.dims == ("time", "state") and data.state.values.tolist() == [1, 2, 3]
        assert data.atNames.values.tolist() == ["C", "H", "H", "H"]
        assert data["from"].values.tolist() == [1, 1, 2] and data["to"].values.tolist() == [2, 3, 3]
        assert np.isnan(data.nacs.values[:, 1]).all()  # the pair (0, 2) is not in the file


def test_what_it_cannot_hold_is_said(tmp_path):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(0), missing=0.0)
    report = export_frames(dataset, tmp_path / "out.nc", to="shnitsel")
    lines = report.lines
    assert report.files == [(tmp_path / "out.nc", len(dataset) - 3)]
    assert lines[0].startswith("SHNITSEL has no place for cell, stress, interstate_coupling, soc, overlap,")
    assert "SHNITSEL holds trajectories: 3 frames of no known trajectory were left out" in lines
    with h5py.File(tmp_path / "out.nc") as file:
        assert list(file) == ["CH3+", "NaCl"]


def test_runs_of_sharc_come_back(tmp_path, shared_data):
    runs = sorted((shared_data / "surface_hopping" / "sharc_v2_ch2nh2").glob("TRAJ*"))
    import_sources(runs, tmp_path / "in.h5", charge=1)
    export_frames(HDF5Dataset(tmp_path / "in.h5"), tmp_path / "out.nc", to="shnitsel")
    import_sources([tmp_path / "out.nc"], tmp_path / "back.h5")
    compare(HDF5Dataset(tmp_path / "in.h5"), HDF5Dataset(tmp_path / "back.h5"), HELD, rtol=1e-14)
