"""Older files: the stored one of version 1 is read with every number right, untouched, and upgraded when written to."""

import hashlib
import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.data import finalize
from mlff.data import HDF5Dataset, HDF5Writer, schema, upgrade
from mlff.data.schema import SCHEMA_VERSION
from mlff.properties import PROPERTIES

FILES = Path(__file__).parent / "files"
made = importlib.util.spec_from_file_location("make_schema_1", FILES / "make_schema_1.py")
maker = importlib.util.module_from_spec(made)
made.loader.exec_module(maker)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.h5"
    path.write_bytes((FILES / "schema_1.h5").read_bytes())
    return path


def assert_is_as_made(path):
    """Every number of the stored file, against the formulas of the script that made it."""
    dataset = HDF5Dataset(path)
    assert [system.name for system in dataset.systems] == ["CH3N", "H2O"] and len(dataset) >= 13
    methanimine, water = dataset.systems
    assert methanimine.state_labels == ("S0", "S1", "T1") and methanimine.multiplicities == (1, 1, 3)
    assert methanimine.roots == (0, 1, 0) and methanimine.charge == 1 and methanimine.phase == "tracked"
    assert methanimine.spin_states == ((0, 0), (1, 0), (2, -2), (2, 0), (2, 2))
    assert methanimine.nac_pairs == ((0, 1),) and methanimine.soc_pairs == ((0, 2), (1, 2))
    assert methanimine.dipole_pairs == ((0, 0), (0, 1), (1, 1)) and methanimine.level_of_theory == "made up"
    np.testing.assert_array_equal(methanimine.masses, [12, 14, 1, 1, 2])
    for system, columns in ((methanimine, maker.methanimine(0, 9)), (water, maker.water(4))):
        for name, expected in columns.items():
            rows = slice(0, len(expected))
            np.testing.assert_array_equal(system.read(name, rows), expected.astype(PROPERTIES[name].dtype))
            if PROPERTIES[name].mask:
                axes = tuple(
                    k for k, axis in enumerate(PROPERTIES[name].axes, 1) if axis not in PROPERTIES[name].mask_axes
                )
                np.testing.assert_array_equal(system.read(f"{name}_valid", rows), np.isfinite(expected).all(axis=axes))
    rows = [(each.name, each.system, each.first, each.count, each.status) for each in dataset.trajectories[:4]]
    assert rows[:3] == [(name, 0, first, count, status) for name, first, count, status in maker.TRAJECTORIES]
    assert rows[3] == ("tröpfchen", 1, 0, 4, "complete")
    assert dataset.trajectories[1].source == "runs/t1.dat" and dataset.trajectories[1].source_sha256 == f"{4:064x}"
    assert dataset.report[:2] == ("t1: ends after frame 2 of 9", "tröpfchen: looks odd")
    np.testing.assert_array_equal(dataset.checks["force_slope"][:4], [1, 5, np.nan, np.nan])
    assert dataset.split_attrs("trajectory") == {"kind": "trajectory", "seed": 7}
    located = {part: np.stack(dataset.locate(rows), axis=1).tolist() for part, rows in dataset.split("random").items()}
    assert located == {"train": [[1, 0], [1, 2], [0, 0]], "val": [[0, 2]], "test": [[1, 3]]}
    return dataset


def test_a_file_of_version_1_is_read_untouched_and_through_the_memory_map(old):
    before = hashlib.sha256(old.read_bytes()).hexdigest()
    dataset = assert_is_as_made(old)
    assert dataset.attrs["schema_version"] == 1
    assert dataset[0].hopping_probability is None and dataset[0].active_diagonal_state == -1
    for system in dataset.systems:
        assert isinstance(system._source("positions"), np.ndarray)
    assert hashlib.sha256(old.read_bytes()).hexdigest() == before


