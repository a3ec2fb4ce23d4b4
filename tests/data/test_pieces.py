"""Trajectories that grow side by side come out whole, whatever number of pieces and files they are in."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.pieces import merge_pieces


def columns(trajectory: int, steps: range) -> dict[str, np.ndarray]:
    value = 100.0 * trajectory + np.array(steps)
    return {
        "positions": np.tile(value[:, None, None], (1, 2, 3)), "energy": np.stack([value, value + 1], axis=1),
        "step": np.array(steps), "time": 0.5 * np.array(steps), "active_state": np.full(len(steps), trajectory % 2),
        "forces": np.where(np.arange(2)[:, None] == trajectory % 2, value[:, None, None, None], np.nan) + np.zeros((2, 1, 3)),
    }  # fmt: skip


def write(path, trajectories, blocks, **options):
    with HDF5Writer(path, **options) as writer:
        if options.get("mode", "x") == "x":
            writer.add_system("H2", [1, 1], num_states=2, label=["S0", "S1"], multiplicity=[1, 1], charge=1.0)
        for block in blocks:
            with writer.at_once():
                for k in trajectories:
                    writer.add_trajectory("H2", columns(k, block), name=f"t{k}", dt=0.5, status="truncated")
        writer.close()  # as a kill leaves it


def check(dataset, numbers, length):
    assert [each.name for each in dataset.trajectories] == [f"t{k}" for k in numbers]
    for k, each in zip(numbers, dataset.trajectories):
        rows = slice(each.first, each.first + each.count)
        system = dataset.systems[0]
        assert system.read("step", rows).tolist() == list(range(length))
        np.testing.assert_array_equal(system.read("energy", rows)[:, 0], 100.0 * k + np.arange(length))
        np.testing.assert_array_equal(system.read("forces_valid", rows)[0], np.arange(2) == k % 2)
    assert dataset.systems[0].charge == 1.0 and dataset.systems[0].state_labels == ("S0", "S1")


def test_pieces_of_a_growing_file_become_trajectories(tmp_path):
    path = tmp_path / "a.h5"
    write(path, range(3), [range(4), range(4, 6), range(6, 10)])
    growing = HDF5Dataset(path)
    assert len(growing.trajectories) == 9 and len(growing.trajectory("t1")) == 10
    assert merge_pieces([path], path) == 3
    check(HDF5Dataset(path), range(3), 10)
    write(path, range(3), [range(10, 12)], mode="a")  # and on it goes
    merge_pieces([path], path)
    check(HDF5Dataset(path), range(3), 12)


def test_files_of_several_processes_become_one_and_late_steps_are_left_out(tmp_path):
    write(tmp_path / "a.h5", range(2), [range(4), range(4, 8)])
    write(tmp_path / "b.h5", range(2, 5), [range(8)])
    merge_pieces([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5", last_step=5)
    check(HDF5Dataset(tmp_path / "c.h5"), range(5), 6)


def test_other_systems_are_refused(tmp_path):
    write(tmp_path / "a.h5", range(1), [range(2)])
    with HDF5Writer(tmp_path / "b.h5") as writer:
        writer.add_system("H2", [1, 1], num_states=2, label=["S0", "T1"], multiplicity=[1, 3], charge=1.0)
        writer.add_trajectory("H2", columns(0, range(2)), name="t0")
    with pytest.raises(ValueError, match="different systems .see multiplicity, label."):
        merge_pieces([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()
