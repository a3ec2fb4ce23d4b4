"""Statistics: reference energies to float64 accuracy, a warning where they cannot be known, force RMS with masks."""

import warnings

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.statistics import fit_atomic_energies, fit_dataset, force_rms

TRUE = {1: -13.6057, 6: -1030.5671, 8: -2042.6113}
MOLECULES = [np.array(z) for z in ([1, 1], [6, 1, 1, 1, 1], [8, 1, 1], [6, 8], [6, 8, 8], [1, 8])]


def total(numbers):
    return sum(TRUE[int(z)] for z in numbers)


def test_exact_energies_are_recovered():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_atomic_energies(MOLECULES, np.array([total(each) for each in MOLECULES]))
    assert fitted.determined and fitted.residual_rms < 1e-9
    assert fitted == pytest.approx(TRUE, abs=1e-9)


def test_the_fit_is_the_least_squares_of_all_frames():
    rng = np.random.default_rng(0)
    frames = [MOLECULES[k] for k in rng.integers(0, len(MOLECULES), 200)]
    energies = np.array([total(each) for each in frames]) + rng.normal(size=200)
    counts = np.array([[(each == z).sum() for z in TRUE] for each in frames], dtype=float)
    expected = np.linalg.lstsq(counts, energies, rcond=None)[0]
    assert list(fit_atomic_energies(frames, energies).values()) == pytest.approx(list(expected), abs=1e-9)


def test_one_composition_warns_and_still_gives_its_mean_energy():
    energies = np.array([-990.0, -992.0, np.nan])
    with pytest.warns(UserWarning, match="1 composition cannot determine .* Z = 1, 6, 7"):
        fitted = fit_atomic_energies([np.array([6, 7, 1, 1])] * 3, energies)
    assert not fitted.determined
    assert fitted[6] + fitted[7] + 2 * fitted[1] == pytest.approx(-991, abs=1e-9)
    assert sum(value**2 for value in fitted.values()) == pytest.approx(991**2 / 6)  # the smallest norm with this sum


def test_states_share_one_set():
    with pytest.warns(UserWarning):
        assert fit_atomic_energies([np.array([1, 6])], np.array([[-2.0, 0.0]]))[1] == pytest.approx(-0.5)


def test_no_energy_and_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="no frame has an energy"):
        fit_atomic_energies([np.array([1])], np.array([np.nan]))
    with pytest.raises(ValueError, match="1 compositions were given for 2 energies"):
        fit_atomic_energies([np.array([1])], np.zeros(2))


def test_a_dataset_is_fitted_on_the_frames_asked_for(azobenzene):
    train = azobenzene.split("time")["train"]
    with pytest.warns(UserWarning, match="1 composition"):
        fitted = fit_dataset(azobenzene, train)
    energies = azobenzene.batch(train).energy
    assert 12 * fitted[6] + 10 * fitted[1] + 2 * fitted[7] == pytest.approx(energies.mean(), abs=1e-8)
    assert fitted.residual_rms == pytest.approx(energies.std(), rel=1e-6)
    with pytest.warns(UserWarning):
        assert fit_dataset(azobenzene[train]) == fitted


def test_force_rms_leaves_out_what_is_masked(tmp_path, azobenzene):
    forces = azobenzene.batch(slice(None)).forces.astype(float)
    assert force_rms(azobenzene) == pytest.approx(np.sqrt((forces**2).mean()), rel=1e-9)
    with HDF5Writer(tmp_path / "masked.h5") as writer:
        writer.add_system("H", [1], num_states=2)
        values = np.full((2, 1, 2, 3), 2.0)
        values[0, :, 1] = np.nan
        writer.add_trajectory("H", {"positions": np.zeros((2, 1, 3)), "forces": values})
        writer.add_system("He", [2])
        writer.add_trajectory("He", {"positions": np.zeros((2, 1, 3))})
    dataset = HDF5Dataset(tmp_path / "masked.h5")
    assert force_rms(dataset) == 2
    with pytest.raises(ValueError, match="none of the 2 frames .* has forces"):
        force_rms(dataset, [2, 3])
