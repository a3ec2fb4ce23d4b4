"""``mlff namd`` and ``mlff optimize --meci``."""

import json

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import read, write

from mlff.data import HDF5Dataset
from mlff.models import model_config
from mlff.potential.checkpoint import save_potential
from mlff.potential.potential import Potential

FAST = ("--device", "cpu", "--time", "1", "--dtype", "float64", "--max-energy-jump", "1e6")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with ``states``, an untrained model of CH2NH2+ with three states and couplings, and frames."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
        potential = Potential.build(
            model, species=(1, 6, 7), scale=0.3, num_states=3, zbl=True, multiplicities=(1, 1, 1), couplings="interstate",
            dipole_pairs=((0, 1), (0, 2)), total_charge=1.0,
        )  # fmt: skip
    save_potential(potential, tmp_path / "states")
    ethylene = molecule("C2H4")
    ethylene.set_atomic_numbers([7, *ethylene.numbers[1:]])
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        frame = ethylene.copy()
        frame.positions += 0.05 * rng.standard_normal((6, 3))
        frames.append(frame)
    write(tmp_path / "frames.xyz", frames)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_from_frames_its_files_and_its_resumption(folder, mlff):
    result = mlff("namd", "states", "--initial", "frames.xyz", "--start-state", "2", "--trajectories", "5", "--out", "run",
                  "--yield", "near: distance(0,1) < 3", *FAST)  # fmt: skip
    assert result.exit_code == 0, result.output
    source = "5 of 4 frames of frames.xyz, velocities at 300 K"
    for words in (source, "trajectories    5: 5 complete", "total energy", "  near"):
        assert words in result.stdout
    dataset = HDF5Dataset("run/trajectories.h5")
    system = dataset.systems[0]
    assert [each.count for each in dataset.trajectories] == [3] * 5 and system.charge == 1.0
    assert system.nac_pairs == ((0, 1), (0, 2), (1, 2)) and system.has("dipole")
    total = system.read("kinetic_energy") + system.read("energy")[np.arange(15), system.read("active_state")]
    assert np.abs(total.reshape(5, 3) - total.reshape(5, 3)[:, :1]).max() < 0.05
    result = mlff("namd", "--resume", "run", "--time", "1.5", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "  near" in result.stdout  # the run remembers its products
    assert [each.count for each in HDF5Dataset("run/trajectories.h5").trajectories] == [4] * 5
    result = mlff("namd", "--analyse", "run", "--out", "again", "--yield", "far: distance(0,1) > 3")
    assert result.exit_code == 0 and "  far" in result.stdout
    assert json.loads((folder / "run" / "run.json").read_text())["about"]["dtype"] == "float64"


def test_a_window_picks_states_by_oscillator_strength_and_methods_run(folder, mlff):
    common = ("namd", "states", "--initial", "frames.xyz", "--trajectories", "3", *FAST)
    result = mlff(*common, "--window", "0", "100", "--candidates", "12", "--out", "bright")
    words = "excited by 0 to 100 eV, picked by oscillator strength among 12 geometries"
    if result.exit_code == 0:
        assert words in result.stdout
    else:  # an untrained model may have its states upside down
        assert "can be picked between 0 and 100 eV" in result.stderr or "fewer than the 3 trajectories" in result.stderr
    for method in (("lz",), ("fssh", "--couplings", "curvature"), ("adiabatic",)):
        result = mlff(*common, "--start-state", "1", "--method", *method, "--out", method[-1])
        assert result.exit_code == 0, result.output


def test_a_crossing_is_written_with_its_energies(folder, mlff):
    result = mlff("optimize", "states", "frames.xyz", "--meci", "0,1", "--steps", "3", "--device", "cpu", "-o", "meci.xyz")
    assert result.exit_code in (0, 1), result.output
    assert "energy of 2" in result.stdout and "(states 0 and 1)" in result.stdout
    assert len(read("meci.xyz")) == 6


MISTAKES = [
    ((), "give a MODEL, or --resume RUN, or --analyse RUN"),
    (("states", "--initial", "none.xyz"), "`none.xyz` is neither `wigner` nor `thermal` nor a file of structures"),
    (("states",), "`states` is no folder of a training run"),
    (("states", "--initial", "frames.xyz"), "say in which state to begin (--start-state)"),
    (("states", "--initial", "frames.xyz", "--start-state", "3"), "the potential has the states 0 to 2"),
    (("states", "--initial", "frames.xyz", "--start-state", str(10**20)), "the potential has the states 0 to 2"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--trajectories", "0"), "--trajectories is 0"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--first-trajectory", str(10**20)), "is not in the range"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--time", "inf"), "--time is inf; give a positive time"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--time", "0"), "--time is 0; give a positive time"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--max-disagreement", "1"), "one model cannot disagree with"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--timestep", "0"), "`timestep` is 0.0"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--yield", "x"), "names no product"),
    (("states", "--initial", "frames.xyz", "--start-state", "1", "--out", "states"), "`states` exists already"),
    (("one", "--initial", "frames.xyz"), "`one` has one electronic state"),
    (("--resume", "states"), "there is no run of surface hopping in `states`"),
    (("--analyse", "states"), "there is no run of surface hopping in `states`"),
    (("--analyse", "none.h5"), "there is no file"),
    (("--analyse", "frames.xyz"), "give the folder for tables and pictures with --out"),
    (("--resume", "a", "--analyse", "b"), "not both"),
]


@pytest.mark.parametrize("arguments, words", MISTAKES)
def test_mistakes_end_in_sentences(folder, mlff, arguments, words):
    if arguments and arguments[0] == "one":
        model = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
        save_potential(Potential.build(model, species=(1, 6, 7)), folder / "one")
    result = mlff("namd", *FAST, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not (folder / "states-namd").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--meci", "0"), "give two states, counted from 0, such as 0,1"),
        (("--meci", "0,3"), "the potential has the states 0 to 2"),
        (("--meci", "0,1", "--cell"), "neither --cell nor --trajectory nor --state"),
    ],
)
def test_wrong_crossings_end_in_sentences(folder, mlff, arguments, words):
    result = mlff("optimize", "states", "frames.xyz", *arguments, "--device", "cpu")
    assert result.exit_code == 2 and words in " ".join(result.stderr.split())
