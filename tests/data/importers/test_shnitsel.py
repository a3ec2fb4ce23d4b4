"""SHNITSEL files: read by the names of axes and units, forces and velocities measured instead of believed."""

import re

import numpy as np

from mlff.data.importers.shnitsel.file import SHNITSEL
from mlff.units import ATOMIC_VELOCITY, BOHR, HARTREE

from .shnitsel_files import DT, close, motion, read, written


def test_a_right_file_is_read_with_every_quantity_and_no_problem(tmp_path):
    path = written(tmp_path / "a.nc", trajectories=2)
    assert SHNITSEL.matches(path)
    trajectories, problems = read(path)
    assert not problems and [each.name for each in trajectories] == ["TRAJ1", "TRAJ2"]
    each, columns = trajectories[0], trajectories[0].columns
    positions, velocities, energy, forces = motion(40)
    close(columns["positions"], positions * BOHR)
    close(columns["velocities"], velocities * ATOMIC_VELOCITY)
    close(columns["energy"], energy * HARTREE)
    forces = forces.transpose(0, 2, 1, 3) * HARTREE / BOHR
    close(columns["forces"][:20, :, 1], forces[:20, :, 1])
    close(columns["forces"][20:, :, 0], forces[20:, :, 0])
    valid = np.isfinite(columns["forces"]).all(axis=(1, 3))
    assert valid.tolist() == [[False, True, False]] * 20 + [[True, False, False]] * 20
    assert np.isnan(columns["nac"][:, :, 2]).all() and np.isfinite(columns["nac"][:, :, :2]).all()
    random = np.random.default_rng(0)
    close(columns["nac"][:, :, 0], random.normal(size=(40, 3, 3, 3))[:, 0] / BOHR)
    assert columns["active_state"].tolist() == [1] * 20 + [0] * 20
    assert np.flatnonzero(columns["hop"]).tolist() == [20]
    assert each.system.nac_pairs == ((0, 1), (0, 2), (1, 2)) and len(each.system.dipole_pairs) == 6
    close(columns["dipole"][:, 0], random.normal(size=(40, 3, 3))[:, 0] * BOHR)
    assert each.system.multiplicity == (1, 1, 3) and each.system.label == ("S0", "S1", "T1")
    assert each.system.charge == 1 and each.system.program == "Newton-X 2.2" and each.dt == DT
    assert each.status == "complete" and each.group == "a/water"


def test_gradients_called_forces_get_their_sign_corrected_and_a_line(tmp_path):
    right = read(written(tmp_path / "a.nc"))[0][0].columns["forces"]
    trajectories, problems = read(written(tmp_path / "b.nc", sign=-1))
    close(trajectories[0].columns["forces"], right)
    assert len(problems) == 1 and "forces are gradients (dE is -1.00 times -F.dx" in problems[0]


def test_forces_of_another_unit_or_without_frames_to_measure_them_are_masked(tmp_path):
    trajectories, problems = read(written(tmp_path / "a.nc", units={"forces": "Hartree/Angstrom"}))
    assert np.isnan(trajectories[0].columns["forces"]).all() and "masked: dE is 1.89 times -F.dx" in problems[0]
    trajectories, problems = read(written(tmp_path / "b.nc", num_frames=2))
    assert np.isnan(trajectories[0].columns["forces"]).all()
    assert any("too few frames with forces" in problem for problem in problems)


def test_a_short_trajectory_takes_the_sign_of_the_others_of_its_program(tmp_path):
    def shorten(values, held):
        if held["trajid"] == 2:
            for name in ("atXYZ", "velocities", "energy", "forces", "nacs", "dip_perm", "dip_trans", "astate", "time"):
                values[name] = values[name][:3]

    trajectories, problems = read(written(tmp_path / "a.nc", trajectories=2, sign=-1, change=shorten))
    expected = motion(40, seed=1)[3].transpose(0, 2, 1, 3)[:3, :, 1] * HARTREE / BOHR
    close(trajectories[1].columns["forces"][:, :, 1], expected)
    assert any("TRAJ2" in p and "all trajectories of newtonx" in p and "sign corrected" in p for p in problems)
    assert any("3 frames of 40" in problem for problem in problems) and trajectories[1].status == "truncated"


