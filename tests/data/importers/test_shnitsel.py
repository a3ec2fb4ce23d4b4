"""SHNITSEL files: read by the names of axes and units, forces and velocities measured instead of believed."""

import json
import re

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.data.importers.shnitsel import file as shnitsel
from mlff.data.importers.shnitsel.file import SHNITSEL, read_file, read_shnitsel
from mlff.data.importers.shnitsel.own_process import in_own_process
from mlff.data.importers.trajectory import ImportOptions
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, HARTREE, INVERSE_CM

from .crashing import crash

NUMBERS = [8, 1, 1]
STIFFNESS = np.array([0.3, 0.5, 0.2])
OFFSETS = np.array([-76.0, -75.7, -75.6])
DT = 0.25  # fs
REST = np.array([[0.0, 0.0, 0.0], [0.0, 1.5, 1.1], [0.0, -1.5, 1.1]])


def motion(num_frames, seed=0):
    """Atoms that swing about their places on three harmonic surfaces, all in atomic units."""
    random = np.random.default_rng(seed)
    frequency, phase = random.uniform(0.01, 0.03, (3, 3)), random.uniform(0, 6, (3, 3))
    time = np.arange(num_frames) * DT / ATOMIC_TIME
    angle = frequency * time[:, None, None] + phase
    shift, velocities = 0.2 * np.sin(angle), 0.2 * frequency * np.cos(angle)
    energy = OFFSETS + STIFFNESS / 2 * (shift**2).sum(axis=(1, 2))[:, None]
    forces = -STIFFNESS[:, None, None] * shift[:, None]  # (time, state, atom, xyz)
    return REST + shift, velocities, energy, forces


