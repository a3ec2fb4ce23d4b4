"""The examples of docs/formats.md that read a file run as written, and give what the text says."""

import re
from pathlib import Path

import numpy as np
import pytest

from mlff.data import HDF5Writer

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
SECTION = TEXT[TEXT.index("## Reading from Python") :].split("\n## ")[0]


def write(path, seed):
    rng = np.random.default_rng(seed)
    with HDF5Writer(path) as writer:
        writer.add_system("CH2NH2", [6, 1, 1, 7, 1, 1], num_states=3)
        for name in ("TRAJ_00001", "TRAJ_00002"):
            writer.add_trajectory("CH2NH2", {
                "positions": rng.normal(size=(40, 6, 3)), "energy": -2500 + np.sort(rng.uniform(0, 6, (40, 3)), axis=1),
                "forces": rng.normal(size=(40, 6, 3, 3)), "active_state": rng.integers(0, 3, 40), "time": np.arange(40) * 0.5,
            }, name=name)  # fmt: skip
        writer.add_split("trajectory", {"train": np.arange(40), "val": [], "test": np.arange(40, 80)}, kind="trajectory")


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """What the names of the examples are after they ran."""
    write(tmp_path / "ch2nh2.h5", 0)
    write(tmp_path / "more.h5", 1)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL):
        exec(code.replace("num_workers=2", "num_workers=0"), names)
    return names


def test_the_examples_run_and_say_what_is_true(examples):
    energy = examples["frames"].systems[0].read("energy")
    near = np.flatnonzero(energy[:, 1] - energy[:, 0] <= 0.5)
    assert examples["near"].indices.tolist() == near.tolist() and len(near) == len(examples["atoms"])
    assert examples["gap"].values == pytest.approx(energy[:40, 1] - energy[:40, 0])
    assert [system.name for system in examples["several"].systems] == ["CH2NH2@ch2nh2", "CH2NH2@more"]
    assert examples["batch"].num_frames == 8  # the last of 40 frames in batches of 32
