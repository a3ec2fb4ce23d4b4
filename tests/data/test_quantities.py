"""Every quantity of the native schema: written, read back, described; missing is NaN and masked."""

import h5py
import numpy as np
import pytest

from mlff.data import Frame, HDF5Dataset, HDF5Writer
from mlff.data.columns import stack
from mlff.properties import PROPERTIES

SIZES = {"N": 3, "S": 2, "P": 1, "Q": 3, "R": 1, "M": 4}
FRAMES = 5
COUNTED = ("active_state", "active_spin_state", "active_diagonal_state", "hop", "step")


def every_quantity(rng):
    columns = {}
    for each in PROPERTIES.values():
        shape = (FRAMES, *each.shape(SIZES))
        if each.name == "trajectory":
            continue
        if each.name in COUNTED:
            columns[each.name] = rng.integers(0, 2, shape)
        elif each.name == "pbc":
            columns[each.name] = np.zeros(shape, bool)
        else:
            columns[each.name] = rng.random(shape) + (1j * rng.random(shape) if each.dtype == "c16" else 0)
    columns["time"] = np.arange(FRAMES) * 0.5
    return columns


@pytest.fixture
def written(tmp_path):
    def write(columns):
        with HDF5Writer(tmp_path / "all.h5", overwrite=True) as writer:
            writer.add_system(
                "CH2",
                [6, 1, 1],
                num_states=2,
                multiplicity=[1, 3],
                root=[0, 0],
                label=["S0", "T1"],
                spin_states=[(0, 0), (1, -2), (1, 0), (1, 2)],
                nac_pairs=[(0, 1)],
                dipole_pairs=[(0, 0), (0, 1), (1, 1)],
                soc_pairs=[(0, 1)],
            )
            writer.add_trajectory("CH2", columns, name="t0")
        return HDF5Dataset(tmp_path / "all.h5")

    return write


def test_every_quantity_comes_back_in_its_frame(written):
    columns = every_quantity(np.random.default_rng(0))
    dataset = written(columns)
    for k, frame in enumerate(dataset.trajectory("t0")):
        for name in columns:
            dtype = PROPERTIES[name].dtype
            np.testing.assert_array_equal(np.asarray(getattr(frame, name), dtype), columns[name][k].astype(dtype))
    with HDF5Writer(dataset.path.with_name("again.h5")) as writer:
        system = dataset.systems[0]
        writer.add_system(
            "CH2",
            system.atomic_numbers,
            num_states=2,
            spin_states=system.spin_states,
            nac_pairs=system.nac_pairs,
            dipole_pairs=system.dipole_pairs,
            soc_pairs=system.soc_pairs,
        )
        writer.add_trajectory("CH2", list(dataset), name="t0")
    again = HDF5Dataset(dataset.path.with_name("again.h5")).systems[0]
    for name in columns:
        np.testing.assert_array_equal(again.read(name), system.read(name))


def test_missing_values_are_nan_and_masked(written):
    columns = every_quantity(np.random.default_rng(1))
    for each in PROPERTIES.values():
        if each.mask:
            columns[each.name] = columns[each.name].copy()
            columns[each.name][2].flat[0] = np.nan
    system = written(columns).systems[0]
    for each in PROPERTIES.values():
        if each.mask:
            assert not system.read(each.mask)[2].all() and system.read(each.mask)[3].all()
            values, valid = system.read(each.name)[2], system.read(each.mask)[2]
            if each.mask_axes == ():
                assert np.isnan(values).all() and not valid
    frame = HDF5Dataset(system.path)[2]
    assert np.isfinite(frame.hopping_probability).all() and np.isfinite(frame.population).all()
    assert frame.velocities is None and frame.soc is None and frame.nac is None
    assert np.isnan(frame.dipole[0]).all() and np.isfinite(frame.dipole[1:]).all()


def test_units_and_conventions_are_on_every_dataset(written):
    dataset = written(every_quantity(np.random.default_rng(2)))
    with h5py.File(dataset.path) as file:
        for name, held in file["systems/CH2/frames"].items():
            assert "unit" in held.attrs
            if name in PROPERTIES:
                assert held.attrs["unit"] == PROPERTIES[name].unit
                assert held.attrs.get("convention", "") == PROPERTIES[name].convention
        assert file["systems/CH2/spin_states"].attrs["basis"] == "mch"
    system = dataset.systems[0]
    assert system.units["nac"] == "1/angstrom" and system.conventions["forces"] == "-dE/dR"


def test_a_trajectory_that_is_not_there_is_named(written):
    with pytest.raises(ValueError, match="has no trajectory 't9'; it has: t0"):
        written(every_quantity(np.random.default_rng(3))).trajectory("t9")


def test_shapes_of_pair_quantities_are_checked():
    with pytest.raises(ValueError, match=r"`nac` has shape \(2, 3\); \(2, P, 3\) was expected"):
        Frame(atomic_numbers=[1, 1], positions=np.zeros((2, 3)), nac=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="`soc` has shape"):
        Frame(atomic_numbers=[1], positions=np.zeros((1, 3)), soc=np.zeros(3))


def test_what_only_some_frames_know_of_a_hop_is_unknown_in_the_others(written):
    columns = every_quantity(np.random.default_rng(4))
    columns["active_diagonal_state"] = np.array([3, -1, 0, 2, 1])
    for name in ("hopping_probability", "population"):
        columns[name][1] = np.nan
    dataset = written(columns)
    again = [Frame(np.array([6, 1, 1]), np.zeros((3, 3)), population=[0.25, 0.75]), dataset[0]]
    assert again[0].num_states == 2
    stacked = stack(again)
    assert stacked["active_diagonal_state"].tolist() == [-1, 3]
    assert np.isnan(stacked["hopping_probability"][0]).all()
    np.testing.assert_array_equal(stacked["population"], [[0.25, 0.75], columns["population"][0]])
    assert [frame.active_diagonal_state for frame in dataset] == [3, -1, 0, 2, 1]
    assert dataset[1].population is None and dataset[1].hopping_probability is None
