"""Which frames are exported, and that it does not matter in how many blocks they are read."""

import ase.db
import h5py
import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.exporters import export_frames, selection
from mlff.data.exporters.selection import choose

from .native_files import written


def content(path):
    """Everything in the file, comparable."""
    if path.suffix == ".xyz":
        return path.read_text()
    if path.suffix == ".db":
        return [
            (row.positions.tobytes(), row.key_value_pairs, {key: value.tobytes() for key, value in row.data.items()})
            for row in ase.db.connect(path).select()
        ]
    with h5py.File(path) as file:
        return datasets(file)


def datasets(group):
    """Values of all datasets below, at every path that leads to them."""
    held = {}
    for name, node in group.items():
        if isinstance(node, h5py.Group):
            held |= {f"{name}/{below}": values for below, values in datasets(node).items()}
        else:
            values = node.asstr()[()] if node.dtype.kind == "O" else node[()]
            numbers = values.dtype.kind in "fc"  # a missing complex number may have an imaginary part or none
            held[name] = (np.nan_to_num(values).tolist(), np.isnan(values).tolist()) if numbers else values.tolist()
    return held


@pytest.mark.parametrize(("to", "suffix"), [("h5md", "h5md"), ("extxyz", "xyz"), ("ase-db", "db"), ("shnitsel", "nc")])
def test_files_are_the_same_in_one_block_and_in_many(tmp_path, monkeypatch, to, suffix):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(6), missing=0.6, only="CH3+")
    once = [path for path, _ in export_frames(dataset, tmp_path / f"once.{suffix}", to=to).files]
    monkeypatch.setattr(selection, "_BLOCK_BYTES", 1)
    assert all(len(block) == 1 for piece in choose(dataset) for block in piece.blocks(lambda count: None))
    many = [path for path, _ in export_frames(dataset, tmp_path / f"many.{suffix}", to=to).files]
    assert [content(path) for path in once] == [content(path) for path in many]


def test_progress_counts_every_frame_once(tmp_path):
    dataset, told = written(tmp_path / "in.h5", np.random.default_rng(7)), []
    export_frames(dataset, tmp_path / "out.nc", to="shnitsel", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(dataset), len(dataset)) and sorted(told) == told


def test_the_time_between_frames_is_that_of_the_chosen_ones(tmp_path):
    with HDF5Writer(tmp_path / "in.h5") as writer:
        writer.add_system("He", [2])
        writer.add_trajectory("He", {"positions": np.zeros((9, 1, 3))}, name="t", dt=0.5)
        writer.add_split("s", {"train": [0, 3, 6], "val": [1, 2, 4], "test": [5]})
    dataset = HDF5Dataset(tmp_path / "in.h5")
    spacings = [choose(dataset, split="s", part=part)[0].dt for part in ("train", "val", "test")]
    np.testing.assert_array_equal(spacings, [1.5, np.nan, 0.5])
    assert choose(dataset)[0].dt == 0.5 and choose(dataset, split="s")[0].rows.tolist() == list(range(7))
