"""``mlff vibrations``."""

import warnings

import numpy as np
import pytest
import torch
from ase.io import read

from mlff.dynamics import hessian, normal_modes
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential
from mlff.units import BOHR


def test_a_table_a_molden_file_and_arrays(working_folder, mlff):
    result = mlff("vibrations", "model", "ethanol.xyz", "--hessian", "a.npz", "--state", "1")
    assert result.exit_code == 0, result.output
    table = [line.split() for line in result.stdout.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert len(table) == 21 and "zero-point energy" in result.stdout
    with np.load("a.npz") as file:
        arrays = dict(file)
    assert arrays["hessian"].shape == (27, 27) and arrays["modes"].shape == (21, 9, 3)
    np.testing.assert_allclose([float(row[1]) for row in table], arrays["frequencies"], atol=0.051)
    assert "is no minimum" in result.stderr and "--relax" in result.stderr
    assert sorted(path.name for path in working_folder.iterdir()) == ["a.npz", "ethanol.molden", "ethanol.xyz", "model"]

    sections = (working_folder / "ethanol.molden").read_text().split("[")
    named = {section.partition("]")[0]: section.partition("]")[2].splitlines()[1:] for section in sections[1:]}
    np.testing.assert_allclose([float(line) for line in named["FREQ"]], arrays["frequencies"], atol=1e-6)
    places = np.array([line.split()[1:] for line in named["FR-COORD"]], dtype=float) * BOHR
    np.testing.assert_allclose(places, arrays["positions"], atol=1e-8)
    last = np.array([line.split() for line in named["FR-NORM-COORD"][-9:]], dtype=float)
    moved = arrays["modes"][-1] / np.sqrt(arrays["masses"])[:, None]
    np.testing.assert_allclose(last, moved / np.linalg.norm(moved), atol=1e-8)


def test_a_committee_gives_the_modes_of_its_mean_and_how_far_its_members_agree(working_folder, mlff):
    first = load_potential("model").double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        second = Potential(first.config).double()
    for number, potential in enumerate((first, second)):
        save_potential(potential, f"two/member-{number}")
    result = mlff("vibrations", "two", "ethanol.xyz", "--hessian", "two.npz")
    assert result.exit_code == 0, result.output
    table = [line.split() for line in result.stdout.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    atoms = read("ethanol.xyz")
    hessians = [hessian(each, atoms) for each in (first, second)]
    modes = normal_modes(np.mean(hessians, axis=0), atoms.get_masses(), atoms.positions)
    spread = np.std([modes.frequencies_in(each) for each in hessians], axis=0, ddof=1)
    with np.load("two.npz") as file:
        np.testing.assert_allclose(file["frequencies"], modes.frequencies, atol=1e-6)
        np.testing.assert_allclose(file["frequencies_uncertainty"], spread, atol=1e-6)
    np.testing.assert_allclose([[float(each) for each in row[1:3]] for row in table],
                               np.stack([modes.frequencies, spread], axis=1), atol=0.051)  # fmt: skip
    assert spread.max() > 1


def test_frequencies_that_no_molecule_has_are_warned_of(working_folder, mlff):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mlff("vibrations", "model", "ethanol.xyz").exit_code == 0
    potential = load_potential("model")
    stiff = Potential(potential.config.model_copy(update={"scale": 1000.0}))
    stiff.load_state_dict(potential.state_dict())
    save_potential(stiff, "stiff")
    with pytest.warns(UserWarning, match="of the 21 frequencies, up to .* lie above .* Train the model longer"):
        assert mlff("vibrations", "stiff", "ethanol.xyz", "--overwrite").exit_code == 0


def test_existing_files_are_kept_unless_asked(working_folder, mlff):
    assert mlff("vibrations", "model", "ethanol.xyz").exit_code == 0
    kept = (working_folder / "ethanol.molden").read_bytes()
    result = mlff("vibrations", "model", "ethanol.xyz")
    assert result.exit_code == 2 and "`ethanol.molden` exists already" in result.stderr
    assert (working_folder / "ethanol.molden").read_bytes() == kept
    assert mlff("vibrations", "model", "ethanol.xyz", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model", "nowhere.xyz"), "there is no structure file `nowhere.xyz`"),
        (("modle", "ethanol.xyz"), "called `modle`"),
        (("model", "ethanol.xyz", "--state", "7"), "`state` is 7"),
        (("model", "ethanol.xyz", "--hessian", "a.txt"), "suffix '.txt'; use .npz"),
        (("model", "ethanol.xyz", "-o", "ethanol.xyz", "--overwrite"), "is given twice or is the input itself"),
        (("model", "nitrogen.xyz"), "not trained on N"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2_and_no_file(working_folder, mlff, arguments, message):
    (working_folder / "nitrogen.xyz").write_text("2\n\nN 0 0 0\nN 0 0 1.1\n")
    before = sorted(working_folder.iterdir())
    result = mlff("vibrations", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert sorted(working_folder.iterdir()) == before
