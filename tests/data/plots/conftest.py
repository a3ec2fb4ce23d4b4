"""A native file with everything a picture may need: hydrogen peroxide in three states, and hydrogen of no trajectory."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer

from .peroxide import NUMBERS, columns


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("plots") / "peroxide.h5"
    with HDF5Writer(path) as writer:
        writer.add_system(
            "H2O2", NUMBERS, num_states=3, multiplicity=[1, 1, 3], root=[1, 2, 1], label=["S0", "S1", "T1"],
            spin_states=[(0, 0), (1, 0), (2, -2), (2, 0), (2, 2)],
        )  # fmt: skip
        writer.add_system("H2", [1, 1])
        for k in range(3):
            writer.add_trajectory("H2O2", columns(k), name=f"t{k}", status="crashed" if k == 2 else "complete")
        length = np.array([0.7, 0.8, 0.9])
        positions = np.zeros((3, 2, 3))
        positions[:, 1, 0] = length
        writer.add_trajectory("H2", {"positions": positions, "energy": -30 - length[:, None]})
    return path


@pytest.fixture
def dataset(path) -> HDF5Dataset:
    return HDF5Dataset(path)
