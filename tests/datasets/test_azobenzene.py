"""The embedded data set is what its documentation says."""

import numpy as np


def test_it_holds_every_fourth_frame_of_each_part(azobenzene):
    split = azobenzene.split("time")
    assert len(azobenzene) == 2194 and azobenzene.path.stat().st_size <= 3_000_000
    assert {part: len(rows) for part, rows in split.items()} == {"train": 1250, "val": 625, "test": 319}
    assert azobenzene.split_attrs("time")["kind"] == "time"
    time = azobenzene.systems[0].read("time")
    for part, (low, high) in {"train": (0, 247.5), "val": (250, 372.5), "test": (375, 500)}.items():  # fs
        assert low <= time[split[part]].min() and time[split[part]].max() <= high


def test_the_split_by_trajectory_is_the_documented_one(azobenzene):
    names = {
        part: {azobenzene[int(k)].trajectory for k in rows} for part, rows in azobenzene.split("trajectory").items()
    }
    assert names["test"] == {"t001", "t010", "t019", "t026", "t037", "t046", "t055"}
    assert names["val"] == {"t002", "t013", "t022", "t031", "t043"}
    assert len(names["train"]) == 38 and not names["train"] & (names["val"] | names["test"])


def test_energies_and_forces_are_finite_and_of_the_documented_size(azobenzene):
    batch = azobenzene.batch(slice(None))
    assert azobenzene.systems[0].name == "C12H10N2" and azobenzene.num_states == 1
    assert azobenzene.systems[0].level_of_theory == "GFN2-xTB"
    assert batch.energy_valid.all() and batch.forces_valid.all() and not batch.pbc.any() and batch.cell is None
    assert -994 < batch.energy.min() and batch.energy.max() < -987  # eV; the minima are at -994.8
    assert abs(np.sqrt((batch.forces.astype(float) ** 2).mean()) - 1.99) < 0.03  # eV/angstrom
    assert azobenzene.systems[0].read("forces").dtype == np.float32


def test_it_is_the_shared_set_thinned(azobenzene, shared_data, tmp_path):
    from mlff.data import HDF5Dataset
    from mlff.data.importers import import_sources

    import_sources([shared_data / "azobenzene_gfn2" / "azo.zip"], tmp_path / "again.h5", split_name="time", every=4)
    again = HDF5Dataset(tmp_path / "again.h5")
    mine, theirs = azobenzene.batch(slice(None)), again.batch(slice(None))
    for name in ("positions", "energy", "forces"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    for part, rows in azobenzene.split("time").items():
        np.testing.assert_array_equal(rows, again.split("time")[part])
