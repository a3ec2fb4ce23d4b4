"""Several files as one dataset: every frame is that of its file, names are told apart, splits are joined."""

import pickle

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer


def write(path, seed, num_states=2, *, splits=("given",), trajectories=("t0", "t1")):
    """Trajectories of CH2 (and, in each file, a system of its own) with distinct numbers."""
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    with HDF5Writer(path) as writer:
        writer.add_system("CH2", [6, 1, 1], num_states=num_states)
        writer.add_system(f"He{seed}", [2] * seed)
        for system, atoms, states, names in (("CH2", 3, num_states, trajectories), (f"He{seed}", seed, 1, (f"only{seed}",))):
            for name in names:
                writer.add_trajectory(system, {
                    "positions": rng.normal(size=(5, atoms, 3)), "energy": rng.normal(size=(5, states)),
                    "forces": rng.normal(size=(5, atoms, states, 3)), "time": np.arange(5.0),
                }, name=name)  # fmt: skip
        writer.add_report([f"line of {seed}"])
        for name in splits:
            writer.add_split(name, {"train": [0, 1, 12], "val": [2], "test": [14]}, kind="given", note=f"made by {seed}")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    return [
        write(folder / "a.h5", 1, splits=("given", "other")),
        write(folder / "run1" / "b.h5", 2, num_states=3, trajectories=("t1", "t2")),
        write(folder / "run2" / "b.h5", 3),
    ]


@pytest.fixture(scope="module")
def joined(files):
    return HDF5Dataset(files)


def test_every_frame_is_that_of_its_file(files, joined):
    alone = [frame for path in files for frame in HDF5Dataset(path)]
    assert len(joined) == len(alone) == 45
    for frame, expected in zip(joined, alone, strict=True):
        np.testing.assert_array_equal(frame.positions, expected.positions)
        np.testing.assert_array_equal(frame.energy, expected.energy)
        assert frame.system.split("@")[0] == expected.system and frame.trajectory.split("@")[0] == expected.trajectory
        assert frame.time == expected.time


def test_names_that_several_files_have_are_told_apart(joined):
    names = [system.name for system in joined.systems]
    assert names == ["CH2@a", "He1", "CH2@run1/b", "He2", "CH2@run2/b", "He3"]
    trajectories = [each.name for each in joined.trajectories]
    assert trajectories == ["t0@a", "t1@a", "only1", "t1@run1/b", "t2", "only2", "t0@run2/b", "t1@run2/b", "only3"]
    assert joined.trajectory("t1@run1/b").indices.tolist() == list(range(15, 20))
    assert joined.trajectory("t2").indices.tolist() == list(range(20, 25))
    assert joined.select(system="CH2@run2/b").indices.tolist() == list(range(30, 40))
    with pytest.raises(ValueError, match="several files have a trajectory 't1'; name the one that is meant: t1@a, t1@run1/b"):
        joined.trajectory("t1")


def test_a_name_that_looks_told_apart_already_stays_the_only_one(tmp_path):
    write(tmp_path / "a.h5", 1, trajectories=("t", "t@a"), splits=())
    write(tmp_path / "b.h5", 2, trajectories=("t",), splits=())
    names = [each.name for each in HDF5Dataset([tmp_path / "a.h5", tmp_path / "b.h5"]).trajectories]
    assert len(set(names)) == len(names)


def test_batches_over_files_are_the_single_frames(joined):
    order = np.array([44, 0, 17, 31, 12, 17])
    batch = joined.batch(order)
    assert batch.energy.shape == (6, 3) and joined.num_states == 3
    starts = np.cumsum(batch.num_atoms) - batch.num_atoms
    for k, index in enumerate(order):
        frame = joined[int(index)]
        atoms = slice(starts[k], starts[k] + batch.num_atoms[k])
        np.testing.assert_array_equal(batch.positions[atoms], frame.positions)
        np.testing.assert_array_equal(batch.energy[k, : frame.num_states], frame.energy)
        np.testing.assert_array_equal(batch.forces[atoms, : frame.num_states], frame.forces)
        assert not batch.energy_valid[k, frame.num_states :].any() and np.isnan(batch.energy[k, frame.num_states :]).all()


def test_a_split_that_all_files_have_is_joined(files, joined):
    assert joined.splits == ("given",) and joined.split_attrs("given") == {"kind": "given"}
    split = joined.split("given")
    assert split["train"].tolist() == [0, 1, 12, 15, 16, 27, 30, 31, 42] and split["val"].tolist() == [2, 17, 32]
    with pytest.raises(ValueError, match="do not all have a split 'other'; all have: given"):
        joined.split("other")


def test_the_report_says_which_file(joined):
    assert joined.report == ("a: line of 1", "run1/b: line of 2", "run2/b: line of 3")


def test_several_files_travel_as_their_paths(joined, files):
    again = pickle.loads(pickle.dumps(joined))
    assert again.paths == tuple(files) and len(pickle.dumps(joined)) < 1500
    np.testing.assert_array_equal(again.batch([40, 3]).positions, joined.batch([40, 3]).positions)


def test_a_file_given_twice_and_no_file_are_refused(files, tmp_path):
    (tmp_path / "link.h5").symlink_to(files[0])
    for twice in ([files[0], files[0]], [files[0], tmp_path / "link.h5"]):
        with pytest.raises(ValueError, match="a.h5 is given twice"):
            HDF5Dataset(twice)
    with pytest.raises(ValueError, match="no data file was given"):
        HDF5Dataset([])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        HDF5Dataset([files[0], tmp_path / "absent.h5"])
