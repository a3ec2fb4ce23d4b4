"""The writer: what is added comes back, and nothing that goes wrong leaves a broken or half-written file."""

import os

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import Frame, HDF5Dataset, HDF5Writer

SLOW_OK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def columns(rng, num_frames, num_atoms, num_states=1, **more):
    return {
        "positions": rng.normal(size=(num_frames, num_atoms, 3)),
        "energy": rng.normal(size=(num_frames, num_states)) - 9000,
        "forces": rng.normal(size=(num_frames, num_atoms, num_states, 3)).astype(np.float32),
    } | more


def water(path, num_frames=6, **more):
    rng = np.random.default_rng(0)
    with HDF5Writer(path) as writer:
        writer.add_system("H2O", [8, 1, 1])
        writer.add_trajectory("H2O", columns(rng, num_frames, 3, time=np.arange(num_frames) * 0.5, **more), name="t0")
    return HDF5Dataset(path)


@SLOW_OK
@given(data=st.data())
def test_what_is_written_is_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("written") / "frames.h5"
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    systems = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=3))
    plan = data.draw(st.lists(st.tuples(st.integers(0, len(systems) - 1), st.integers(1, 4)), min_size=1, max_size=6))
    expected = [[] for _ in systems]
    with HDF5Writer(path, durable=data.draw(st.booleans())) as writer:
        for k, (num_atoms, num_states) in enumerate(systems):
            writer.add_system(f"s{k}", rng.integers(1, 10, num_atoms), num_states=num_states)
        for t, (k, num_frames) in enumerate(plan):
            added = columns(rng, num_frames, *systems[k])
            lost = rng.random((num_frames, systems[k][1])) < 0.3
            added["energy"] = np.where(lost, np.nan, added["energy"])
            if data.draw(st.booleans()):
                del added["forces"]
            writer.add_trajectory(f"s{k}", added, name=f"t{t}")
            names = ("positions", "energy", "forces")
            expected[k] += [(f"t{t}", *(added[n][f] if n in added else None for n in names)) for f in range(num_frames)]
    dataset = HDF5Dataset(path)
    flat = [each for system in expected for each in system]
    assert len(dataset) == len(flat)
    for frame, (name, positions, energy, forces) in zip(dataset, flat, strict=True):
        assert frame.trajectory == name
        np.testing.assert_array_equal(frame.positions, positions)
        np.testing.assert_array_equal(frame.energy, energy)
        np.testing.assert_array_equal(frame.energy_valid, np.isfinite(energy))
        if forces is None:
            assert not frame.forces_valid.any() and (frame.forces is None or np.isnan(frame.forces).all())
        else:
            np.testing.assert_array_equal(frame.forces, forces)
            assert frame.forces_valid.all()
    order = rng.permutation(len(flat))
    batch = dataset.batch(order)
    np.testing.assert_array_equal(batch.positions, np.concatenate([flat[k][1] for k in order]))
    assert np.array_equal(batch.num_atoms, [len(flat[k][1]) for k in order])
    assert batch.energy.shape == (len(flat), max(s for k, (_, s) in enumerate(systems)))