def test_wrong_velocities_are_masked_with_a_line(tmp_path):
    def wrong(values, held):
        values["velocities"] = np.random.default_rng(1).normal(size=values["velocities"].shape)

    trajectories, problems = read(written(tmp_path / "a.nc", change=wrong))
    assert np.isnan(trajectories[0].columns["velocities"]).all() and len(problems) == 1
    assert re.search(r"velocities are masked: .* correlation -?0\.\d\d", problems[0])
    trajectories, problems = read(written(tmp_path / "b.nc", units={"velocities": "angstrom/fs"}))
    assert np.isnan(trajectories[0].columns["velocities"]).all() and "masked" in problems[0]


def test_axes_are_taken_by_name_and_units_from_the_attributes(tmp_path):
    expected = read(written(tmp_path / "a.nc"))[0][0].columns
    order = {"forces": ("time", "atom", "state", "direction"), "nacs": ("atom", "time", "direction", "statecomb")}
    found = read(written(tmp_path / "b.nc", order=order))[0][0].columns
    close(found["forces"], expected["forces"])
    close(found["nac"], expected["nac"])

    def angstrom(values, held):
        values["atXYZ"] = values["atXYZ"] * BOHR
        values["energy"] = values["energy"] * HARTREE
        values["forces"] = values["forces"] * HARTREE / BOHR

    units = {"atXYZ": "Angstrom", "energy": "eV", "forces": "eV/Angstrom"}
    found, problems = read(written(tmp_path / "c.nc", change=angstrom, units=units))
    assert not problems
    for name in ("positions", "energy", "forces"):
        close(found[0].columns[name], expected[name])
    found, problems = read(written(tmp_path / "d.nc", units={"energy": "furlong"}))
    assert not found and "the unit 'furlong' of `energy` is not known" in problems[0]
    found, problems = read(written(tmp_path / "e.nc", units={"energy": None}))
    assert found and "`energy` says no unit; au is assumed" in problems[0]


def test_pairs_named_downwards_get_the_other_sign_and_our_order(tmp_path):
    def turned(values, held):
        values["from"], values["to"] = np.array([3, 2, 1]), np.array([1, 1, 2])
        values["nacs"] = np.stack([-values["nacs"][:, 1], -values["nacs"][:, 0], values["nacs"][:, 0]], axis=1)
        del values["dip_trans"]
        values["from"][2], values["to"][2] = 2, 3

    columns = read(written(tmp_path / "a.nc", change=turned))[0][0].columns
    expected = read(written(tmp_path / "b.nc"))[0][0].columns
    close(columns["nac"][:, :, :2], expected["nac"][:, :, :2])
    close(columns["nac"][:, :, 2], expected["nac"][:, :, 0])


def test_incomplete_runs_spin_components_and_unknown_variables_are_told(tmp_path):
    def more(values, held):
        values["strange"] = np.ones((40, 3))

    path = written(tmp_path / "a.nc", attributes={"completed": False, "num_triplets": 1})
    trajectories, problems = read(path)
    assert trajectories[0].status == "crashed" and "did not complete" in problems[0]

    def components(values, held):
        values["state_types"] = np.array([3, 3, 3])

    trajectories, problems = read(written(tmp_path / "b.nc", change=components))
    assert trajectories[0].system.multiplicity == () and "spin components" in problems[0]

    def broken_frames(values, held):
        values["atXYZ"] = values["atXYZ"].copy()
        values["atXYZ"][[3, 7]] = np.nan

    trajectories, problems = read(written(tmp_path / "c.nc", change=broken_frames))
    assert trajectories[0].num_frames == 38 and any("2 frames dropped" in problem for problem in problems)

    def no_elements(values, held):
        values["atNums"] = np.array([0, 0, 0])

    assert "elements of its atoms are not known" in read(written(tmp_path / "d.nc", change=no_elements))[1][0]
