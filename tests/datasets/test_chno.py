"""The corpus of small molecules: what it holds, that its labels are GFN2-xTB's, and that the commands know it by its word."""

import re

import numpy as np
import pytest
from ase.data import covalent_radii
from click.testing import CliRunner

from mlff.cli.main import main
from mlff.datasets import EMBEDDED, chno
from mlff.train.prepare import open_dataset


@pytest.fixture(scope="module")
def corpus():
    return chno()


def test_molecules_are_small_and_of_four_elements(corpus):
    assert len(corpus.trajectories) == 2000
    for system in corpus.systems:
        assert set(system.atomic_numbers.tolist()) <= {1, 6, 7, 8}
        assert (system.atomic_numbers > 1).sum() <= 9
        assert (system.charge, system.level_of_theory) == (0.0, "GFN2-xTB")


def test_azobenzene_is_not_among_them(corpus):
    assert not [system for system in corpus.systems if (system.atomic_numbers > 1).sum() >= 14]
    assert not [each.name for each in corpus.trajectories if re.search(r"c1ccccc1.*N=N.*c1ccccc1", each.name)]


def test_every_frame_is_labelled(corpus):
    for system in corpus.systems:
        assert system.read("energy_valid").all() and system.read("forces_valid").all()
        assert np.abs(system.read("forces").sum(axis=1)).max() < 1e-3  # eV/angstrom: no net force
    (told,) = corpus.report  # a hot frame
    assert "SCF not converged" in told


def test_every_molecule_has_a_relaxed_frame_and_hot_ones(corpus):
    relaxed = corpus.select(max_force=0.05)
    names = {frame.trajectory for frame in relaxed[:: max(1, len(relaxed) // 50)]}
    assert len(names) > 40
    assert len(relaxed) >= len(corpus.trajectories)
    assert len(corpus) == len(relaxed) + 2 * len(corpus.trajectories) - len(corpus.report)


def test_no_atoms_overlap(corpus):
    for k in range(0, len(corpus), 97):
        atoms = corpus[k].to_ase()
        distances = atoms.get_all_distances() + 9 * np.eye(len(atoms))
        radii = covalent_radii[atoms.numbers]
        assert (distances > 0.6 * (radii[:, None] + radii[None, :])).all()


def test_splits_hold_whole_molecules_out(corpus):
    split = corpus.split("trajectory")
    assert sum(len(part) for part in split.values()) == len(corpus)
    held = {name: {corpus[int(k)].trajectory for k in indices[::20]} for name, indices in split.items()}
    assert not held["train"] & held["test"] and not held["val"] & held["test"]


def test_labels_are_those_of_gfn2_xtb(corpus):
    tblite = pytest.importorskip("tblite.ase")
    for k in (0, len(corpus) // 2, len(corpus) - 1):
        frame = corpus[k]
        atoms = frame.to_ase()
        atoms.calc = tblite.TBLite(method="GFN2-xTB", verbosity=0)
        assert atoms.get_potential_energy() == pytest.approx(frame.energy[0], abs=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), frame.forces[:, 0], atol=1e-4)


def test_the_words_stand_for_the_sets_of_the_package(corpus):
    assert set(EMBEDDED) == {"azobenzene", "ch2nh2", "chno"}
    assert open_dataset("chno").path == corpus.path
    assert len(open_dataset("chno", "azobenzene")) == len(corpus) + 2194
    result = CliRunner().invoke(main, ["data", "info", "chno"])
    assert result.exit_code == 0 and f"{len(corpus):,} frames" in result.output
