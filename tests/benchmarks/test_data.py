"""The benchmark of data: what it compares, and that it compares the same numbers. How fast is not asserted."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlff.benchmarks import data as benchmark
from mlff.benchmarks.data import Comparison, batch_comparisons, compare, xyz_comparison
from mlff.benchmarks.spread import Spread
from mlff.cli.main import main

FRAME = "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy={e}\nH 0 0 {x} 0.5 0 0\nH 0 0 1 -0.5 0 0\n"


@pytest.fixture(autouse=True)
def two_rounds(monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 2)


def test_a_goal_is_reached_above_it_and_a_limit_below_it():
    three = Spread(3.0, 2.9, 3.1)
    assert Comparison("", three, three, "", three, goal=2).reached
    assert not Comparison("", three, three, "", three, goal=4).reached
    assert Comparison("", three, three, "", three, goal=4, limit=True).reached


def test_what_takes_longer_has_the_larger_time():
    quick, slow = (lambda: sum(range(10_000))), (lambda: sum(range(400_000)))
    assert compare("", quick, slow, frames=1, unit="us/frame", goal=1).ratio.median > 2
    assert compare("", quick, slow, frames=1, unit="us/frame", goal=1, limit=True).ratio.median < 0.5


def test_batches_are_compared_on_a_file_of_ones_own(tmp_path):
    names = [each.name for each in batch_comparisons(tmp_path, None, 1000)]
    assert len(names) == 2 and "h5py" in names[0] and "numpy" in names[1]
    file = tmp_path / "frames.h5"
    assert len(list(batch_comparisons(tmp_path, file, 0))) == 2


def test_the_command_prints_and_writes_what_it_measured(tmp_path):
    path, out = tmp_path / "h2.xyz", tmp_path / "figures.json"
    path.write_text("".join(FRAME.format(e=-30 - k, x=-k / 100) for k in range(50)))
    arguments = ["benchmark", "data", "--frames", 1000, "--xyz", path, "--json", out]
    result = CliRunner().invoke(main, [str(each) for each in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "ase.io.iread" in result.output and "--sharc RUN" in result.output
    rows = json.loads(out.read_text())["comparisons"]
    assert len(rows) == 3 and all(row["ratio"]["median"] > 0 for row in rows)
    missing = CliRunner().invoke(main, ["benchmark", "data", "--xyz", str(tmp_path / "none.xyz")])
    assert missing.exit_code == 2 and "there is no file" in missing.output


@pytest.mark.parametrize("change", [lambda energy: energy + 1, lambda energy: None])
def test_numbers_that_differ_from_those_of_ase_are_told(tmp_path, monkeypatch, change):
    path = tmp_path / "h2.xyz"
    path.write_text(FRAME.format(e=-30, x=0))
    real = benchmark.HDF5Dataset

    class Wrong(real):
        def frame(self, index):
            frame = super().frame(index)
            object.__setattr__(frame, "energy", change(frame.energy))
            return frame

    monkeypatch.setattr(benchmark, "HDF5Dataset", Wrong)
    with pytest.raises(ValueError, match="differ from those that ASE reads"):
        xyz_comparison(tmp_path, path)
    assert np.isfinite(real(tmp_path / "xyz.h5")[0].energy).all()


def test_forces_that_ase_has_no_name_for_are_not_compared(tmp_path):
    path = tmp_path / "h2.xyz"
    path.write_text('2\nenergy=-30 Properties=species:S:1:pos:R:3:force:R:3 pbc="F F F"\nH 0 0 0 0 0 0\nH 0 0 0.8 0 0 0\n')
    assert xyz_comparison(tmp_path, path).ratio.median > 0
