"""SHNITSEL files: the shared one beside the output that it was made from."""

import re

import numpy as np

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.units import BOHR, HARTREE

from .shnitsel_files import read


def shared(shared_data):
    return shared_data / "surface_hopping" / "shnitsel_nc" / "newtonx_R02a_3traj_shnitsel_v1.2.nc"


def test_shared_file_has_its_sign_corrected_and_its_velocities_masked(shared_data):
    trajectories, problems = read(shared(shared_data))
    assert [(each.name, each.num_frames) for each in trajectories] == [(f"TRAJ{k}", 801) for k in (1, 2, 3)]
    for name in ("TRAJ1", "TRAJ2", "TRAJ3"):
        assert sum(name in problem and "sign corrected" in problem for problem in problems) == 1
        assert sum(name in problem and "velocities are masked" in problem for problem in problems) == 1
    assert "correlation -0.04" in next(problem for problem in problems if "velocities are masked" in problem)
    assert all(np.isnan(each.columns["velocities"]).all() for each in trajectories)
    columns = trajectories[0].columns
    assert np.flatnonzero(columns["hop"]).tolist() == [88]
    valid = np.isfinite(columns["forces"]).all(axis=(1, 3))
    assert (valid.sum(axis=1) == 1).all() and valid[np.arange(801), columns["active_state"]].all()
    nac_valid = np.isfinite(columns["nac"]).all(axis=(1, 3))
    assert nac_valid[:, 0].all() and not nac_valid[400:, 2].any()


def test_shared_file_equals_the_output_that_it_was_made_from(shared_data):
    each = read(shared(shared_data))[0][0]
    text = (shared_data / "surface_hopping/newtonx_v22_R02a_bagel/TRAJ1/RESULTS/dyn.out").read_text()
    blocks = re.split(r"\n\s*(?:Initial|New) geometry:\s*\n", text)[1:]
    rows = [[line.split()[2:5] for line in block.splitlines()[:14]] for block in blocks]
    positions = np.array(rows, dtype=float)
    assert positions.shape == (801, 14, 3)
    np.testing.assert_allclose(each.columns["positions"] / BOHR, positions, atol=2e-6)
    energies = np.array([line.split()[4:7] for line in text.splitlines() if line.startswith("%")], dtype=float)
    np.testing.assert_allclose(each.columns["energy"] / HARTREE, energies, atol=1e-6)
    np.testing.assert_allclose(each.columns["energy"][0] / HARTREE, [-232.577008, -232.406006, -232.387657], atol=1e-6)


def test_shared_file_imports_without_a_failing_check(shared_data, tmp_path):
    report = import_sources([shared(shared_data)], tmp_path / "a.h5")
    dataset = HDF5Dataset(tmp_path / "a.h5")
    assert [(each.name, each.count, each.dt) for each in dataset.trajectories] == [
        (f"TRAJ{k}", 801, 0.5) for k in (1, 2, 3)
    ]
    assert not [problem for problem in report.problems if "1 was expected" in problem]
