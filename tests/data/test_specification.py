"""The specification in docs/formats.md is true and complete: its reader reads, its tables say what files hold."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.checks import FIGURES
from mlff.data.schema import SCHEMA_VERSION
from mlff.properties import PROPERTIES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
SECTION = DOCUMENT[DOCUMENT.index("## The native file") : DOCUMENT.index("### Writing, and what a kill leaves")]
STORED = Path(__file__).parent / "files" / "schema_1.h5"
SIZES = {"N": 3, "S": 2, "P": 1, "Q": 3, "R": 1, "M": 4}

(EXAMPLE,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
example = {}
exec(compile(EXAMPLE, "docs/formats.md", "exec"), example)  # the reader as the document gives it
read_native = example["read_native"]


def columns(rng, num_frames):
    """Every quantity that there is."""
    result = {}
    for each in PROPERTIES.values():
        shape = (num_frames, *each.shape(SIZES))
        values = rng.random(shape) + (1j * rng.random(shape) if each.dtype == "c16" else 0)
        result[each.name] = values if np.dtype(each.dtype).kind in "fc" else (values > 0.5).astype(each.dtype)
    del result["trajectory"]
    result["forces"][0, :, 1] = np.nan
    return result


def add(writer, rng, name):
    writer.add_trajectory("CH2", columns(rng, 3), name=name, dt=0.5, source="run/äöü.dat", source_sha256="0" * 64,
                          checks=dict.fromkeys(FIGURES, 1.0) if name else None)  # fmt: skip


def declare(writer):
    writer.add_system("empty", [2])
    writer.add_system(
        "CH2", [6, 1, 1], num_states=2, multiplicity=[1, 3], root=[0, 0], label=["S0", "T1"], charge=-1.0,
        level_of_theory="x", program="y", phase="aligned", spin_states=[(0, 0), (1, -2), (1, 0), (1, 2)],
        nac_pairs=[(0, 1)], dipole_pairs=[(0, 0), (0, 1), (1, 1)], soc_pairs=[(0, 1)],
    )  # fmt: skip


@pytest.fixture
def full(tmp_path):
    """A file with everything in it that a file can hold."""
    rng = np.random.default_rng(0)
    with HDF5Writer(tmp_path / "full.h5") as writer:
        declare(writer)
        add(writer, rng, "t0")
        add(writer, rng, None)
        writer.add_report(["a sentence"])
        writer.add_split("one", {"train": [0, 5], "val": [1]}, seed=1, fractions=(0.5, 0.3, 0.2), note="by hand")
    return tmp_path / "full.h5"


def assert_reads_alike(path):
    systems, trajectories, splits = read_native(path)
    dataset = HDF5Dataset(path)
    assert [each["name"] for each in systems] == [system.name for system in dataset.systems]
    for each, system in zip(systems, dataset.systems, strict=True):
        assert each["charge"] == system.charge and set(each["frames"]) == set(system.names)
        np.testing.assert_array_equal(each["atomic_numbers"], system.atomic_numbers)
        for name, values in each["frames"].items():
            np.testing.assert_array_equal(values, system.read(name), err_msg=name)
    for number, each in enumerate(dataset.trajectories):
        assert (trajectories["name"][number] or None, trajectories["system"][number]) == (each.name, each.system)
        assert (trajectories["first"][number], trajectories["count"][number]) == (each.first, each.count)
        assert trajectories["source"][number] == each.source and trajectories["status"][number] == each.status
        assert trajectories["dt"][number] == each.dt or np.isnan(each.dt)
    assert len(trajectories["name"]) == len(dataset.trajectories)
    assert set(splits) == set(dataset.splits)
    for name, parts in splits.items():
        for part, rows in dataset.split(name).items():
            np.testing.assert_array_equal(parts[part], np.stack(dataset.locate(rows), axis=1))
    return systems, trajectories, splits


def test_the_reader_of_the_document_reads_every_kind_of_file(full, tmp_path):
    systems, _, splits = assert_reads_alike(full)
    assert len(systems) == 2 and not systems[0]["frames"] and len(systems[1]["frames"]["energy"]) == 6
    assert np.isnan(systems[1]["frames"]["forces"][0, :, 1]).all() and splits["one"]["test"].shape == (0, 2)
    assert_reads_alike(STORED)
    assert_reads_alike(Path(__file__).parents[2] / "mlff" / "datasets" / "azobenzene.h5")
    rng = np.random.default_rng(1)
    writer = HDF5Writer(full, "a")
    for k in range(2):
        add(writer, rng, f"more{k}")
        assert len(assert_reads_alike(full)[1]["name"]) == 3 + k  # while it grows
    writer.close()
    assert len(assert_reads_alike(full)[1]["name"]) == 4
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.attrs["schema_name"] = "something else"
    with pytest.raises(ValueError, match="is not a native file"):
        read_native(other)


def test_the_example_reads_the_versions_that_there_are():
    versions = re.search(r"schema_version\"\] not in \(([^)]*)\)", EXAMPLE)[1]
    assert [int(each) for each in versions.split(",")] == list(range(1, SCHEMA_VERSION + 1))
    assert f"## The native file (schema {SCHEMA_VERSION})" in SECTION
    assert re.findall(r"^\| (\d+) \|", SECTION, re.MULTILINE) == [str(k) for k in range(SCHEMA_VERSION, 0, -1)]


def rows_of_the_table():
    """name -> (dtype, axes, unit, mask axes) as the document says."""
    found = re.findall(r"^\| (\w+) \| ([?\w]+)\[(.*?)\] \| (.*?) \| (.*?) \|", SECTION, re.MULTILINE)
    return {
        name: (dtype, tuple(axes.split(",")), unit.strip(), mask.strip()) for name, dtype, axes, unit, mask in found
    }


def test_the_table_of_quantities_is_that_of_the_program():
    expected = {
        each.name: (each.dtype, ("F", *each.axes), each.unit, "" if not each.mask else ",".join(["F", *each.mask_axes]))
        for each in PROPERTIES.values()
    }
    assert rows_of_the_table() == expected


def test_everything_in_a_file_is_in_the_document(full):
    named = set(re.findall(r"\w+", SECTION))
    table, undescribed = rows_of_the_table(), []

    def look(path, held):
        parts = path.split("/")
        if parts[-2:-1] == ["checks"]:
            assert parts[-1] in FIGURES and f"| {parts[-1]}" in DOCUMENT.replace(", ", " | ")
        elif parts[0] in ("systems", "splits") and len(parts) == 2:
            assert isinstance(held, h5py.Group)  # a name of the user's
        elif parts[-1].removesuffix("_valid") not in named:
            undescribed.append(path)
        undescribed.extend(f"{path}: {name}" for name in held.attrs if name not in named)
        if parts[-2:-1] == ["frames"]:
            dtype, axes, unit, mask = table[parts[-1].removesuffix("_valid")]
            if parts[-1].endswith("_valid"):
                dtype, axes, unit = "?", tuple(mask.split(",")), ""
            shape = tuple({**SIZES, "F": 6}[axis] if axis.isalpha() else int(axis) for axis in axes)
            assert (held.dtype, held.shape, held.attrs["unit"]) == (np.dtype(dtype), shape, unit), path
            assert held.chunks is None and (path.endswith("forces") == ("sign" in held.attrs))

    with h5py.File(full) as file:
        file.visititems(look)
        undescribed += [name for name in file.attrs if name not in named]
        assert not undescribed
        frames = file["systems/CH2/frames"]
        assert set(frames) == set(PROPERTIES) | {each.mask for each in PROPERTIES.values() if each.mask}
        assert set(file["report/checks"]) == set(FIGURES)


@pytest.mark.parametrize("state", ["finalized", "growing"])
def test_types_are_those_of_the_document(full, state):
    lengths = {"name": 255, "status": 16, "source": 1023, "source_sha256": 64}
    if state == "growing":
        writer = HDF5Writer(full, "a")
        add(writer, np.random.default_rng(2), "t9")
        writer.close()
    types = dict(re.findall(r"(\w+) +((?:[iuf]\d|text\[\d+\])) ?\[", SECTION[SECTION.index("```\n/ ") :]))
    with h5py.File(full, swmr=state == "growing") as file:
        for group in (
            file["systems/CH2"],
            *(file[f"systems/CH2/{name}"] for name in ("states", "spin_states", "pairs")),
        ):
            for name, held in group.items():
                if isinstance(held, h5py.Dataset) and types[name].startswith("text"):
                    assert h5py.check_string_dtype(held.dtype) == ("utf-8", 32)
                elif isinstance(held, h5py.Dataset):
                    assert held.dtype == np.dtype(types[name]), name
        for name, held in file["trajectories"].items():
            text = h5py.check_string_dtype(held.dtype)
            if name in lengths:
                assert text.encoding == "utf-8" and types[name] == f"text[{lengths[name]}]"
                assert text.length == lengths[name] if state == "growing" else text.length <= lengths[name]
            else:
                assert held.dtype == np.dtype(types[name]), name
        for name, held in file["splits/one"].items():
            assert held.dtype == np.dtype(types[name]) and held.shape[1] == 2
        assert h5py.check_string_dtype(file["report/problems"].dtype) == ("utf-8", None)
        boolean, number = (file[f"systems/CH2/frames/{name}"].id.get_type() for name in ("pbc", "soc"))
        assert (boolean.enum_valueof(b"FALSE"), boolean.enum_valueof(b"TRUE")) == (0, 1) and boolean.get_size() == 1
        members = [(number.get_member_name(k), number.get_member_type(k).dtype) for k in range(number.get_nmembers())]
        assert members == [(b"r", np.dtype("f8")), (b"i", np.dtype("f8"))]
        assert bool(file.attrs["finalized"]) == (state == "finalized")
        assert state == "growing" or file.attrs["num_frames"] == 6
        assert file["systems/CH2/spin_states"].attrs["basis"] == "mch"
    version_of_superblock = full.read_bytes()[8]
    assert (version_of_superblock == 0) == (state == "finalized")