def written(path, *, num_frames=40, trajectories=1, sign=1, change=None, units=None, attributes=None, order=None):
    """A file such as SHNITSEL 1.2 writes; ``change(values, attributes)`` alters what a trajectory holds."""
    axes = {
        "atXYZ": ("time", "atom", "direction"),
        "velocities": ("time", "atom", "direction"),
        "energy": ("time", "state"),
        "forces": ("time", "state", "atom", "direction"),
        "nacs": ("time", "statecomb", "atom", "direction"),
        "dip_perm": ("time", "state", "direction"),
        "dip_trans": ("time", "statecomb", "direction"),
        "astate": ("time",),
        "from": ("statecomb",),
        "to": ("statecomb",),
        "state_types": ("state",),
        "state_charges": ("state",),
        "atNums": ("atom",),
    } | (order or {})
    unit = {"atXYZ": "Bohr", "velocities": "au", "energy": "Hartree", "forces": "Hartree/Bohr", "nacs": "1/Bohr"}
    unit |= {"time": "fs", "dip_perm": "au", "dip_trans": "au"} | (units or {})
    with h5py.File(path, "w") as file:
        file.attrs["__shnitsel_format_version"], file.attrs["DataTree_Level"] = "v1.2", json.dumps("ShnitselDBRoot")
        for number in range(trajectories):
            positions, velocities, energy, forces = motion(num_frames, seed=number)
            random = np.random.default_rng(number)
            active = np.where(np.arange(num_frames) < num_frames // 2, 2, 1)
            computed = np.arange(3) == active[:, None] - 1
            values = {
                "atXYZ": positions,
                "velocities": velocities,
                "energy": energy,
                "forces": sign * np.where(computed[:, :, None, None], forces, 0.0),
                "nacs": random.normal(size=(num_frames, 3, 3, 3)),
                "dip_perm": random.normal(size=(num_frames, 3, 3)),
                "dip_trans": random.normal(size=(num_frames, 3, 3)),
                "astate": active,
                "from": np.array([1, 1, 2]),
                "to": np.array([2, 3, 3]),
                "state_types": np.array([1, 1, 3], dtype="i1"),
                "state_charges": np.array([1.0, 1.0, 1.0]),
                "atNums": np.array(NUMBERS),
                "time": np.arange(num_frames) * DT,
                "state": np.array([1, 2, 3]),
            }
            values["nacs"][:, 2] = 0.0
            held = {"input_format": "newtonx", "input_format_version": "2.2", "completed": True, "delta_t": DT}
            held |= {"max_ts": num_frames, "trajectory_input_path": f"runs/TRAJ{number + 1}", "trajid": number + 1}
            held |= {"num_triplets": 1} | (attributes or {})
            if change is not None:
                change(values, held)
            group = file.create_group(f"water/{number}")
            for key, value in held.items():
                group.attrs[key] = json.dumps(value)
            for name, length in (("atom", 3), ("direction", 3), ("statecomb", 3)):
                group[name] = np.arange(length)
            for name in ("time", "state"):
                group[name] = values.pop(name)
            for name in ("time", "state", "atom", "direction", "statecomb"):
                group[name].make_scale(name)
            for name, value in values.items():
                standard = {"forces": "tsad", "nacs": "tcad"}.get(name)
                if standard and name in (order or {}):
                    letter = {"time": "t", "state": "s", "statecomb": "c", "atom": "a", "direction": "d"}
                    value = value.transpose([standard.index(letter[axis]) for axis in axes[name]])
                group.create_dataset(name, data=value, chunks=True if np.ndim(value) > 1 else None)
                for k, axis in enumerate(axes[name]):
                    group[name].dims[k].attach_scale(group[axis])
            for name, text in unit.items():
                if name in group and text is not None:
                    group[name].attrs["units"] = json.dumps(text)
    return path


def read(path):
    """The trajectories with frames, and all problems."""
    found = list(read_file(path))
    return [each for each in found if each.num_frames], [problem for each in found for problem in each.problems]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


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


LENGTHS = (40, 25)


def together(path, layout, *, change=None):
    """Two trajectories of different length in one group, as SHNITSEL stacks them along ``frame`` or layers them."""
    runs = [motion(length, seed=k) for k, length in enumerate(LENGTHS)]
    time = [np.arange(length) * DT for length in LENGTHS]
    names = {"atXYZ": ("atom", "direction"), "velocities": ("atom", "direction"), "energy": ("state",)}
    names |= {"forces": ("state", "atom", "direction")}
    values = {name: [run[k] for run in runs] for k, name in enumerate(names)}
    values |= {"time": time, "astate": [np.full(length, 2) for length in LENGTHS]}
    names |= {"time": (), "astate": ()}
    leading = ("frame",) if layout == "stacked" else ("trajectory", "time")
    held = {}
    for name, each in values.items():
        if layout == "stacked":
            held[name] = (np.concatenate(each), (*leading, *names[name]))
        elif name == "time":
            held[name] = (time[0], ("time",))
        else:
            array = np.full((2, LENGTHS[0], *each[0].shape[1:]), -1 if name == "astate" else np.nan)
            array[0], array[1, : LENGTHS[1]] = each
            held[name] = (array, (*leading, *names[name]))
    if layout == "stacked":  # xarray puts the stacked axis last
        held |= {
            name: (np.moveaxis(array, 0, -1), (*axes[1:], axes[0])) for name, (array, axes) in held.items() if axes[1:]
        }
        held["atrajectory"] = (np.repeat([7, 3], LENGTHS), ("frame",))
    held |= {"trajectory": (np.array([7, 3]), ("trajectory",)), "completed": (np.array([1, 0], "i1"), ("trajectory",))}
    held |= {"max_ts": (np.array([40, 40]), ("trajectory",)), "delta_t": (np.full(2, DT), ("trajectory",))}
    held |= {"state_types": (np.array([1, 1, 3]), ("state",)), "atNums": (np.array(NUMBERS), ("atom",))}
    if change is not None:
        change(held)
    units = {"atXYZ": "Bohr", "velocities": "au", "energy": "Hartree", "forces": "Hartree/Bohr", "time": "fs"}
    with h5py.File(path, "w") as file:
        file.attrs["__shnitsel_format_version"] = "v1.2"
        file.attrs["input_format"] = json.dumps("sharc")
        sizes = {axis: n for array, axes in held.values() for axis, n in zip(axes, np.shape(array), strict=True)}
        for axis, size in sizes.items():
            if axis not in held:
                file[axis] = np.arange(1, size + 1) if axis == "state" else np.zeros(size, ">f4")
                file[axis].make_scale(axis)
        for name, (array, axes) in held.items():
            file[name] = array
            if axes == (name,):
                file[name].make_scale(name)
        for name, (_, axes) in held.items():
            for k, axis in enumerate(axes):
                if axes != (name,):
                    file[name].dims[k].attach_scale(file[axis])
            if name in units:
                file[name].attrs["units"] = json.dumps(units[name])
    return path


@pytest.mark.parametrize("layout", ["stacked", "layered"])
def test_trajectories_in_one_group_are_taken_apart(tmp_path, layout):
    path = together(tmp_path / "a.nc", layout)
    assert SHNITSEL.matches(path)
    trajectories, problems = read(path)
    assert [(each.name, each.num_frames, each.status, each.dt) for each in trajectories] == [
        ("7", 40, "complete", DT),
        ("3", 25, "crashed", DT),
    ]
    assert problems == ["a.nc 3: the run did not complete (25 frames)"]
    for k, (each, length) in enumerate(zip(trajectories, LENGTHS, strict=True)):
        positions, velocities, energy, forces = motion(length, seed=k)
        close(each.columns["positions"], positions * BOHR)
        close(each.columns["velocities"], velocities * ATOMIC_VELOCITY)
        close(each.columns["energy"], energy * HARTREE)
        close(each.columns["forces"], forces.transpose(0, 2, 1, 3) * HARTREE / BOHR)
        close(each.columns["time"], np.arange(length) * DT)
        assert (each.columns["active_state"] == 1).all() and each.system.label == ("S0", "S1", "T1")


def test_stacked_frames_may_be_mixed_but_not_nameless(tmp_path):
    def mix(held):
        mixed = np.argsort(held["time"][0], kind="stable")  # a frame of each in turn
        for name, (array, axes) in held.items():
            if "frame" in axes:
                held[name] = (np.take(array, mixed, axis=axes.index("frame")), axes)

    trajectories, problems = read(together(tmp_path / "a.nc", "stacked", change=mix))
    assert [(each.name, each.num_frames) for each in trajectories] == [("7", 40), ("3", 25)] and len(problems) == 1
    close(trajectories[1].columns["positions"], motion(25, seed=1)[0] * BOHR)

    def nameless(held):
        del held["atrajectory"], held["trajectory"]
        for name in ("completed", "max_ts", "delta_t"):
            del held[name]

    trajectories, problems = read(together(tmp_path / "b.nc", "stacked", change=nameless))
    assert not trajectories and "no variable `atrajectory` or `trajid` says of which each is" in problems[0]

    def alone(held):
        nameless(held)
        for name, (array, axes) in held.items():
            if "frame" in axes:
                held[name] = (np.take(array, range(40), axis=axes.index("frame")), axes)

    trajectories, problems = read(together(tmp_path / "c.nc", "stacked", change=alone))
    assert [each.num_frames for each in trajectories] == [40] and not problems


SOC_PAIRS = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b]


