"""Reading: the same frames whichever way they are asked for, quickly, from any process; wrong files are named."""

import multiprocessing
import pickle
import time

import h5py
import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5View, HDF5Writer


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two systems, one with two states and a cell, one with one state and without forces."""
    path = tmp_path_factory.mktemp("mixed") / "mixed.h5"
    rng = np.random.default_rng(0)
    with HDF5Writer(path) as writer:
        writer.add_system("empty", [2])
        writer.add_system("NaCl", [11, 17], num_states=2)
        writer.add_system("H2O", [8, 1, 1])
        writer.add_trajectory("NaCl", {
            "positions": rng.normal(size=(4, 2, 3)), "energy": rng.normal(size=(4, 2)),
            "forces": rng.normal(size=(4, 2, 2, 3)), "cell": np.tile(5 * np.eye(3), (4, 1, 1)),
            "pbc": np.ones((4, 3), bool), "stress": rng.normal(size=(4, 2, 6)),
        }, name="t0")  # fmt: skip
        writer.add_trajectory("H2O", {"positions": rng.normal(size=(3, 3, 3)), "energy": rng.normal(size=(3, 1))})
        writer.add_split("mine", {"train": [0, 6], "val": [4], "test": []}, kind="given")
    return HDF5Dataset(path)


def test_batch_equals_single_frames(mixed):
    order = np.array([6, 0, 4, 3, 0])
    batch = mixed.batch(order)
    start = 0
    for k, index in enumerate(order):
        frame, stop = mixed[int(index)], start + batch.num_atoms[k]
        assert (batch.batch[start:stop] == k).all() and batch.atomic_numbers.dtype == np.int64
        np.testing.assert_array_equal(batch.atomic_numbers[start:stop], frame.atomic_numbers)
        np.testing.assert_array_equal(batch.positions[start:stop], frame.positions)
        states = frame.num_states
        np.testing.assert_array_equal(batch.energy[k, :states], frame.energy)
        assert not batch.energy_valid[k, states:].any() and np.isnan(batch.energy[k, states:]).all()
        if frame.forces is None:
            assert np.isnan(batch.forces[start:stop]).all() and not batch.forces_valid[k].any()
        else:
            np.testing.assert_array_equal(batch.forces[start:stop, :states], frame.forces)
        np.testing.assert_array_equal(batch.pbc[k], frame.pbc)
        np.testing.assert_array_equal(batch.cell[k], np.zeros((3, 3)) if frame.cell is None else frame.cell)
        assert batch.stress_valid[k] == (frame.stress is not None)
        start = stop


def test_one_system_and_many_give_the_same_batch(azobenzene):
    from mlff.data.batch import gather_many

    indices = np.array([5, 2, 2000, 5])
    one = azobenzene.batch(indices)
    system = azobenzene.systems[0]
    many = gather_many([system], np.zeros(4, np.int64), indices, one.num_atoms, one.batch, 1)
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_views_behave_like_the_dataset(mixed):
    view = mixed[1:6]
    assert isinstance(view, HDF5View) and len(view) == 5 and view.path == mixed.path
    np.testing.assert_array_equal(view[0].positions, mixed[1].positions)
    np.testing.assert_array_equal(view[-1].positions, mixed[5].positions)
    np.testing.assert_array_equal(view.batch([4, 0]).positions, mixed.batch([5, 1]).positions)
    assert [f.system for f in mixed[np.array([6, 0])]] == ["H2O", "NaCl"]
    assert len(view[view.indices > 3]) == 2 and len(view[1:3][::-1]) == 2
    assert len(mixed[np.zeros(len(mixed), bool)]) == 0 and mixed.batch([]).num_frames == 0


def test_indices_outside_the_file_are_refused(mixed):
    for index in (7, -8):
        with pytest.raises(IndexError):
            mixed[index]
        with pytest.raises(IndexError):
            mixed.batch([index])
    with pytest.raises(ValueError, match="must be a list of integers"):
        mixed.batch([0.5])
    with pytest.raises(ValueError, match="mask of 3 values"):
        mixed[np.ones(3, bool)]


def test_split_gives_global_indices_and_copies(mixed):
    split = mixed.split("mine")
    assert {part: each.tolist() for part, each in split.items()} == {"train": [0, 6], "val": [4], "test": []}
    split["train"][:] = 99
    assert mixed.split("mine")["train"].tolist() == [0, 6]
    assert mixed.split_attrs("mine") == {"kind": "given"}
    with pytest.raises(ValueError, match="no split 'time'; it has: mine"):
        mixed.split("time")


def test_locate_finds_the_row(mixed):
    owner, rows = mixed.locate([0, 3, 4, 6])
    assert [mixed.systems[k].name for k in owner] == ["NaCl", "NaCl", "H2O", "H2O"] and rows.tolist() == [0, 3, 0, 2]


def test_reading_hands_out_copies(mixed):
    mixed.batch([0]).positions[:] = 1e9
    mixed.systems[1].read("positions")[:] = 1e9
    assert abs(mixed[0].positions).max() < 100


def test_a_missing_quantity_is_named(mixed):
    with pytest.raises(ValueError, match="has no `forces`; it has: "):
        mixed.systems[2].read("forces")


def _energy_sum(dataset):
    return float(np.nansum(dataset.batch(np.arange(4)).energy))


def test_pickle_carries_the_path_only_and_works_in_another_process(mixed):
    mixed.batch([0])
    assert len(pickle.dumps(mixed)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_energy_sum, (mixed,)) == _energy_sum(mixed)


def test_random_batches_are_fast(azobenzene):
    order = np.random.default_rng(0).permutation(len(azobenzene))
    azobenzene.batch(order[:32])
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        for k in range(0, 1024, 32):
            azobenzene.batch(order[k : k + 32])
        times.append((time.perf_counter() - begin) / 1024)
    assert min(times) < 50e-6  # s a frame; about 2e-6 on a quiet machine


def test_wrong_files_are_named(tmp_path, azobenzene):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        HDF5Dataset(tmp_path / "absent.h5")
    with pytest.raises(ValueError, match="is a folder"):
        HDF5Dataset(tmp_path)
    (tmp_path / "text.h5").write_text("24\n")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        HDF5Dataset(tmp_path / "text.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        HDF5Dataset(tmp_path / "empty.h5")
    (tmp_path / "short.h5").write_bytes(azobenzene.path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="cannot be read .* truncated"):
        HDF5Dataset(tmp_path / "short.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not one of ours"):
        HDF5Dataset(tmp_path / "other.h5")
    (tmp_path / "newer.h5").write_bytes(azobenzene.path.read_bytes())
    with h5py.File(tmp_path / "newer.h5", "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(ValueError, match="schema version 99; this program reads versions up to 2: update mlff"):
        HDF5Dataset(tmp_path / "newer.h5")
    (tmp_path / "damaged.h5").write_bytes(azobenzene.path.read_bytes())
    with h5py.File(tmp_path / "damaged.h5", "r+") as file:
        del file["trajectories/count"]
    with pytest.raises(ValueError, match="is damaged"):
        HDF5Dataset(tmp_path / "damaged.h5")