def test_a_split_upgrades_the_file(old):
    with HDF5Writer(old, "a") as writer:
        writer.add_split("new", {"train": [0], "val": [1], "test": [12]})
    dataset = assert_is_as_made(old)
    assert dataset.attrs["schema_version"] == SCHEMA_VERSION and dataset.attrs["finalized"]
    assert dataset.splits == ("new", "random", "trajectory")


@pytest.mark.parametrize("durable", [True, False])
def test_appending_upgrades_the_file_and_can_add_what_is_new(old, durable):
    more = maker.methanimine(9, 2)
    more["hopping_probability"] = np.full((2, 5), 0.125)
    more["active_diagonal_state"] = np.array([3, 4])
    with HDF5Writer(old, "a", durable=durable) as writer:
        writer.add_trajectory("CH3N", more, name="t9")
    dataset = assert_is_as_made(old)
    assert dataset.attrs["schema_version"] == SCHEMA_VERSION
    np.testing.assert_array_equal(dataset.systems[0].read("active_diagonal_state"), [-1] * 9 + [3, 4])
    assert dataset.trajectory("t9")[0].hopping_probability[0] == 0.125


def test_finalize_upgrades_a_file_and_leaves_a_current_one_alone(old):
    run = CliRunner().invoke(finalize.command, [str(old)], catch_exceptions=False)
    assert f"finalized: 13 frames, 4 trajectories, schema {SCHEMA_VERSION}" in run.output
    assert_is_as_made(old)
    with h5py.File(old) as file:
        labels = file["systems/CH3N/states/label"]
        assert h5py.check_string_dtype(labels.dtype) == ("utf-8", 32) and labels[2] == b"T1"
    before = old.stat().st_mtime_ns
    run = CliRunner().invoke(finalize.command, [str(old)], catch_exceptions=False)
    assert "is final already" in run.output and old.stat().st_mtime_ns == before


def test_every_older_version_has_an_upgrade():
    assert set(upgrade.UPGRADES) == set(range(1, SCHEMA_VERSION))
    assert SCHEMA_VERSION in schema.READ_AS_THEY_ARE


def test_a_version_that_means_something_else_is_upgraded_before_it_is_read(old, monkeypatch):
    """What a future version would do that, for instance, stored energies in another unit."""

    def halve(file):
        for group in file["systems"].values():
            group["frames/energy"][:] *= 0.5

    monkeypatch.setattr(schema, "READ_AS_THEY_ARE", frozenset({SCHEMA_VERSION}))
    monkeypatch.setitem(upgrade.UPGRADES, 1, halve)
    with pytest.raises(ValueError, match="schema version 1, in which some numbers mean something else.*mlff data fina"):
        HDF5Dataset(old)
    CliRunner().invoke(finalize.command, [str(old)], catch_exceptions=False)
    energy = HDF5Dataset(old).systems[0].read("energy")
    np.testing.assert_array_equal(energy, maker.methanimine(0, 9)["energy"] / 2)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (SCHEMA_VERSION + 1, f"versions up to {SCHEMA_VERSION}: update mlff to read it"),
        (0, f"`schema_version` is 0, a number from 1 to {SCHEMA_VERSION} was expected"),
        (-3, "is damaged: its `schema_version` is -3"),
        ("two", "is damaged: its `schema_version` is two"),
        (np.array([1, 2]), "is damaged: its `schema_version` is [1 2]"),
        (None, "is damaged: its `schema_version` is None"),
    ],
)
def test_other_versions_are_refused_with_a_sentence_and_left_alone(old, version, words):
    with h5py.File(old, "r+") as file:
        del file.attrs["schema_version"]
        if version is not None:
            file.attrs["schema_version"] = version
    before = old.read_bytes()
    for opened in (HDF5Dataset, lambda path: HDF5Writer(path, "a"), lambda path: HDF5Writer(path, "a", durable=False)):
        with pytest.raises(ValueError, match="schema.version") as error:
            opened(old)
        assert words in str(error.value)
    assert old.read_bytes() == before