def with_couplings(*, unit="1/cm", full=True, real=False, more=None):
    """Complex elements of all ordered pairs (or magnitudes of the unordered ones), made up."""
    random = np.random.default_rng(5)
    matrix = random.normal(size=(65, 3, 3)) + 1j * random.normal(size=(65, 3, 3))
    matrix = matrix + matrix.conj().swapaxes(1, 2)
    matrix[:, range(3), range(3)] = 0

    def change(held):
        pairs = SOC_PAIRS if full else [pair for pair in SOC_PAIRS if pair[0] < pair[1]]
        i, j = np.array(pairs).T - 1
        axis = "full_statecomb" if full else "statecomb"
        values = matrix[:, i, j]
        held["socs"] = ((np.abs(values) if real else values).T, (axis, "frame"))
        for name, at in (("from", i), ("to", j)):
            held[f"full_statecomb_{name}" if full else name] = (at + 1, (axis,))
        if more is not None:
            more(held)

    return matrix, change, unit


def coupled(path, matrix, change, unit):
    together(path, "stacked", change=change)
    if unit is not None:
        with h5py.File(path, "a") as file:
            file["socs"].attrs["units"] = json.dumps(unit)
    return read(path)


@pytest.mark.parametrize("full", [True, False])
def test_spin_orbit_couplings_are_read_with_their_pairs_and_unit(tmp_path, full):
    def magnetic(held):
        held["state_magnetic_number"] = (np.array([0.0, 0.0, -1.0]), ("state",))

    matrix, change, unit = with_couplings(full=full, more=magnetic)
    (first, second), problems = coupled(tmp_path / "a.nc", matrix, change, unit)
    assert not [each for each in problems if "soc" in each]
    close(np.concatenate([first.columns["soc"], second.columns["soc"]]), matrix * INVERSE_CM)
    assert first.system.soc_pairs == ((0, 1), (0, 2), (1, 2))
    assert first.system.spin_states == ((0, 0), (1, 0), (2, -2))
    close(first.columns["soc_magnitude"][:, 1], np.abs(matrix[:40, 0, 2]) * INVERSE_CM)
    import_sources([tmp_path / "a.nc"], tmp_path / "a.h5")
    assert HDF5Dataset(tmp_path / "a.h5").systems[0].read("soc").shape == (65, 3, 3)


