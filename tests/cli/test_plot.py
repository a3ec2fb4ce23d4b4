"""The command that draws a data file, as a user types it."""

import numpy as np
import pytest

from mlff.data import HDF5Writer


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    with HDF5Writer("two.h5") as writer:
        writer.add_system("HF", [1, 9], num_states=2)
        writer.add_system("H", [1])
        frames = {
            "positions": random.normal(size=(20, 2, 3)) * 0.05 + [[0, 0, 0], [0, 0, 0.9]], "time": np.arange(20.0),
            "energy": random.normal(size=(20, 2)), "active_state": np.arange(20) // 10, "forces": np.ones((20, 2, 2, 3)),
        }  # fmt: skip
        writer.add_trajectory("HF", frames, name="a")
        writer.add_trajectory("HF", frames, name="b")
        writer.add_trajectory("H", {"positions": np.zeros((1, 1, 3)), "energy": [[-0.5]]}, name="atom")
    return tmp_path / "two.h5"


def test_every_picture_that_the_frames_allow_is_drawn_and_the_others_are_named(file, mlff):
    result = mlff("data", "plot", file)
    drawn = sorted(path.name for path in (file.parent / "two-plots").iterdir())
    kinds = ("coordinates", "energies", "forces", "gaps", "populations")
    assert drawn == ["H-energies.png", *(f"HF-{kind}.png" for kind in kinds)]
    assert all((file.parent / "two-plots" / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
    for line in (
        "two-plots/HF-energies.png: Energies of 2 states along 2 trajectories",
        "two-plots/HF-coordinates.png: 1 internal coordinate along 2 trajectories",
        "left out: coordinates of H: one atom has no internal coordinate",
        "left out: gaps of H: there is one state",
    ):
        assert line in result.output


def test_trajectories_kinds_coordinates_and_formats_are_chosen(file, mlff):
    result = mlff(
        "data", "plot", file, "-o", "some", "--trajectory", "a", "--kind", "coordinates,energies", "--internal", "0-1",
        "--format", "svg",
    )  # fmt: skip
    assert result.exit_code == 0
    assert sorted(path.name for path in (file.parent / "some").iterdir()) == ["HF-coordinates.svg", "HF-energies.svg"]
    text = (file.parent / "some" / "HF-coordinates.svg").read_text()
    assert "Distance H0–F1" in text and "1 internal coordinate along 1 trajectory" in text


def test_pictures_are_not_replaced_by_accident(file, mlff):
    assert mlff("data", "plot", file, "--kind", "gaps").exit_code == 0
    result = mlff("data", "plot", file)
    assert result.exit_code == 2 and "gaps.png exists already" in result.output and "--overwrite" in result.output
    assert len(list((file.parent / "two-plots").iterdir())) == 1
    assert mlff("data", "plot", file, "--kind", "gaps", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "enrgies"], "there is no picture 'enrgies'; there are: energies, gaps"),
        (["--trajectory", "c"], "has no trajectory 'c'; it has: a, b, atom"),
        (["--internal", "0-7"], "different atoms counted from 0 to 1"),
        (["--internal", "01"], "counted from 0, such as 0-5"),
        (["--trajectory", "atom", "--kind", "gaps,forces"], "no picture could be drawn"),
        (["-o", "two.h5"], "is a file; name a folder"),
        (["--format", "gif"], "gif"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(file, mlff, options, words):
    result = mlff("data", "plot", file, *options)
    assert result.exit_code == 2 and words in " ".join(result.output.split())
    assert not (file.parent / "two-plots").exists()


def test_the_kinds_and_formats_of_the_help_are_those_that_exist():
    from mlff.cli.data.plot import KINDS, command
    from mlff.data.plots import KINDS as DRAWN
    from mlff.figure import FORMATS

    assert KINDS == DRAWN
    assert next(each for each in command.params if each.name == "format_").type.choices == FORMATS
