"""``mlff md``."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import read, write

from mlff.models import model_config
from mlff.potential.checkpoint import save_potential
from mlff.potential.potential import Potential


def test_a_simulation_with_everything(working_folder, mlff):
    result = mlff(
        "md", "model", "ethanol.xyz", "--time", "20", "--temperature", "200", "--equilibrate", "5", "--seed", "3",
        "--plot", "energies.png", "-o", "run.traj", "--dtype", "float64",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "20 fs in 40 steps of 0.5 fs (nve, seed 3)" in result.stdout
    assert "meV/atom/ps, RMS" in result.stdout and "ns/day" in result.stdout
    assert len(read("run.traj", ":")) == 5
    assert (working_folder / "energies.png").read_bytes()[:4] == b"\x89PNG"
    table = np.loadtxt("run.csv", delimiter=",", skiprows=1)
    assert table.shape == (5, 6) and table[-1, 1] == 20
    assert sorted(path.name for path in working_folder.iterdir()) == [
        "energies.png", "ethanol.xyz", "model", "run.csv", "run.state.npz", "run.traj"
    ]  # fmt: skip


def test_restart_goes_on_exactly(working_folder, mlff):
    common = ("--ensemble", "langevin", "--seed", "1")
    assert mlff("md", "model", "ethanol.xyz", *common, "--steps", "20", "-o", "a.xyz").exit_code == 0
    result = mlff("md", "model", "ethanol.xyz", *common, "--steps", "40", "-o", "a.xyz", "--restart", "--plot", "a.png")
    assert result.exit_code == 0, result.output
    assert mlff("md", "model", "ethanol.xyz", *common, "--steps", "40", "-o", "b.xyz").exit_code == 0
    assert (working_folder / "a.xyz").read_text() == (working_folder / "b.xyz").read_text()
    again = mlff("md", "model", "ethanol.xyz", *common, "--steps", "40", "-o", "a.xyz", "--restart", "--timestep", "1")
    assert again.exit_code == 2 and "timestep 0.5 -> 1.0" in again.stderr


def test_velocities_of_the_structure_are_kept(working_folder, mlff):
    atoms = molecule("CH3CH2OH")
    atoms.set_velocities(np.full((9, 3), 0.01))
    write("moving.xyz", atoms)
    assert mlff("md", "model", "moving.xyz", "--steps", "0", "-o", "a.xyz").exit_code == 0
    np.testing.assert_allclose(read("a.xyz").get_momenta(), atoms.get_momenta(), atol=1e-7)
    assert mlff("md", "model", "ethanol.xyz", "--steps", "0").exit_code == 0
    assert read("ethanol-md.traj").get_temperature() > 50


def test_an_explosion_ends_with_its_reason_and_exit_code_1(working_folder, mlff):
    arguments = ("--steps", "100", "--max-temperature", "10", "--plot", "a.png", "--seed", "0")
    result = mlff("md", "model", "ethanol.xyz", *arguments)
    assert result.exit_code == 1
    assert result.stderr.strip().startswith("Stopped: the simulation exploded at step")
    assert len(read("ethanol-md.traj", ":")) >= 1


def test_existing_files_are_kept_unless_asked(working_folder, mlff):
    command = ("md", "model", "ethanol.xyz", "--steps", "10", "--plot", "a.png")
    assert mlff(*command).exit_code == 0
    kept = (working_folder / "ethanol-md.traj").read_bytes()
    result = mlff(*command)
    assert result.exit_code == 2 and "`ethanol-md.traj` exists already" in result.stderr
    assert (working_folder / "ethanol-md.traj").read_bytes() == kept
    assert mlff(*command, "--overwrite").exit_code == 0


def test_replicas_are_single_simulations_with_the_next_seeds(working_folder, mlff):
    common = ("--steps", "20", "--temperature", "200", "--dtype", "float64")
    result = mlff("md", "model", "ethanol.xyz", *common, "--replicas", "3", "--seed", "5", "--plot", "a.png", "-o", "a.xyz")
    assert result.exit_code == 0, result.output
    assert "3, seeds 5 to 7, nve, steps of 0.5 fs" in result.stdout and "a-00.xyz to a-02.xyz" in result.stdout
    assert (working_folder / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert mlff("md", "model", "ethanol.xyz", *common, "--seed", "6", "-o", "b.xyz").exit_code == 0
    np.testing.assert_allclose(read("a-01.xyz").positions, read("b.xyz").positions, atol=1e-7)
    again = mlff("md", "model", "ethanol.xyz", *common[2:], "--replicas", "3", "--steps", "40", "--restart", "-o", "a.xyz")
    assert again.exit_code == 0 and all(len(read(f"a-0{k}.xyz", ":")) == 5 for k in range(3))


def test_replicas_start_from_the_frames_of_a_file_in_turn(working_folder, mlff):
    mlff("md", "model", "ethanol.xyz", "--steps", "20", "-o", "starts.xyz", "--seed", "1")
    result = mlff("md", "model", "starts.xyz@0:2", "--replicas", "3", "--steps", "0", "-o", "a.traj", "--temperature", "9")
    assert result.exit_code == 0, result.output
    frames = read("starts.xyz", ":")
    for k, frame in enumerate((0, 1, 0)):
        np.testing.assert_allclose(read(f"a-0{k}.traj").positions, frames[frame].positions)


def test_a_replica_that_explodes_is_named_and_the_exit_code_is_1(working_folder, mlff):
    result = mlff("md", "model", "ethanol.xyz", "--replicas", "2", "--steps", "9", "--max-temperature", "10", "--seed", "0")
    assert result.exit_code == 1
    assert "Replica 00 stopped: the simulation exploded at step" in result.stderr and "Replica 01" in result.stderr


@pytest.fixture
def committee(working_folder):
    """``four`` in the working folder, two untrained members."""
    for number in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            model = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
            save_potential(Potential.build(model, species=(1, 6, 8), scale=0.3), working_folder / f"four/member-{number}")
    return working_folder


def test_a_committee_that_disagrees_ends_the_simulation_with_exit_code_1(committee, mlff):
    common = ("four", "ethanol.xyz", "--steps", "9", "--seed", "0", "--max-disagreement", "1e-4")
    result = mlff("md", *common, "-o", "a.xyz")
    assert result.exit_code == 1
    reason = "after step 0 (0 fs) the committee's forces deviate by more than 0.0001 eV/angstrom."
    assert result.stderr.strip() == f"Stopped: {reason}" and "a.xyz (1 frames)" in result.stdout
    assert len(read("a.xyz", ":")) == 1
    result = mlff("md", *common, "--replicas", "2", "-o", "b.xyz")
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines() == [f"Replica 0{k} stopped: {reason}" for k in range(2)]
    assert mlff("md", *common[:-1], "100", "--restart", "-o", "a.xyz").exit_code == 0


MISTAKES = [
    (("model", "nowhere.xyz"), "there is no structure file `nowhere.xyz`"),
    (("modle", "ethanol.xyz"), "called `modle`"),
    (("model", "ethanol.xyz", "--time", "5", "--steps", "5"), "give --time or --steps, not both"),
    (("model", "ethanol.xyz", "--time", "-5"), "--time is -5.0 fs"),
    (("model", "ethanol.xyz", "--steps", "-5"), "`steps` is -5"),
    (("model", "ethanol.xyz", "--timestep", "0"), "--timestep is 0.0 fs"),
    (("model", "ethanol.xyz", "--timestep", "nan", "--time", "1"), "--timestep is nan fs"),
    (("model", "ethanol.xyz", "--temperature", "-3"), "`temperature` is -3"),
    (("model", "ethanol.xyz", "--equilibrate", "-3"), "--equilibrate is -3.0 fs"),
    (("model", "ethanol.xyz", "--interval", "0"), "`interval` is 0"),
    (("model", "ethanol.xyz", "--friction", "0"), "`friction` is 0"),
    (("model", "ethanol.xyz", "--seed", "-1"), "`seed` is -1"),
    (("model", "ethanol.xyz", "--state", "7"), "`state` is 7"),
    (("model", "ethanol.xyz", "-o", "a.dcd"), "suffix '.dcd'"),
    (("model", "ethanol.xyz", "-o", "ethanol.xyz", "--overwrite"), "is given twice or is the input itself"),
    (("model", "ethanol.xyz", "--plot", "a.txt"), "suffix '.txt'; use .png"),
    (("model", "ethanol.xyz", "--max-disagreement", "0.5"), "one model cannot disagree with itself; give the folder of a"),
    (("model", "ethanol.xyz", "--max-disagreement", "-1"), "`max_disagreement` is -1.0; give a positive number"),
    (("model", "ethanol.xyz", "--replicas", "2", "--max-disagreement", "1"), "one model cannot disagree with itself"),
    (("model", "ethanol.xyz", "--restart"), "nothing to continue from"),
    (("model", "ethanol.xyz", "--ensemble", "npt"), "'npt' is not one of 'nve', 'langevin'"),
    (("model", "ethanol.xyz", "--replicas", "0"), "--replicas is 0; give 1 or more"),
    (("model", "ethanol.xyz@3:3", "--replicas", "2"), "`ethanol.xyz@3:3` names no structure"),
    (("model", "ethanol.xyz", "--replicas", "2", "--restart"), "nothing to continue from"),
    (("model", "close.xyz", "--replicas", "2"), "atoms 0 (H), 1 (H) are 0.01 angstrom apart"),
    (("model", "close.xyz"), "atoms 0 (H), 1 (H) are 0.01 angstrom apart"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_exit_code_2_and_no_file(working_folder, mlff, arguments, message):
    (working_folder / "close.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.01\n")
    before = sorted(working_folder.iterdir())
    result = mlff("md", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert sorted(working_folder.iterdir()) == before