def test_magnitudes_and_elements_between_unknown_components_have_their_size_only(tmp_path):
    for k, real in enumerate((True, False)):
        matrix, change, _ = with_couplings(real=real)
        (first, _), _ = coupled(tmp_path / f"{k}.nc", matrix, change, "Hartree")
        assert "soc" not in first.columns and first.system.spin_states == ()
        close(first.columns["soc_magnitude"], np.abs(matrix[:40][:, [0, 0, 1], [1, 2, 2]]) * HARTREE)


def test_components_of_sharc_are_in_its_order(tmp_path):
    def counts(held):
        held["state_types"] = (np.array([3, 3, 3]), ("state",))

    matrix, change, unit = with_couplings(more=counts)
    path = together(tmp_path / "a.nc", "stacked", change=change)
    with h5py.File(path, "a") as file:
        file["socs"].attrs["units"] = json.dumps(unit)
        for name, count in (("singlets", 0), ("doublets", 0), ("triplets", 1)):
            file.attrs[f"num_{name}"] = json.dumps(count)
    (first, _), problems = read(path)
    assert first.system.spin_states == ((0, -2), (1, 0), (2, 2)) and "soc" in first.columns
    assert any("its states are spin components" in each for each in problems)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("unit", "`socs` says no unit: not read"),
        ("pairs", "`socs` does not say which states it joins: not read"),
        ("states", "`socs` joins states that are none of [1, 2, 3]: not read"),
        ("hermitian", "`socs` is not hermitian: not read"),
    ],
)
def test_couplings_that_are_not_certain_are_not_read_and_told(tmp_path, kind, told):
    def spoil(held):
        if kind == "pairs":
            del held["full_statecomb_to"]
        if kind == "states":
            held["full_statecomb_to"] = (np.full(6, 9), ("full_statecomb",))
        if kind == "hermitian":
            held["socs"][0][0] *= -1

    matrix, change, unit = with_couplings(more=spoil)
    trajectories, problems = coupled(tmp_path / "a.nc", matrix, change, None if kind == "unit" else unit)
    assert sum(told in each for each in problems) == 2 and "soc_magnitude" not in trajectories[0].columns


