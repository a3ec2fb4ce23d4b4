"""A writer that is killed at any moment leaves a file with every trajectory that it had added, and it can go on."""

import os
import random
import signal
import time

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes to kill")

ROWS, ATOMS = 30, 20


def trajectory(number):
    """A trajectory whose every number tells which one it is."""
    return {
        "positions": np.full((ROWS, ATOMS, 3), float(number)),
        "energy": np.full((ROWS, 1), float(number)),
        "forces": np.full((ROWS, ATOMS, 1, 3), float(number)),
    }


def killed(child, delay):
    """Fork, kill the child ``delay`` seconds after its first line, and give the numbers that it had reported."""
    source, sink = os.pipe()
    process = os.fork()
    if process == 0:  # the child: nothing of the test session may run in it
        try:
            os.close(source)
            child(lambda number: os.write(sink, b"%d\n" % number))
        finally:
            os._exit(1)
    os.close(sink)
    with os.fdopen(source, "rb", buffering=0) as lines:
        told = lines.read(1)
        time.sleep(delay)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        told += lines.readall()
    assert told, "the child ended before it had written anything"
    return [int(line) for line in told[: told.rfind(b"\n")].split()]


def assert_whole(path, at_least):
    """Open the file: ``at_least`` so many trajectories, each with its own numbers; how many there are."""
    dataset = HDF5Dataset(path)
    assert len(dataset.trajectories) >= at_least
    assert len(dataset) == ROWS * len(dataset.trajectories)
    assert [each.name for each in dataset.trajectories] == [f"t{k}" for k in range(len(dataset.trajectories))]
    if len(dataset):
        expected = np.repeat(np.arange(len(dataset.trajectories)), ROWS)
        system = dataset.systems[0]
        for name in ("positions", "energy", "forces"):
            values = system.read(name).reshape(len(dataset), -1)
            assert (values == expected[:, None]).all()
            assert name == "positions" or system.read(f"{name}_valid").all()
        np.testing.assert_array_equal(system.read("trajectory"), expected)
    return len(dataset.trajectories)


def write_on(path, finalize_after=None):
    def child(tell):
        number = len(HDF5Dataset(path).trajectories)
        writer = HDF5Writer(path, "a")
        end = number + (finalize_after or 10**9)
        while number < end:
            writer.add_trajectory("X", trajectory(number), name=f"t{number}")
            tell(number)
            number += 1
        while True:  # each time contiguous and growing again, until the kill
            writer.finalize()
            writer = HDF5Writer(path, "a")
            writer.add_split("one", {"train": [0]}, overwrite=True)

    return child


def empty(path):
    with HDF5Writer(path) as writer:
        writer.add_system("X", [1] * ATOMS)
    return path


def test_a_writer_killed_at_fifty_moments_loses_nothing_that_it_had_added(tmp_path):
    path, held = empty(tmp_path / "frames.h5"), 0
    for kill in range(50):
        if kill % 10 == 0:  # a file of its own now and then, so that growing it stays quick
            path, held = empty(tmp_path / f"frames{kill}.h5"), 0
        told = killed(write_on(path), 0.08 * random.random())
        assert told == list(range(held, held + len(told)))
        held = assert_whole(path, at_least=held + len(told))
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("X", trajectory(held), name=f"t{held}")
    assert assert_whole(path, at_least=held + 1) == held + 1 and HDF5Dataset(path).attrs["finalized"]
    assert not list(tmp_path.glob(f".{path.name}.*.tmp"))


def test_a_kill_while_finalizing_loses_nothing(tmp_path):
    path, held = empty(tmp_path / "frames.h5"), 0
    for _ in range(15):
        told = killed(write_on(path, finalize_after=3), 0.06 * random.random())
        held = assert_whole(path, at_least=held + len(told))
    with HDF5Writer(path, "a"):
        pass
    assert assert_whole(path, at_least=held) == held
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock") == ["frames.h5"]


def test_a_kill_of_a_writer_that_grows_aside_leaves_the_file_as_it_was(tmp_path):
    path = empty(tmp_path / "frames.h5")
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("X", trajectory(0), name="t0")
    before = path.read_bytes()

    def child(tell):
        writer = HDF5Writer(path, "a", durable=False)
        for number in range(1, 10**9):
            writer.add_trajectory("X", trajectory(number), name=f"t{number}")
            tell(number)

    for _ in range(5):
        assert killed(child, 0.05 * random.random())
        assert path.read_bytes() == before
    with HDF5Writer(path, "a", durable=False) as writer:
        writer.add_trajectory("X", trajectory(1), name="t1")
    assert assert_whole(path, at_least=2) == 2
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock") == ["frames.h5"]