def test_frames_and_columns_are_the_same(tmp_path):
    first = water(tmp_path / "columns.h5")
    with HDF5Writer(tmp_path / "frames.h5") as writer:
        writer.add_system("H2O", [8, 1, 1])
        writer.add_trajectory("H2O", list(first), name="t0")
    second = HDF5Dataset(tmp_path / "frames.h5")
    for a, b in zip(first, second, strict=True):
        for name in ("positions", "energy", "forces", "time", "trajectory", "forces_valid"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_every_dataset_says_its_unit(tmp_path):
    water(tmp_path / "water.h5")
    with h5py.File(tmp_path / "water.h5") as file:
        frames = file["systems/H2O/frames"]
        assert all("unit" in dataset.attrs for dataset in frames.values())
        assert frames["forces"].attrs["unit"] == "eV/angstrom" and frames["forces"].attrs["sign"] == "-dE/dR"
        assert file.attrs["schema_name"] == "mlff-frames" and file.attrs["num_frames"] == 6
        assert all(dataset.chunks is None for dataset in frames.values())


def test_missing_is_nan_and_masked_and_never_zero(tmp_path):
    forces = np.zeros((6, 3, 1, 3), np.float32)
    forces[2, 1, 0, 0] = np.nan
    frame = water(tmp_path / "water.h5", forces=forces)[2]
    assert not frame.forces_valid[0] and np.isnan(frame.forces).all()


def test_a_quantity_that_comes_later_is_missing_before(tmp_path):
    path = tmp_path / "water.h5"
    water(path)
    rng = np.random.default_rng(1)
    more = columns(rng, 2, 3, stress=np.ones((2, 1, 6)), cell=np.tile(np.eye(3), (2, 1, 1)), step=np.arange(2))
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("H2O", more, name="t1")
    dataset = HDF5Dataset(path)
    assert dataset[0].stress is None and dataset[0].cell is None and dataset[0].step is None
    assert dataset[7].stress is not None and dataset[7].step == 1 and np.array_equal(dataset[7].cell, np.eye(3))
    assert np.array_equal(dataset.batch(slice(None)).stress_valid, [False] * 6 + [True] * 2)


def test_an_error_leaves_what_was_added_and_closes_the_file(tmp_path):
    path = tmp_path / "water.h5"
    with pytest.raises(RuntimeError), HDF5Writer(path) as writer:
        writer.add_system("H2O", [8, 1, 1])
        writer.add_trajectory("H2O", columns(np.random.default_rng(0), 3, 3), name="t0")
        raise RuntimeError("the source ended")
    assert len(HDF5Dataset(path)) == 3
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("H2O", columns(np.random.default_rng(1), 2, 3), name="t1")
    assert len(HDF5Dataset(path)) == 5
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock") == ["water.h5"]


def test_a_running_writer_can_be_read(tmp_path):
    path = tmp_path / "water.h5"
    with HDF5Writer(path) as writer:
        assert len(HDF5Dataset(path)) == 0
        writer.add_system("H2O", [8, 1, 1])
        for k in range(3):
            writer.add_trajectory("H2O", columns(np.random.default_rng(k), 2, 3), name=f"t{k}")
            dataset = HDF5Dataset(path)
            assert len(dataset) == 2 * k + 2
            assert np.isfinite(dataset.batch(np.array([2 * k + 1, 0, 0])).positions).all()


def test_two_writers_exclude_each_other(tmp_path):
    path = tmp_path / "water.h5"
    with HDF5Writer(path) as writer:
        writer.add_system("H2O", [8, 1, 1])
        with pytest.raises(ValueError, match="being written by another process"):
            HDF5Writer(path, "a")
    HDF5Writer(path, "a").close()


def test_a_file_is_not_replaced_by_accident(tmp_path):
    path = tmp_path / "water.h5"
    water(path)
    with pytest.raises(ValueError, match="exists already"):
        HDF5Writer(path)
    assert len(HDF5Dataset(path)) == 6
    with HDF5Writer(path, overwrite=True):
        pass
    assert len(HDF5Dataset(path)) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"forces": np.zeros((6, 3, 3))}, r"`forces` has shape \(6, 3, 3\); \(6, 3, 1, 3\) was expected"),
        ({"force": np.zeros((6, 3, 1, 3))}, "no frame quantity is called `force`"),
        ({"positions": np.full((6, 3, 3), np.nan)}, "`positions` hold NaN"),
        ({"energy": np.array([["a"]] * 6)}, "`energy` has type"),
        ({"trajectory": np.zeros(6, int)}, "no frame quantity is called `trajectory`"),
    ],
)
def test_wrong_columns_are_refused_and_leave_the_file_alone(tmp_path, change, words):
    path = tmp_path / "water.h5"
    water(path)
    with HDF5Writer(path, "a") as writer, pytest.raises(ValueError, match=words):
        writer.add_trajectory("H2O", columns(np.random.default_rng(0), 6, 3) | change, name="t1")
    assert len(HDF5Dataset(path)) == 6


def test_wrong_systems_frames_and_splits_are_refused(tmp_path):
    with HDF5Writer(tmp_path / "water.h5") as writer:
        writer.add_system("H2O", [8, 1, 1])
        frame = Frame(atomic_numbers=[1, 8, 1], positions=np.zeros((3, 3)))
        for call, words in (
            (lambda: writer.add_system("H2O", [8]), "already"),
            (lambda: writer.add_system("a/b", [8]), "'a/b'; printable characters without '/'"),
            (lambda: writer.add_system("", [8]), "of the system is ''"),
            (lambda: writer.add_split("a\0b", {"train": []}), r"of the split is 'a\\x00b'"),
            (lambda: writer.add_split(os.fsdecode(b"\xff"), {"train": []}), r"of the split is '\\udcff'"),
            (lambda: writer.add_system("X", []), "at least one positive number"),
            (lambda: writer.add_system("X", [1], num_states=2, label=["S0"]), "1 values for 2 states"),
            (lambda: writer.add_trajectory("X", [frame]), "no system called 'X'"),
            (lambda: writer.add_trajectory("H2O", [frame]), "other atoms"),
            (lambda: writer.add_trajectory("H2O", []), "at least one frame"),
            (lambda: writer.add_split("s", {"train": [0]}), "outside the 0 frames"),
            (lambda: writer.add_split("s", {"training": []}), "train, val, test were expected"),
        ):
            with pytest.raises(ValueError, match=words):
                call()


