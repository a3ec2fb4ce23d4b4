"""SHNITSEL files that are damaged, or none: what is whole is read, and what is lost is said."""

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data.importers import import_sources
from mlff.data.importers.shnitsel import file as shnitsel
from mlff.data.importers.shnitsel.file import SHNITSEL, read_file, read_shnitsel
from mlff.data.importers.shnitsel.own_process import in_own_process
from mlff.data.importers.trajectory import ImportOptions

from .crashing import crash
from .shnitsel_files import read, written


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
