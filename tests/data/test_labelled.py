"""xarray: every quantity with names for its dimensions, its unit, and the numbers of the file."""

import sys

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.properties import PROPERTIES

SIZES = {"N": 3, "S": 2, "P": 1, "Q": 3, "R": 1, "M": 4}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A file with every quantity, and a second system with little."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("labelled") / "all.h5"
    with HDF5Writer(path) as writer:
        writer.add_system(
            "CH2", [6, 1, 1], num_states=2, multiplicity=[1, 3], root=[0, 0], label=["S0", "T1"], charge=1,
            spin_states=[(0, 0), (1, -2), (1, 0), (1, 2)], nac_pairs=[(0, 1)], dipole_pairs=[(0, 0), (0, 1), (1, 1)],
            soc_pairs=[(0, 1)],
        )  # fmt: skip
        writer.add_system("He", [2])
        for name in ("t0", "t1"):
            columns = {}
            for each in PROPERTIES.values():
                if each.name != "trajectory":
                    shape = (5, *each.shape(SIZES))
                    values = rng.integers(0, 2, shape) if each.dtype[0] in "iu?" else rng.random(shape)
                    columns[each.name] = values.astype(each.dtype)
            writer.add_trajectory("CH2", columns | {"time": 0.5 * np.arange(5)}, name=name)
        writer.add_trajectory("He", {"positions": np.zeros((2, 1, 3))})
    return HDF5Dataset(path)


def test_every_quantity_has_its_values_dimensions_and_unit(everything):
    labelled, system = everything.to_xarray("CH2"), everything.systems[0]
    for name in system.names:
        if name == "trajectory":
            continue
        array = labelled[name]
        np.testing.assert_array_equal(array.values, system.read(name))
        assert array.attrs.get("units", "") == system.units[name] and array.dims[0] == "frame"
        if name in PROPERTIES:
            assert array.attrs.get("convention", "") == system.conventions[name]
    assert labelled["forces"].dims == ("frame", "atom", "state", "direction")
    assert labelled["nac"].dims == ("frame", "atom", "nac_pair", "direction")
    assert labelled["soc"].dims == ("frame", "spin_component_bra", "spin_component_ket")
    assert labelled["dipole"].dims == ("frame", "dipole_pair", "direction")
    assert labelled["hopping_probability"].dims == ("frame", "diagonal_state")
    assert labelled["forces_valid"].dims == ("frame", "state") and labelled["stress"].dims == ("frame", "state", "voigt")


def test_coordinates_name_frames_atoms_states_and_pairs(everything):
    labelled = everything.to_xarray("CH2")
    assert labelled["symbol"].values.tolist() == ["C", "H", "H"] and labelled["label"].values.tolist() == ["S0", "T1"]
    assert labelled["trajectory"].values.tolist() == ["t0"] * 5 + ["t1"] * 5
    assert labelled["time"].dims == ("frame",) and labelled["time"].attrs["units"] == "fs"
    assert labelled["dipole_pair"].values.tolist() == ["0-0", "0-1", "1-1"] and labelled["dipole_pair_j"][1] == 1
    for name in ("spin_component", "spin_component_bra", "spin_component_ket"):
        assert labelled[f"{name}_ms"].values.tolist() == [0, -1, 0, 1] and labelled[f"{name}_state"][3] == 1
    assert labelled.attrs["charge"] == 1 and labelled.attrs["system"] == "CH2"
    gap = labelled["energy"].sel(state=1) - labelled["energy"].sel(state=0)
    expected = [frame.energy[1] - frame.energy[0] for frame in everything.select(system="CH2")]
    np.testing.assert_array_equal(gap.values, expected)
    assert labelled["forces"].sel(direction="z", state=1).where(labelled.symbol == "H", drop=True).shape == (10, 2)


def test_views_keep_their_frames(everything):
    view = everything[np.array([7, 2, 9])]
    labelled = view.to_xarray()
    assert labelled["frame"].values.tolist() == [7, 2, 9]
    np.testing.assert_array_equal(labelled["positions"].values, [frame.positions for frame in view])
    run = everything.trajectory("t1").to_xarray().swap_dims(frame="time")
    np.testing.assert_array_equal(run["energy"].sel(time=1.5).values, everything[8].energy)


def test_consecutive_frames_are_mapped_and_others_copied(everything):
    mapped, copied = everything.trajectory("t1").to_xarray(), everything[np.array([1, 0])].to_xarray()
    assert not mapped["forces"].values.flags.owndata and not mapped["forces"].values.flags.writeable
    copied["forces"].values[:] = 0
    assert everything[0].forces.any()


def test_a_growing_file_gives_the_same(everything, tmp_path):
    writer = HDF5Writer(tmp_path / "growing.h5")
    writer.add_system("He", [2])
    writer.add_trajectory("He", {"positions": np.arange(6.0).reshape(2, 1, 3)}, name="t")
    labelled = HDF5Dataset(tmp_path / "growing.h5").to_xarray()
    assert labelled["positions"].values.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    writer.close()


def test_several_systems_and_a_missing_package_are_told(everything, monkeypatch):
    with pytest.raises(ValueError, match=r"of 2 systems \(CH2, He\).*name it, such as to_xarray\('CH2'\)"):
        everything.to_xarray()
    with pytest.raises(ValueError, match="has no system 'Ne'; it has: CH2, He"):
        everything.to_xarray("Ne")
    with pytest.raises(ValueError, match="no frames here"):
        everything[:0].to_xarray()
    assert everything.to_xarray("He").sizes["frame"] == 2
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"pip install 'mlff\[xarray\]'"):
        everything.to_xarray("CH2")
