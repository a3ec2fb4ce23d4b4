"""A full disk, and Ctrl-C while a file is written: a sentence or an interrupt, the old file as it was, and nothing left."""

import errno
import os
import signal

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer, output_file
from mlff.data.exporters import export_frames
from mlff.data.output_file import OutputFile

FULL = "No space left on device"


class Disk:
    """A file on a disk that takes ``room`` bytes more in all, then writes nothing; or that is interrupted then."""

    def __init__(self, file, state, at_end):
        self.file, self.state, self.at_end = file, state, at_end

    def write(self, data):
        self.state["room"] -= len(data)
        if self.state["room"] < 0:
            self.at_end()
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.fixture
def disk(monkeypatch):
    """Make the disk full, or interrupt, after so many bytes of HDF5."""

    def limit(room, at_end):
        state, made = {"room": room}, output_file._KeepsErrors.__init__

        def init(self, *arguments):
            made(self, *arguments)
            self._file = Disk(self._file, state, at_end)

        monkeypatch.setattr(output_file._KeepsErrors, "__init__", init)

    return limit


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write(path, mode="x", first=0):
    with HDF5Writer(path, mode, durable=False) as writer:
        if mode == "x":
            writer.add_system("H2", [1, 1])
        for k in range(first, first + 3):
            positions = np.random.default_rng(k).normal(size=(1000, 2, 3))
            writer.add_trajectory("H2", {"positions": positions, "energy": positions[:, :1, 0]}, name=f"t{k}")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0, 1.3, 1.9])
def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path, disk, part):
    write(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    disk(int(part * len(before)), full)
    with pytest.raises(OSError, match=FULL) as caught:
        write(tmp_path / "a.h5", "a", first=3)
    assert caught.value.filename == str(tmp_path / "a.h5") and caught.value.errno == errno.ENOSPC
    assert (tmp_path / "a.h5").read_bytes() == before
    with pytest.raises(OSError, match=FULL):
        write(tmp_path / "b.h5")
    assert {each.name for each in tmp_path.iterdir()} == {"a.h5", ".a.h5.lock", ".b.h5.lock"}


@pytest.mark.parametrize("to", ["h5md", "shnitsel"])
def test_an_export_to_a_full_disk_leaves_nothing(tmp_path, disk, to):
    write(tmp_path / "a.h5")
    disk(20_000, full)
    with pytest.raises(OSError, match=FULL) as caught:
        export_frames(HDF5Dataset(tmp_path / "a.h5"), tmp_path / "out", to=to)
    assert caught.value.filename == str(tmp_path / "out")
    assert {each.name for each in tmp_path.iterdir()} == {"a.h5", ".a.h5.lock"}


def test_a_durable_writer_asks_for_room_before_it_writes(tmp_path, monkeypatch):
    with HDF5Writer(tmp_path / "a.h5") as writer:
        writer.add_system("H2", [1, 1])
        writer.add_trajectory("H2", {"positions": np.zeros((3, 2, 3)) + [[0], [1]]}, name="t0")
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr("mlff.data.output_file.shutil.disk_usage", lambda path: usage)
        with pytest.raises(OSError, match=r"No space left on device \(0.0 MB are free\)"):
            writer.add_trajectory("H2", {"positions": np.zeros((3, 2, 3)) + [[0], [1]]}, name="t1")
        monkeypatch.undo()
    assert [each.name for each in HDF5Dataset(tmp_path / "a.h5").trajectories] == ["t0"]


@pytest.fixture
def handler():
    """Python's own for Ctrl-C, which processes that a shell started in the background do not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("room", [0, 100, 30_000, 150_000])
def test_ctrl_c_within_a_write_comes_after_it_and_is_an_interrupt(tmp_path, disk, room, handler):
    write(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    disk(room, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.h5", "a", first=3)
    assert (tmp_path / "a.h5").read_bytes() == before and signal.getsignal(signal.SIGINT) is handler
    assert {each.name for each in tmp_path.iterdir()} == {"a.h5", ".a.h5.lock"}


def test_what_could_not_be_written_can_be_read_back_until_the_file_is_closed(tmp_path, disk):
    disk(40_000, full)
    values = np.random.default_rng(0).normal(size=(100, 100))
    file = OutputFile(tmp_path / "a.h5", "w", called=tmp_path / "named.h5")
    for k in range(5):
        file.create_dataset(f"values{k}", data=values + k, chunks=(10, 10))
    file.flush()
    for k in range(5):
        np.testing.assert_array_equal(file[f"values{k}"][:], values + k)
    with pytest.raises(OSError, match=FULL) as caught:
        file.close()
    assert caught.value.filename == str(tmp_path / "named.h5")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_named(tmp_path):
    write(tmp_path / "a.h5")
    (tmp_path / "a.h5").chmod(0o444)
    with pytest.raises(PermissionError) as caught:
        write(tmp_path / "a.h5", "a", first=3)
    assert caught.value.filename == str(tmp_path / "a.h5")
