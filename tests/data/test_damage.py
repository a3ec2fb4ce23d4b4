"""Bytes of a file that are not what they were end in a sentence, or in numbers that can be read."""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.summary import summarise

DAMAGES = 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "h2.h5"
    rng = np.random.default_rng(0)
    with HDF5Writer(path) as writer:
        writer.add_system("H2", [1, 1], num_states=2, nac_pairs=[(0, 1)])
        for number in range(3):
            columns = {"positions": rng.normal(size=(5, 2, 3)), "energy": rng.normal(size=(5, 2))}
            writer.add_trajectory("H2", columns, name=f"t{number}")
    return path


def read(path: Path) -> str:
    """What becomes of reading all of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = HDF5Dataset(path)
            summarise(dataset)
            for system in dataset.systems:
                system.read("positions")
    except (ValueError, OSError) as error:
        return str(error)
    return "read"


def read_damaged(path: Path, seed: int) -> str:
    """The same of a copy in which some bytes are others."""
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8).copy()
    for _ in range(rng.integers(1, 4)):
        first, length = rng.integers(len(content)), rng.choice((1, 4, 8, 64))
        content[first : first + length] = rng.integers(256, size=len(content[first : first + length]))
    damaged = path.with_name(f"damaged-{seed}.h5")
    damaged.write_bytes(content.tobytes())
    told = read(damaged)
    damaged.unlink()
    return told


def test_damage_anywhere_is_told_in_a_sentence(whole):
    assert read(whole) == "read"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as aside:  # the HDF5 library may end its process
        told = list(aside.map(read_damaged, [whole] * DAMAGES, range(DAMAGES)))
    assert "read" in told and any("is damaged" in each or "cannot be read" in each for each in told)


def test_a_superblock_of_no_known_version_is_told(whole, tmp_path):
    content = bytearray(whole.read_bytes())
    content[8] = 99
    (tmp_path / "damaged.h5").write_bytes(content)
    with pytest.raises(ValueError, match="is an HDF5 file but cannot be read .* damaged or truncated"):
        HDF5Dataset(tmp_path / "damaged.h5")