def test_states_pairs_and_spin_components_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    with HDF5Writer(tmp_path / "states.h5") as writer:
        writer.add_system(
            "CH2",
            [6, 1, 1],
            num_states=2,
            multiplicity=[1, 3],
            root=[0, 0],
            label=["S0", "T1"],
            level_of_theory="CASSCF",
            nac_pairs=[(0, 1)],
            spin_states=[(0, 0), (1, -2), (1, 0), (1, 2)],
        )
        writer.add_trajectory(
            "CH2",
            columns(
                rng,
                3,
                3,
                2,
                nac=rng.normal(size=(3, 3, 1, 3)),
                soc=rng.normal(size=(3, 4, 4)) + 0j,
                active_state=np.array([1, 1, 0]),
            ),
        )
    system = HDF5Dataset(tmp_path / "states.h5").systems[0]
    assert system.state_labels == ("S0", "T1") and system.multiplicities == (1, 3)
    assert system.read("nac").shape == (3, 3, 1, 3) and system.read("nac_valid").all()
    assert system.read("soc").dtype == np.complex128
    assert HDF5Dataset(tmp_path / "states.h5")[0].active_state == 1


def test_rows_of_a_trajectory_that_failed_are_not_those_of_the_next(tmp_path, monkeypatch):
    """It had written its stress, then the disk was full; the next trajectory, which has none, must not show it."""
    path, rng = tmp_path / "water.h5", np.random.default_rng(0)
    with HDF5Writer(path) as writer:
        writer.add_system("H2O", [8, 1, 1])
        writer.add_trajectory("H2O", columns(rng, 2, 3, stress=np.ones((2, 1, 6))), name="t0")
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
            patch.setattr(
                h5py.File, "flush", lambda self: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            )
            writer.add_trajectory("H2O", columns(rng, 3, 3, stress=np.full((3, 1, 6), 7.0)), name="failed")
        writer.add_trajectory("H2O", columns(rng, 2, 3), name="t1")
    dataset = HDF5Dataset(path)
    assert [each.name for each in dataset.trajectories] == ["t0", "t1"]
    assert np.array_equal(dataset.batch(slice(None)).stress_valid, [True, True, False, False])
    assert np.isnan(dataset.systems[0].read("stress")[2:]).all()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"nac_pairs": [(1, 0)]}, r"`nac_pairs` of system 'X' are \[\[1, 0\]\]; pairs i < j of its 2 states"),
        ({"soc_pairs": [(0, 2)]}, "pairs i < j of its 2 states"),
        ({"dipole_pairs": [(0, 0), (0, 0)]}, "pairs i <= j of its 2 states, counted from 0 and each of them once"),
        ({"spin_states": [(0, 0), (2, 0)]}, "of its 2 states, counted from 0"),
        ({"label": ["S" * 33, "S1"]}, "longer than 32 bytes"),
        ({"masses": [1.0, 2.0]}, r"`masses` of system 'X' have shape \(2,\); \(1,\) was expected"),
        ({"atomic_numbers": [119]}, "the elements end at 118"),
        ({"charge": float("nan")}, "`charge` of system 'X' is nan"),
        ({"multiplicity": [1, 40_000]}, r"`multiplicity` of system 'X' is \[1, 40000\]; numbers from 0 to 32767"),
        ({"root": [-1, 0]}, "`root` of system 'X' is"),
    ],
)
def test_facts_of_a_system_that_cannot_be_are_refused(tmp_path, facts, words):
    with HDF5Writer(tmp_path / "x.h5") as writer:
        with pytest.raises(ValueError, match=words):
            writer.add_system("X", **({"atomic_numbers": [1], "num_states": 2} | facts))
        assert not list(writer.file["systems"])


def test_names_of_files_in_any_letters_are_kept(tmp_path):
    path = tmp_path / "x.h5"
    with HDF5Writer(path) as writer:
        writer.add_system("X", [1], num_states=2, label=["S₀", "S₁"])
        for k, source in enumerate(("läufe/ö.dat", "ä" * 900, "bad\udcff.dat")):
            writer.add_trajectory("X", {"positions": np.zeros((1, 1, 3))}, name=f"τ{k}", source=source)
    sources = [each.source for each in HDF5Dataset(path).trajectories]
    assert sources == ["läufe/ö.dat", "ä" * 511, "bad?.dat"]
    assert HDF5Dataset(path).systems[0].state_labels == ("S₀", "S₁") and len(HDF5Dataset(path).trajectory("τ1")) == 1
