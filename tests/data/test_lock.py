"""Two processes and one file: one writes, the other is told so; a process that died holds nobody up."""

import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.main import main
from mlff.data import HDF5Dataset, HDF5Writer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")

REFUSED = "is being written by another process; wait for it to end"


def forked(child):
    """Run ``child(tell)`` in a process of its own; its id, and a stream of what it tells."""
    source, sink = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(source)
            child(lambda text: os.write(sink, text.encode() + b"\n"))
            code = 0
        finally:
            os._exit(code)
    os.close(sink)
    return process, os.fdopen(source, "rb", buffering=0)


def ended(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def trajectory(value):
    return {"positions": np.full((3, 2, 3), float(value)), "energy": np.full((3, 1), float(value))}


@pytest.fixture
def path(tmp_path):
    with HDF5Writer(tmp_path / "frames.h5") as writer:
        writer.add_system("H2", [1, 1])
        writer.add_trajectory("H2", trajectory(0), name="t0")
    return tmp_path / "frames.h5"


@pytest.mark.parametrize("durable", [True, False])
def test_a_second_process_is_refused_with_a_sentence_until_the_first_is_dead(path, durable):
    def hold(tell):
        writer = HDF5Writer(path, "a", durable=durable)
        writer.add_trajectory("H2", trajectory(1), name="t1")
        tell("writing")
        time.sleep(60)

    process, told = forked(hold)
    try:
        assert told.readline() == b"writing\n"
        before = path.read_bytes()
        for refused in (
            lambda: HDF5Writer(path, "a"),
            lambda: HDF5Writer(path, "a", durable=False),
            lambda: HDF5Writer(path, "x", overwrite=True),
        ):
            with pytest.raises(ValueError, match=REFUSED):
                refused()
        typed = CliRunner().invoke(main, ["data", "finalize", str(path)])
        assert typed.exit_code == 2 and REFUSED in " ".join(typed.output.split())
        assert len(HDF5Dataset(path)) == (6 if durable else 3)  # reading is never refused
        assert path.read_bytes() == before
    finally:
        os.kill(process, signal.SIGKILL)
        ended(process)
        told.close()
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("H2", trajectory(2), name="t2")
    names = ["t0", "t1", "t2"] if durable else ["t0", "t2"]
    assert [each.name for each in HDF5Dataset(path).trajectories] == names
    left = {each.name for each in path.parent.iterdir()}
    assert left <= {path.name, f".{path.name}.lock"}


def test_processes_that_write_in_turn_lose_nothing(path):
    """Four processes add five trajectories each, and try again while they are refused."""

    def add(number):
        def child(tell):
            for k in range(5):
                while True:
                    try:
                        with HDF5Writer(path, "a", durable=bool(k % 2)) as writer:
                            writer.add_trajectory("H2", trajectory(10 * number + k), name=f"p{number}_{k}")
                        break
                    except ValueError as error:
                        assert REFUSED in str(error)
                        time.sleep(0.002)

        return child

    children = [forked(add(number)) for number in range(1, 5)]
    assert [ended(process) for process, _ in children] == [0] * 4
    for _, told in children:
        told.close()
    dataset = HDF5Dataset(path)
    expected = {f"p{number}_{k}": 10 * number + k for number in range(1, 5) for k in range(5)} | {"t0": 0}
    assert {each.name for each in dataset.trajectories} == set(expected) and len(dataset.trajectories) == 21
    for name, value in expected.items():
        assert all((frame.positions == value).all() and frame.energy[0] == value for frame in dataset.trajectory(name))


def test_a_lock_file_without_a_process_is_no_lock(path):
    Path(path.with_name(f".{path.name}.lock")).write_text("left behind")
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("H2", trajectory(1), name="t1")
    with h5py.File(path) as file:
        assert file.attrs["num_frames"] == 6
