"""The facts of the shared azobenzene trajectories: frames, split by time, energies, forces, torsions, minima."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "azobenzene_gfn2"


@pytest.fixture(scope="module")
def azobenzene(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("azobenzene") / "azo.h5"
    report = import_sources([folder / "azo.zip"], path, split_name="time")
    assert report.num_frames == 8775
    return HDF5Dataset(path)


def test_its_frames_and_its_split_by_time_are_those_that_its_table_says(azobenzene):
    assert len(azobenzene) == 8775 and len(azobenzene.trajectories) == 50
    assert azobenzene.split_attrs("time")["kind"] == "time"
    split, system = azobenzene.split("time"), azobenzene.systems[0]
    time = system.read("time")
    assert sorted(system.atomic_numbers.tolist()) == [1] * 10 + [6] * 12 + [7] * 2 and system.num_states == 1
    for part, count, first, last in (("train", 5000, 0, 247.5), ("val", 2500, 250, 372.5), ("test", 1275, 375, 500)):
        rows = split[part]
        assert len(rows) == count
        assert (time[rows].min(), time[rows].max()) == (pytest.approx(first), pytest.approx(last, abs=2.6))
    assert {each.dt for each in azobenzene.trajectories} == {2.5}
    names = {azobenzene.trajectories[k].name for k in system.read("trajectory")[split["test"]]}
    assert len(names) == 25  # half of the trajectories


def test_its_energies_and_forces_spread_as_its_table_says(azobenzene):
    system = azobenzene.systems[0]
    energy, forces = system.read("energy")[:, 0], system.read("forces")
    assert energy.std() == pytest.approx(0.77, abs=0.01)
    assert np.abs(energy - energy.mean()).mean() == pytest.approx(0.62, abs=0.02)
    assert np.sqrt((forces.astype(float) ** 2).mean()) == pytest.approx(1.99, abs=0.01)
    assert np.abs(forces).max() == pytest.approx(14.8, abs=0.05)
    assert np.abs(forces).mean() == pytest.approx(1.48, abs=0.005)


def torsions(positions, numbers):
    """Degrees from 0 to 180 of C-N=N-C, ``[F]``."""
    nitrogens, carbons = np.flatnonzero(numbers == 7), np.flatnonzero(numbers == 6)
    apart = np.linalg.norm(positions[:, carbons, None] - positions[:, None, nitrogens], axis=-1).mean(axis=0)
    first, last = carbons[apart.argmin(axis=0)]  # the carbon that each nitrogen is bound to
    chain = positions[:, [first, *nitrogens, last]]
    b1, b2, b3 = np.diff(chain, axis=1).transpose(1, 0, 2)
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    across = (np.cross(n1, n2) * b2).sum(axis=1) / np.linalg.norm(b2, axis=1)
    return np.abs(np.degrees(np.arctan2(across, (n1 * n2).sum(axis=1))))


def test_few_frames_are_on_the_way_and_none_late(azobenzene):
    system = azobenzene.systems[0]
    torsion = torsions(system.read("positions"), system.atomic_numbers)
    between = (torsion > 60) & (torsion < 120)
    share = {part: 100 * between[rows].mean() for part, rows in azobenzene.split("time").items()}
    assert share["train"] == pytest.approx(5.0, abs=0.7)  # 4.4 in the frames that were published
    assert share["val"] == pytest.approx(1.6, abs=0.2) and share["test"] == 0


def test_its_minima_are_planar_trans_and_twisted_cis(folder, tmp_path):
    for name, low, high in (("trans", 175, 180), ("cis", 0, 20)):
        import_sources([folder / f"{name}.xyz"], tmp_path / f"{name}.h5")
        frame = HDF5Dataset(tmp_path / f"{name}.h5")[0]
        assert frame.energy is None and frame.num_atoms == 24
        assert low <= torsions(frame.positions[None], frame.atomic_numbers)[0] <= high
