"""``mlff optimize``."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import read, write


def test_it_prints_a_summary_and_writes_the_relaxed_structure(working_folder, mlff):
    result = mlff("optimize", "model", "ethanol.xyz", "--fmax", "0.02")
    assert result.exit_code == 0, result.output
    for word in ("initial energy", "final energy", "final force", "RMSD", "steps", "ethanol-optimized.xyz"):
        assert word in result.stdout
    relaxed = read("ethanol-optimized.xyz")
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= 0.02
    assert f"{relaxed.get_potential_energy():.4f}" in result.stdout


def test_not_converged_is_exit_code_1_and_the_structure_is_kept(working_folder, mlff):
    result = mlff("optimize", "model", "ethanol.xyz", "--fmax", "1e-7", "--steps", "2", "-o", "out.xyz")
    assert result.exit_code == 1
    assert result.stderr.startswith("Not converged: after 2 steps the largest force is")
    assert len(read("out.xyz")) == 9


@pytest.mark.parametrize("optimizer", ["BFGS", "lbfgs", "FIRE"])
def test_options(working_folder, mlff, optimizer):
    result = mlff(
        "optimize", "model", "ethanol.xyz", "--fmax", "0.05", "--optimizer", optimizer, "--state", "1", "--dtype", "float32",
        "--device", "cpu", "--trajectory", "path.traj", "-o", "out.traj",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read("path.traj").get_potential_energy() == pytest.approx(read("out.traj").get_potential_energy())


def test_cell(working_folder, mlff):
    write("diamond.cif", bulk("C", cubic=True))
    result = mlff("optimize", "model", "diamond.cif", "--cell", "--steps", "3", "--fmax", "1e-6", "-o", "out.cif")
    assert result.exit_code == 1
    assert read("out.cif").cell.volume != pytest.approx(read("diamond.cif").cell.volume, rel=1e-4)


def test_a_frame_of_a_file(working_folder, mlff):
    write("two.xyz", [molecule("H2O"), molecule("CH4")])
    assert mlff("optimize", "model", "two.xyz@0", "--steps", "1").exit_code in (0, 1)
    assert read("two-optimized.xyz").get_chemical_formula() == "H2O"


def test_existing_output_is_kept_unless_asked(working_folder, mlff):
    (working_folder / "out.xyz").write_text("precious")
    command = ("optimize", "model", "ethanol.xyz", "--fmax", "0.05", "-o", "out.xyz")
    result = mlff(*command)
    assert result.exit_code == 2 and "`out.xyz` exists already" in result.stderr
    assert (working_folder / "out.xyz").read_text() == "precious"
    assert mlff(*command, "--overwrite").exit_code == 0
    assert len(read("out.xyz")) == 9


MISTAKES = [
    (("model", "nowhere.xyz"), "there is no structure file `nowhere.xyz`"),
    (("modle", "ethanol.xyz"), "called `modle`"),
    (("./modle", "ethanol.xyz"), "no checkpoint at `./modle`"),
    (("ethanol.xyz", "ethanol.xyz"), "no safetensors file"),
    (("model", "model"), "there is no structure file `model`"),
    (("model", "broken.xyz"), "`broken.xyz` could not be read as a structure"),
    (("model", "text.dat"), "`text.dat` could not be read as a structure"),
    (("model", "iron.xyz"), "not trained on Fe (atom 0 (Fe)); it knows H, C, O"),
    (("model", "two.xyz@:"), "names 2 structures"),
    (("model", "ethanol.xyz", "--state", "2"), "`state` is 2, but the model has the states 0 to 1"),
    (("model", "ethanol.xyz", "--cell"), "periodic along three axes"),
    (("model", "ethanol.xyz", "--device", "abacus"), "`device` is 'abacus'"),
    (("model", "ethanol.xyz", "--fmax", "0"), "`fmax` is 0"),
    (("model", "ethanol.xyz", "--steps", "-1"), "`steps` is -1"),
    (("model", "ethanol.xyz", "-o", "out.pdf"), "use .xyz, .extxyz, .traj or .cif"),
    (("model", "ethanol.xyz", "-o", "out.png"), "has a suffix that no structure is written to"),
    (("model", "ethanol.xyz", "-o", "no/where.xyz"), "folder of the output `no/where.xyz` does not exist"),
    (("model", "ethanol.xyz", "-o", "model"), "is a folder; give a file"),
    (("model", "ethanol.xyz", "-o", "ethanol.xyz", "--overwrite"), "is given twice or is the input itself"),
    (("model", "ethanol.xyz", "--trajectory", "a.dcd"), "use one of .traj, .xyz, .extxyz"),
    (("model", "ethanol.xyz", "--optimizer", "newton"), "'newton' is not one of"),
    (("model",), "Missing argument 'STRUCTURE'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_exit_code_2_and_no_file(working_folder, mlff, arguments, message):
    write("iron.xyz", molecule("H2O"))
    (working_folder / "iron.xyz").write_text("1\n\nFe 0 0 0\n")
    (working_folder / "broken.xyz").write_text("3\ncut\nC 0 0 0\n")
    (working_folder / "text.dat").write_text("hello")
    write("two.xyz", [molecule("H2O"), molecule("CH4")])
    before = sorted(working_folder.iterdir())
    result = mlff("optimize", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output and len(result.stderr.strip().splitlines()[-1]) < 600
    assert sorted(working_folder.iterdir()) == before
