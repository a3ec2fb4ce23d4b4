"""``mlff data export``, as a user types it."""

import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.data.export import FORMATS
from mlff.cli.main import main
from mlff.data import HDF5Dataset, HDF5Writer

NUM = 10


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with h2.h5: two trajectories of two states, a split by time, and a system of one state."""
    rng = np.random.default_rng(0)
    with HDF5Writer(tmp_path / "h2.h5") as writer:
        writer.add_system("H2", [1, 1], num_states=2, nac_pairs=[(0, 1)])
        writer.add_system("He", [2])
        for name in ("t0", "t1"):
            positions = np.array([[0, 0, 0], [0, 0, 1.0]]) + rng.normal(0, 0.01, (NUM, 2, 3))
            columns = {"positions": positions, "energy": rng.normal(size=(NUM, 2)), "time": 0.5 * np.arange(NUM)}
            columns |= {"forces": rng.normal(size=(NUM, 2, 2, 3)), "nac": rng.normal(size=(NUM, 2, 1, 3))}
            writer.add_trajectory("H2", columns, name=name)
        writer.add_trajectory("He", {"positions": rng.normal(size=(4, 1, 3)), "energy": np.zeros((4, 1))}, name="atom")
        index = np.arange(2 * NUM + 4)
        writer.add_split("time", {"train": index[:12], "val": index[12:16]}, kind="given")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mlff():
    def run(*arguments, code=0):
        result = CliRunner().invoke(main, ["data", "export", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.output

    return run


def files(folder):
    return sorted(each.name for each in folder.iterdir() if each.suffix != ".lock")


@pytest.mark.parametrize(
    ("to", "made"),
    [("h5md", ["h2.h5md"]), ("extxyz", ["h2.xyz"]), ("shnitsel", ["h2.nc"]), ("ase-db", ["h2-H2.db", "h2-He.db"])],
)
def test_each_format_has_its_file_and_says_how_many_frames(folder, mlff, to, made):
    output = mlff("h2.h5", "--to", to)
    assert files(folder) == sorted(["h2.h5", *made])
    assert all(f"written to {name}" in output for name in made)
    assert ("24 frames written" in output) == (len(made) == 1)


def test_what_is_left_out_is_one_line(folder, mlff):
    assert "! extended xyz has no place for nac: left out\n" in mlff("h2.h5", "--to", "extxyz")


def test_a_split_is_three_files_and_a_part_is_one(folder, mlff):
    output = mlff("h2.h5", "--to", "h5md", "--split", "time", "-o", "out.h5md")
    assert "12 frames written to out_train.h5md" in output and "4 frames written to out_val.h5md" in output
    assert "out_test.h5md was not written: the part test has no frame" in output
    assert "4 frames written to val.xyz" in mlff(
        "h2.h5", "--to", "extxyz", "--split", "time", "--part", "val", "-o", "val.xyz"
    )
    assert files(folder) == ["h2.h5", "out_train.h5md", "out_val.h5md", "val.xyz"]


def test_trajectories_and_a_state_are_chosen(folder, mlff):
    assert "14 frames" in mlff(
        "h2.h5", "--to", "extxyz", "--trajectory", "t1", "--trajectory", "atom", "-o", "some.xyz"
    )
    mlff("h2.h5", "--to", "extxyz", "--trajectory", "t1", "--state", 1, "-o", "t1.xyz")
    energy = HDF5Dataset("h2.h5").trajectory("t1")[0].energy
    assert f" energy={energy[1].item()!r} energy_0={energy[0].item()!r}" in (folder / "t1.xyz").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.h5", "--to", "h5md"], "there is no file"),
        (["h2.h5"], "Missing option '--to'"),
        (["h2.h5", "--to", "pdb"], "is not one of 'h5md', 'extxyz', 'ase-db', 'shnitsel'"),
        (["h2.h5", "--to", "h5md", "--split", "no"], "has no split 'no'; it has: time"),
        (["h2.h5", "--to", "h5md", "--part", "val"], "`--part val` needs `--split NAME`"),
        (["h2.h5", "--to", "h5md", "--trajectory", "t9"], "has no trajectory 't9'; it has: t0, t1, atom"),
        (["h2.h5", "--to", "extxyz", "--state", 1], "`--state` is 1; system He has 1 states, counted from 0"),
        (["h2.h5", "--to", "shnitsel", "--state", 0], "`--state` has no effect on shnitsel files"),
        (["h2.h5", "--to", "h5md", "-o", "no/x.h5md"], "the folder no does not exist"),
        (["h2.h5", "--to", "h5md", "-o", "."], "is a folder"),
        (["h2.h5", "--to", "h5md", "-o", "h2.h5", "--overwrite"], "is the data file itself"),
        (["h2.h5", "--to", "extxyz", "-o", "taken.xyz"], "taken.xyz exists already"),
        (["h2.h5", "--to", "extxyz", "--split", "time", "--part", "test"], "no frame of"),
        (["h2.h5", "--to", "extxyz", "--split", "time", "--trajectory", "atom"], "no frame of"),
    ],
)
def test_every_mistake_is_one_sentence_and_leaves_no_file(folder, mlff, arguments, words):
    (folder / "taken.xyz").write_text("mine")
    before = files(folder)
    output = mlff(*arguments, code=2)
    assert words in output and "Traceback" not in output
    assert files(folder) == before and (folder / "taken.xyz").read_text() == "mine"


def test_overwrite_replaces_and_an_error_half_way_leaves_the_old_files(folder, mlff, monkeypatch):
    (folder / "h2.xyz").write_text("old")
    mlff("h2.h5", "--to", "extxyz", "--overwrite")
    new = (folder / "h2.xyz").read_text()
    assert new.count("Properties=") == 24
    before = files(folder)
    monkeypatch.setattr("mlff.data.exporters.extxyz._frames", broken)
    assert "No space left" in mlff("h2.h5", "--to", "extxyz", "--overwrite", code=2)
    assert (folder / "h2.xyz").read_text() == new and files(folder) == before


def broken(*_):
    raise OSError(28, "No space left on device")


def test_the_embedded_data_are_exported_into_the_working_folder(folder, mlff):
    assert "frames written to azobenzene.xyz" in mlff("azobenzene", "--to", "extxyz", "--trajectory", "t000")


def test_the_formats_are_those_of_the_exporters():
    from mlff.data import exporters

    assert tuple(exporters.FORMATS) == FORMATS
