"""The data command, as a user types it."""

import json
import re

import pytest
from click.testing import CliRunner

from mlff.cli.data import command
from mlff.cli.data.import_ import FORMATS
from mlff.cli.main import main
from mlff.data import HDF5Dataset

FRAME = (
    "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy={e} trajectory={t} time={time}\nH 0 0 0 0 0 0\nH 0 0 1 0 0 0\n"
)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "h2.xyz"
    path.write_text("".join(FRAME.format(e=-30 - k / 100, t=f"t{t}", time=k) for t in range(5) for k in range(10)))
    return path


@pytest.fixture
def mlff():
    def run(*arguments, code=0):
        result = CliRunner().invoke(main, ["data", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_import_info_and_split_go_together(tmp_path, source, mlff):
    out = tmp_path / "h2.h5"
    assert "50 frames written to" in mlff("import", source, "-o", out)
    assert "train 40, val 5, test 5" in mlff("split", out, "--by", "time")
    assert "train 30, val 10, test 10" in mlff(
        "split", out, "--by", "trajectory", "--fractions", 0.6, 0.2, 0.2, "--seed", 1
    )
    mlff("split", out, "--by", "trajectory", "--val", "t1", "--test", "t2,t3", "--split-name", "chosen")
    with pytest.warns(UserWarning, match="leaks"):
        mlff("split", out, "--by", "random", "--split-name", "loose")
    text = mlff("info", out)
    assert len(text.splitlines()) < 40 and all(len(line) <= 120 for line in text.splitlines()[1:])
    for words in (
        "50 frames, 1 system, 5 trajectories",
        "system H2: 50 frames, 2 atoms, 1 state",
        "eV/angstrom",
        "-30.0900 to -30.0000",
        "smallest distance 1.000 angstrom",
        "time 0 to 9 fs, a frame every 1 fs",
    ):
        assert words in text
    assert re.search(r"chosen +train 20, val 10, test 20 \(trajectory\)", text)
    assert HDF5Dataset(out).split_attrs("trajectory") == {"kind": "trajectory", "seed": 1, "fractions": [0.6, 0.2, 0.2]}
    assert HDF5Dataset(out).split_attrs("chosen") == {"kind": "trajectory"}
    summary = json.loads(mlff("info", out, "--json"))
    assert summary["num_frames"] == 50 and set(summary["splits"]) == {"time", "trajectory", "chosen", "loose"}
    assert summary["systems"][0]["quantities"]["energy"]["unit"] == "eV"
    assert summary["systems"][0]["timestep_fs"] == [1.0]


def test_the_word_azobenzene_is_the_embedded_set(mlff):
    assert "2,194 frames" in mlff("info", "azobenzene")


def test_a_split_is_not_replaced_by_accident(tmp_path, source, mlff):
    out = tmp_path / "h2.h5"
    mlff("import", source, "-o", out)
    mlff("split", out, "--by", "time")
    assert "has a split 'time' already; choose another with --split-name" in mlff("split", out, "--by", "time", code=2)
    mlff("split", out, "--by", "time", "--fractions", 0.5, 0.3, 0.2, "--overwrite")
    assert len(HDF5Dataset(out).split("time")["train"]) == 25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "absent.h5"], "there is no file"),
        (["info", "h2.xyz"], "is not an HDF5 file; make one from it with"),
        (["import", "absent.xyz", "-o", "x.h5"], "there is no file or folder"),
        (["import", "h2.xyz"], "Missing option '-o'"),
        (["import", "h2.xyz", "-o", "x.h5", "--energy-key", "E"], "no frame of h2.xyz has the energy key 'E'"),
        (["import", "h2.xyz", "-o", "no/x.h5"], "the folder no does not exist"),
        (["import", "h2.xyz", "-o", "x.h5", "--every", "0"], "0 is not in the range x>=1"),
        (["split", "absent.h5", "--by", "time"], "there is no file"),
        (["import", "h2.h5", "-o", "x.h5"], "h2.h5 is a native file already"),
        (["import", "h2.xyz", "-o", "."], ". is a folder; the name of a file was expected"),
        (["import", "h2.xyz", "-o", "x.h5", "--charge", "nan"], "`charge` is nan"),
        (["import", "h2.xyz", "-o", "x.h5", "--append", "--overwrite"], "not both"),
        (["import", "h2.xyz", "-o", "x.h5", "--split-name", "a/b"], "the split is 'a/b'; printable characters without '/'"),
        (["info", "h2.h5", "--system", "H3"], "has no system 'H3'; it has: H2"),
        (["finalize", "."], "is a folder"),
        (["split", "h2.h5", "--by", "random", "--seed", "-1"], "-1 is not in the range x>=0"),
        (["split", "h2.h5", "--by", "time", "--split-name", "."], "not beginning with '.'"),
        (["split", "h2.h5", "--by", "trajectory", "--val", "t0,t1", "--test", "t2,t3,t4"], "at least one to train on"),
        (["split", "h2.h5", "--by", "time", "--fractions", "1", "1", "1"], "with the sum 1"),
        (["split", "h2.h5", "--by", "time", "--val", "t1"], "goes with --by trajectory, not --by time"),
        (["split", "h2.h5", "--by", "time", "--seed", "1"], "--seed has no effect"),
        (["split", "h2.h5", "--by", "trajectory", "--val", "t9"], "no trajectory is called t9; the file has t0"),
        (["split", "h2.h5", "--by", "trajectory", "--val", "t1", "--fractions", "1", "0", "0"], "not both"),
    ],
)
def test_every_mistake_is_one_sentence_and_exit_code_2(tmp_path, source, mlff, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    mlff("import", source, "-o", "h2.h5")
    before = sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock")
    output = mlff(*arguments, code=2)
    assert words in output and "Traceback" not in output
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock") == before


def test_what_was_dropped_is_printed(tmp_path, source, mlff):
    source.write_text(source.read_text()[:-30])
    output = mlff("import", source, "-o", tmp_path / "h2.h5")
    assert "49 frames written" in output and re.search(r"! h2.xyz: line 197 to the end, line \d+: dropped", output)
    assert "nothing was written" in mlff("import", source, "-o", tmp_path / "strict.h5", "--strict", code=2)


def test_several_systems_are_a_line_each_and_one_is_shown_by_name(tmp_path, mlff):
    path, frame = tmp_path / "many.xyz", FRAME.format(e=-1, t="t0", time=0)
    path.write_text("".join(frame.replace("\nH", f"\n{symbol}").replace("t0", symbol) for symbol in ("He", "Ne", "Ar")))
    mlff("import", path, "-o", tmp_path / "many.h5")
    text = mlff("info", tmp_path / "many.h5")
    assert re.search(r"system +frames +trajectories +atoms +states +charge", text) and "--system NAME" in text
    assert re.search(r"\n  Ne2 +1 +1 +2 +1 +0\n", text) and "positions" not in text
    text = mlff("info", tmp_path / "many.h5", "--system", "Ne2")
    assert "system Ne2: 1 frame, 2 atoms, 1 state, charge 0, 1 trajectory" in text and "positions" in text


def test_a_report_of_many_runs_stays_a_screenful():
    from mlff.data.importers.report import ImportReport, Row

    figures = {"num_hops": 1.0, "smallest_distance": 0.9, "coupling_slope": 1.0, "soc_asymmetry": 1e-9, "force_fit": 1.0}
    rows = [Row(f"TRAJ_{k:05}", 100 + k, "crashed", figures) for k in range(300)]
    problems = [f"TRAJ_{k:05}: the run ended at step {k} of 300" for k in range(300)] + ["TRAJ_00007: one hop is odd"]
    notes = [f"TRAJ_{k:05}: {k} frames of SHARC" for k in range(300)]
    for width in (60, 80, 120):
        lines = ImportReport(notes, ["split 'given'"], problems, rows, 30_000).text(width=width).splitlines()
        assert len(lines) < 50 and all(len(line) <= width for line in lines if line[:4] in ("    ", "TRAJ") and ":" not in line)
        assert lines[0] == "TRAJ_00000: 0 frames of SHARC (and 299 more like this)"
        assert lines[-2:] == [
            "  ! TRAJ_00000: the run ended at step 0 of 300 (and 299 more like this)",
            "  ! TRAJ_00007: one hop is odd",
        ]
        assert any("h/nac" in line for line in lines) and any("soc asym" in line for line in lines)
        assert any("and 280 more trajectories" in line for line in lines)


def test_the_formats_are_those_of_the_importers():
    from mlff.data import importers

    assert tuple(importers.FORMATS) == FORMATS


def test_help_tells_every_option():
    for name in ("import", "info", "split"):
        assert CliRunner().invoke(command, [name, "--help"]).exit_code == 0
