"""H5MD files hold everything that frames carry, are what the specification asks for, and another reader reads them."""

import h5py
import numpy as np
import pyh5md
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.exporters import export_frames
from mlff.data.importers import import_sources, recognise
from mlff.properties import PROPERTIES
from mlff.units import KJ_PER_MOL

from .native_files import compare, written

ALL = [name for name in PROPERTIES if name != "trajectory"]


def there_and_back(dataset, folder, **options):
    export_frames(dataset, folder / "out.h5md", to="h5md", overwrite=True, **options)
    import_sources([folder / "out.h5md"], folder / "back.h5", overwrite=True)
    return HDF5Dataset(folder / "back.h5")


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.3, 0.9]), trajectories=st.integers(1, 4))
def test_every_number_comes_back_as_it_was(tmp_path, seed, missing, trajectories):
    rng = np.random.default_rng(seed)
    dataset = written(tmp_path / "in.h5", rng, missing=missing, trajectories=trajectories)
    back = there_and_back(dataset, tmp_path)
    compare(dataset, back, ALL)
    assert len(back) == len(dataset)
    for a, b in zip(sorted(dataset.systems, key=len_of), sorted(back.systems, key=len_of), strict=True):
        for fact in ("charge", "level_of_theory", "program", "phase", "state_labels", "multiplicities", "roots", "nac_pairs",
                     "dipole_pairs", "soc_pairs", "spin_states"):  # fmt: skip
            assert getattr(a, fact) == getattr(b, fact)
        np.testing.assert_allclose(a.masses, b.masses, atol=1e-6)
    for a in dataset.trajectories:
        b = next(each for each in back.trajectories if each.name == a.name)
        assert b.status == a.status and (a.name is None or b.dt == a.dt)


def len_of(system):
    return system.num_atoms


def test_the_given_split_comes_back_frame_by_frame(tmp_path):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(1))
    back = there_and_back(dataset, tmp_path)

    def parts(data):
        where = {}
        for part, indices in data.split("given").items():
            for index in indices:
                frame = data.frame(int(index))
                where[frame.positions.tobytes()] = part
        return where

    assert parts(back) == parts(dataset)


def test_a_part_of_a_split_holds_its_frames_and_names_the_steps(tmp_path):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(2))
    back = there_and_back(dataset, tmp_path, split="given", part="test")
    wanted = {dataset.frame(int(k)).positions.tobytes() for k in dataset.split("given")["test"]}
    assert {frame.positions.tobytes() for frame in back} == wanted


@pytest.fixture
def exported(tmp_path):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(3), missing=0.0)
    export_frames(dataset, tmp_path / "out.h5md", to="h5md", state=1, trajectories=["CH3+ run/0", "CH3+ run/1"])
    return dataset, tmp_path / "out.h5md"


def test_another_reader_reads_positions_forces_and_box(exported):
    dataset, path = exported
    view = dataset.trajectory("CH3+ run/0")
    with pyh5md.File(path, "r") as file:
        particles = file.particles_group("CH3+ run_0")
        position = pyh5md.element(particles, "position")
        assert position.element_type == "TimeElement"
        np.testing.assert_array_equal(position.value[:], np.stack([frame.positions for frame in view]))
        np.testing.assert_array_equal(position.time[:], [frame.time for frame in view])
        np.testing.assert_array_equal(position.step[:], [frame.step for frame in view])
        velocity = pyh5md.element(particles, "velocity")
        np.testing.assert_array_equal(velocity.value[:], np.stack([frame.velocities for frame in view]))
        force = pyh5md.element(particles, "force")
        expected = np.stack([frame.forces[:, 1] for frame in view]) / KJ_PER_MOL
        np.testing.assert_allclose(force.value[:], expected, rtol=1e-6)
        assert pyh5md.element(particles, "species").value[:].tolist() == [6, 1, 1, 1]
        energy = pyh5md.element(file["observables/CH3+ run_0"], "energy")
        np.testing.assert_array_equal(energy.value[:], np.stack([frame.energy for frame in view]))


def test_the_file_is_what_the_specification_asks_for(exported):
    _, path = exported
    with h5py.File(path) as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert file["h5md/modules/units"].attrs["version"].tolist() == [1, 0]
        assert file["h5md/creator"].attrs["name"] == b"mlff" and file["h5md/author"].attrs["name"]
        group = file["particles/CH3+ run_0"]
        assert group["box"].attrs["dimension"] == 3 and group["box"].attrs["boundary"].tolist() == [b"none"] * 3
        assert h5py.check_enum_dtype(group["species"].dtype) == {"C": 6, "H": 1}
        for parent in (group, group["box"], file["observables/CH3+ run_0"]):
            for name, element in parent.items():
                if name == "box" or isinstance(element, h5py.Dataset):
                    continue
                assert element["step"] == group["position/step"] and element["time"] == group["position/time"]
                assert len(element["value"]) == len(element["step"])
        assert group["position/value"].attrs["unit"] == "Angstrom" and group["position/time"].attrs["unit"] == "fs"
        assert group["velocity/value"].attrs["unit"] == "Angstrom fs-1"
        assert group["force/value"].attrs["unit"] == "kJ mol-1 Angstrom-1"
        assert group["forces/value"].attrs["unit"] == "eV Angstrom-1"
        assert group["mass"].attrs["unit"] == "u"


def test_changing_boundaries_and_cells_that_come_late_are_kept(tmp_path):
    rng = np.random.default_rng(4)
    cell = np.zeros((5, 3, 3))
    cell[3:] = 9 * np.eye(3)
    pbc = np.zeros((5, 3), bool)
    pbc[3:] = [True, True, False]
    columns = {"positions": rng.normal(size=(5, 1, 3)), "energy": np.zeros((5, 1)), "cell": cell, "pbc": pbc}
    with HDF5Writer(tmp_path / "in.h5") as writer:
        writer.add_system("He", [2])
        writer.add_trajectory("He", columns, name="t")
    compare(HDF5Dataset(tmp_path / "in.h5"), there_and_back(HDF5Dataset(tmp_path / "in.h5"), tmp_path), ALL)


def test_a_run_of_sharc_comes_back_whole(tmp_path, shared_data):
    runs = sorted((shared_data / "surface_hopping" / "sharc_v2_ch2nh2").glob("TRAJ*"))
    import_sources(runs, tmp_path / "in.h5")
    dataset = HDF5Dataset(tmp_path / "in.h5")
    back = there_and_back(dataset, tmp_path)
    compare(dataset, back, ALL)
    assert [each.status for each in back.trajectories] == ["complete", "crashed"]
    assert recognise(tmp_path / "out.h5md") == "h5md"
