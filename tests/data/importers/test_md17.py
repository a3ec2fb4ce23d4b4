"""MD17 and revised MD17: units, keys of both, and what is said of files that are neither."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.units import BOHR, HARTREE, KCAL_PER_MOL

NUMBERS = np.array([8, 1, 1])
RNG = np.random.default_rng(0)
POSITIONS = RNG.normal(size=(5, 3, 3))
ENERGIES = RNG.normal(size=5) - 47_000.0
FORCES = RNG.normal(size=(5, 3, 3))


def revised(path, **changes):
    arrays = {"nuclear_charges": NUMBERS, "coords": POSITIONS, "energies": ENERGIES, "forces": FORCES,
              "old_indices": np.arange(5), "old_energies": ENERGIES, "old_forces": FORCES} | changes  # fmt: skip
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def imported(source, tmp_path):
    import_sources([source], tmp_path / "out.h5")
    return HDF5Dataset(tmp_path / "out.h5")


def test_kcal_per_mol_becomes_ev(tmp_path):
    dataset = imported(revised(tmp_path / "rmd17_water.npz"), tmp_path)
    assert len(dataset) == 5 and dataset.systems[0].level_of_theory == "PBE/def2-SVP"
    for index in range(5):
        frame = dataset[index]
        np.testing.assert_array_equal(frame.atomic_numbers, NUMBERS)
        np.testing.assert_allclose(frame.positions, POSITIONS[index], rtol=0, atol=1e-12)
        np.testing.assert_allclose(frame.energy, [ENERGIES[index] * KCAL_PER_MOL], rtol=1e-14)
        np.testing.assert_allclose(frame.forces[:, 0], FORCES[index] * KCAL_PER_MOL, rtol=1e-6)


def test_forces_stay_the_derivative_in_every_unit(tmp_path):
    """A harmonic spring from the origin, F = -k x and E = k x^2 / 2, in hartree and bohr."""
    positions = POSITIONS / BOHR
    energies, forces = 0.5 * 0.3 * np.square(positions).sum((1, 2)), -0.3 * positions
    np.savez(tmp_path / "water.npz", z=NUMBERS, R=positions, E=energies[:, None], F=forces, e_unit="Hartree", r_unit="bohr")
    dataset = imported(tmp_path / "water.npz", tmp_path)
    spring = 0.3 * HARTREE / BOHR**2  # eV/angstrom^2
    frame = dataset[2]
    np.testing.assert_allclose(frame.forces[:, 0], -spring * frame.positions, rtol=1e-6)
    np.testing.assert_allclose(frame.energy, 0.5 * spring * np.square(frame.positions).sum(), rtol=1e-12)


def test_frames_without_a_geometry_are_dropped_and_told(tmp_path):
    positions = POSITIONS.copy()
    positions[1, 0, 0] = np.nan
    report = import_sources([revised(tmp_path / "a.npz", coords=positions)], tmp_path / "out.h5")
    assert report.num_frames == 4 and "1 frames dropped" in report.problems[0]


def test_it_is_recognised_by_its_arrays(tmp_path):
    assert recognise(revised(tmp_path / "a.npz")) == "md17"
    np.savez(tmp_path / "other.npz", positions=POSITIONS)
    with pytest.raises(ValueError, match="is not known"):
        recognise(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"forces": FORCES[:, :2]}, r"`forces` has the shape \(5, 2, 3\); \(5, 3, 3\)"),
        ({"energies": ENERGIES[:4]}, "`energies` has 4 values for 5 frames"),
        ({"coords": POSITIONS[:, 0]}, "`coords` has the shape"),
        ({"e_unit": np.array("furlong")}, "`e_unit` is 'furlong'; one of kcal/mol, ev"),
        ({"forces": np.array([{}] * 5, dtype=object)}, "."),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        imported(revised(tmp_path / "a.npz", **changes), tmp_path)
    assert not (tmp_path / "out.h5").exists()


def test_a_file_cut_short_is_told(tmp_path):
    path = revised(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError):
        imported(path, tmp_path)
