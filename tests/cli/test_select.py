"""``mlff select``, and the loop that it is a part of."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import read, write

from mlff.data import HDF5Dataset
from mlff.models import model_config
from mlff.potential.checkpoint import save_potential
from mlff.potential.potential import Potential

SMALL = ("data.validation_frames=4", "model.num_features=8", "model.num_layers=1", "model.cutoff=3.0", "epochs=2",
         "batch_size=4", "accelerator=cpu", "num_threads=1")  # fmt: skip


def waters(count, width, seed=0):
    rng, frames = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = molecule("H2O")
        atoms.positions += width * rng.normal(size=(3, 3))
        frames.append(atoms)
    return frames


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with ``four/``, an untrained committee of two members and two states, and structures of water."""
    for number in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            model = model_config("painn", num_features=8, num_layers=1, cutoff=3.0)
            save_potential(Potential.build(model, species=(1, 8), scale=0.5, num_states=2), tmp_path / f"four/member-{number}")
    write(tmp_path / "many.xyz", waters(12, 0.05))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_structures_are_picked_and_told(folder, mlff):
    told = mlff("select", "four", "many.xyz", "-o", "next.xyz", "--count", "3", "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert "disagreement    forces, eV/Å: median" in told.stdout and "structures      12: 12 in the window" in told.stdout
    assert "3 structures written to next.xyz" in told.stdout and "many.xyz, " in told.stdout and "gap eV" in told.stdout
    assert len(read("next.xyz", index=":")) == 3
    again = mlff("select", "four/member-0", "many.xyz", "--with", "four/member-1", "-o", "next.xyz", "--overwrite",
                 "--count", "30", "--by", "gap", "--states", "0,", "--device", "cpu")  # fmt: skip
    assert again.exit_code == 0, again.output
    assert "disagreement    gap, eV" in again.stdout and "fewer than asked for" in again.stderr


def test_a_number_of_states_is_how_many_from_the_first(folder, mlff):
    picked = {}
    for states in ("1", "0,", "2", "0,1", "1,"):
        told = mlff("select", "four", "many.xyz", "-o", "next.xyz", "--states", states, "--count", "1", "--overwrite",
                    "--by", "energy", "--device", "cpu")  # fmt: skip
        assert told.exit_code == 0, told.output
        picked[states] = next(line for line in told.stdout.splitlines() if line.startswith("disagreement"))
    assert picked["1"] == picked["0,"] and picked["2"] == picked["0,1"]
    assert len({picked["1"], picked["2"], picked["1,"]}) >= 2


def test_a_run_of_surface_hopping_that_stopped_where_the_members_disagree(folder, mlff):
    hop = ("namd", "four", "--initial", "many.xyz", "--start-state", "1", "--trajectories", "4", "--time", "2", "--couplings",
           "curvature", "--max-energy-jump", "1e6", "--interval", "3", "--device", "cpu")  # fmt: skip
    stopped = mlff(*hop, "--out", "hop", "--max-disagreement", "1e-4")
    assert stopped.exit_code == 1 and "4 stopped early" in stopped.stdout
    assert "stopped after step 1: the committee's forces deviate by more than 0.0001" in stopped.stderr
    dataset = HDF5Dataset("hop/trajectories.h5")
    assert [each.count for each in dataset.trajectories] == [2] * 4  # the start, and the frame where it stopped
    assert len(read("hop/stopped.xyz", index=":")) == 4
    told = mlff("select", "four", "hop", "-o", "next.xyz", "--count", "8", "--min-disagreement", "1e-4", "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert "trajectory-00000, step 1" in told.stdout and len(read("next.xyz", index=":")) == 8


def test_from_disagreement_to_a_model_that_learned(mlff, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("known.xyz", waters(12, 0.02))
    write("hot.xyz", [*waters(10, 0.02, seed=1), *waters(2, 0.2, seed=2)])

    def done(*arguments):
        result = mlff(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    calculator = ("--calculator", "lj", "--set", "sigma=1.0")
    done("label", "known.xyz", "-o", "data.h5", *calculator)
    done("data", "split", "data.h5", "--by", "random", "--fractions", "0.6", "0.2", "0.2")
    train = ("train", "--data", "data.h5", "--model", "painn", *SMALL)
    done(*train, "--committee", "2", "--out", "first")
    done("select", "first", "hot.xyz", "-o", "next.xyz", "--count", "4", "--device", "cpu")
    picked = read("next.xyz", index=":")
    assert {10, 11} <= {atoms.info["place"] for atoms in picked}  # those far from what was learned
    done("label", "next.xyz", "-o", "data.h5", "--append", *calculator)
    dataset = HDF5Dataset("data.h5")
    assert len(dataset) == 16 and len(dataset.systems) == 1
    np.testing.assert_allclose(dataset.systems[0].read("positions")[12:], [atoms.positions for atoms in picked], atol=1e-7)
    done("data", "split", "data.h5", "--by", "random", "--fractions", "0.6", "0.2", "0.2", "--overwrite")
    done("train", "--data", "data.h5", "--init-from", "first/member-0", "epochs=1", "batch_size=4", "accelerator=cpu",
         "num_threads=1", "--out", "second")  # fmt: skip
    assert "forces" in done("select", "first/member-0", "hot.xyz", "--with", "second", "-o", "more.xyz", "--device", "cpu")


def test_mistakes_end_in_a_sentence(folder, mlff):
    (folder / "empty").mkdir()
    for arguments, sentence in {
        ("four/member-0", "many.xyz", "-o", "next.xyz"): "one model cannot disagree with itself; give the folder of",
        ("four", "none.xyz", "-o", "next.xyz"): "there is no file none.xyz",
        ("four", "empty", "-o", "next.xyz"): "there is no run of surface hopping in `empty`",
        ("four", "many.xyz", "-o", "next.h5"): "`next.h5` does not end in .xyz or .extxyz",
        ("four", "many.xyz", "-o", "many.xyz"): "many.xyz exists already; choose another name, or give `--overwrite`",
        ("four", "many.xyz", "-o", "no/next.xyz"): "the folder no does not exist; make it first",
        ("four", "many.xyz", "-o", "next.xyz", "--states", "a"): "--states is 'a'; write how many, from the first,",
        ("four", "many.xyz", "-o", "next.xyz", "--states", "0"): "write `0,` with a comma",
        ("four", "many.xyz", "-o", "next.xyz", "--states", "3"): "`states` are [0, 1, 2]; the models have the states 0 to 1",
        ("four", "many.xyz", "-o", "next.xyz", "--states", "2,"): "`states` are [2]; the models have the states 0 to 1",
        ("four", "many.xyz", "-o", "next.xyz", "--count", "0"): "`count` is 0; give a whole number, 1 or more",
        ("four", "many.xyz", "-o", "next.xyz", "--min-disagreement", "99"): "no disagreement of the 12 structures is between",
    }.items():
        result = mlff("select", *arguments, "--device", "cpu")
        assert result.exit_code == 2 and sentence in " ".join(result.output.split()), result.output
        assert not (folder / "next.xyz").exists()
