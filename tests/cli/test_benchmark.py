"""``mlff benchmark``: real measurements of small models, and refusals before anything is measured."""

import json

import pytest
from click.testing import CliRunner

from mlff.cli.main import main

SMALL = "painn:num_features=8,num_layers=1"


def test_speed_is_measured_and_written(mlff, working_folder):
    result = mlff("benchmark", "speed", "--model", SMALL, "--workload", "ethanol.xyz", "--mode", "eager", "--training",
                  "--rounds", "2", "--steps", "1", "--json", "speed.json")  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads((working_folder / "speed.json").read_text())
    dynamics, training = document["results"]
    assert 0 < dynamics["processor_milliseconds"]["median"] < 1e4 and len(dynamics["samples"]["milliseconds"]) == 2
    assert dynamics["times_the_limit"] > 0 and dynamics["peak_megabytes"] > 50 and dynamics["atoms"] == 9
    assert training["kind"] == "training" and training["batch_size"] == 32 and training["frames_per_second"] > 0
    assert document["machine"]["gigaflop_per_second"] > 0 and document["machine"]["gigabytes_per_second"] > 0
    assert all(words in result.stdout for words in ("times the limit", "frames/s", "GFLOP/s in matrix products"))


def test_growth_of_a_checkpoint_is_drawn(mlff, working_folder):
    result = mlff("benchmark", "growth", "--model", "model", "--mode", "eager", "--sizes", "192,648",
                  "--rounds", "1", "-o", "growth.png")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (working_folder / "growth.png").stat().st_size > 10_000 and "time grows as N^" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["speed", "--model", "pain"], "pain"),
        (["speed", "--model", "painn:features=3"], "has no option 'features'"),
        (["speed", "--model", "painn:64"], "NAME:OPTION=VALUE"),
        (["speed", "--workload", "water-100"], "no whole water molecules"),
        (["speed", "--model", "azobenzene-egnn", "--workload", "water-24"], "has O, which azobenzene-egnn was not trained on"),
        (["speed", "--mode", "fast"], "there is no 'fast'; choose of eager, compiled, auto"),
        (["speed", "--device", "tpu"], "`device` is 'tpu'"),
        (["growth", "--sizes", "many"], "give numbers of atoms"),
        (["growth", "-o", "growth.txt"], "ends in .png, .pdf or .svg"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["benchmark", *arguments])
    assert result.exit_code == 2 and words in result.output, result.output