def test_the_diagonal_state_is_kept(tmp_path):
    def diagonal(held):
        held["sdiag"] = (np.full(65, 3), ("frame",))

    trajectories, problems = read(together(tmp_path / "a.nc", "stacked", change=diagonal))
    assert (trajectories[0].columns["active_diagonal_state"] == 2).all() and len(problems) == 1


def test_a_file_that_ends_the_process_is_a_line_of_the_report(tmp_path, monkeypatch):
    good, bad = written(tmp_path / "good.nc"), written(tmp_path / "worse.nc")
    found = list(in_own_process(read_file, good))
    assert [each.num_frames for each in found] == [40]
    with pytest.raises(ValueError, match="worse.nc is damaged: reading it ended with the signal SIGSEGV"):
        list(in_own_process(crash, bad))
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"worse\.nc is damaged or no netCDF 4 file"):
        list(read_shnitsel([bad], ImportOptions()))
    monkeypatch.setattr(
        shnitsel, "in_own_process", lambda read, path: in_own_process(crash if "worse" in path.name else read, path)
    )
    report = import_sources([good, written(tmp_path / "worse.nc")], tmp_path / "out.h5")
    assert report.num_frames == 40
    assert any("worse.nc is damaged: reading it ended with the signal SIGSEGV" in each for each in report.problems)


def packed(path, name):
    """Pack a variable in chunks of ten frames; the file's offset and size of its second chunk."""
    with h5py.File(path, "a") as file:
        group = file["water/0"]
        values, attributes = group[name][()], dict(group[name].attrs)
        scales = [dimension[0] for dimension in group[name].dims]
        del group[name]
        group.create_dataset(name, data=values, chunks=(10, *values.shape[1:]), compression="gzip")
        group[name].attrs["units"] = attributes["units"]
        for dimension, scale in zip(group[name].dims, scales, strict=True):
            dimension.attach_scale(scale)
        chunk = group[name].id.get_chunk_info(1)
        return chunk.byte_offset, chunk.size


@pytest.mark.parametrize(("name", "lost"), [("nacs", "nac"), ("atXYZ", "positions")])
def test_rows_of_a_damaged_chunk_are_missing_and_told(tmp_path, name, lost):
    path = written(tmp_path / "a.nc")
    offset, size = packed(path, name)
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    (trajectory,), problems = read(path)
    assert f"a.nc TRAJ1: `{name}` is damaged in 10 of 40 rows" in problems
    if lost == "positions":
        assert trajectory.num_frames == 30 and any("10 frames dropped" in each for each in problems)
    else:
        whole = np.isfinite(trajectory.columns["nac"][:, :, 0]).all(axis=(1, 2))
        assert np.flatnonzero(~whole).tolist() == list(range(10, 20))


def test_other_files_are_not_taken_for_one(tmp_path):
    with h5py.File(tmp_path / "other.nc", "w") as file:
        file["a"] = 1
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01" + bytes(100))
    assert not SHNITSEL.matches(tmp_path / "other.nc") and not SHNITSEL.matches(tmp_path / "classic.nc")
    with pytest.raises(ValueError, match="no group has a variable `atXYZ`"):
        read(tmp_path / "other.nc")
    with pytest.raises(ValueError, match="damaged or no netCDF 4"):
        read(tmp_path / "classic.nc")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("whole") / "whole.nc", trajectories=2)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutilated_files_give_what_is_whole_and_a_line_for_the_rest(tmp_path, whole, data):
    path, content = tmp_path / "a.nc", bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    SHNITSEL.matches(path)
    try:
        trajectories, problems = read(path)
    except (ValueError, OSError):
        return
    assert sum(each.num_frames for each in trajectories) == 80 or problems


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
