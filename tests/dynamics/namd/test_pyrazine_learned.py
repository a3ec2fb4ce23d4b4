"""The comparison of benchmarks/pyrazine_learned.py: what its frames say, and how it counts."""

import numpy as np
import pytest

from benchmarks import pyrazine_learned as benchmark
from mlff.data import HDF5Dataset
from mlff.dynamics.namd.analytic import TurningPotential, pyrazine


def test_frames_of_the_vibronic_model_are_those_of_a_function_of_the_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "DURATION", 20.0)
    benchmark.write_frames(tmp_path / "frames.h5", 10, 10)
    dataset = HDF5Dataset(tmp_path / "frames.h5")
    (system,) = dataset.systems
    assert len(dataset) == 50 and dataset.splits == ("trajectory",) and system.nac_pairs == ((0, 1),)
    positions, forces = system.read("positions"), system.read("forces").astype(float)
    coupling = system.read("interstate_coupling").astype(float)
    for vectors in (*forces.transpose(2, 0, 1, 3), coupling[:, :, 0]):
        assert np.abs(vectors.sum(axis=1)).max() < 1e-5
        assert np.abs(np.cross(positions, vectors).sum(axis=1)).max() < 1e-4
    states = [TurningPotential(pyrazine()).surfaces(positions, np.full(50, k), couplings=True) for k in (0, 1)]
    np.testing.assert_allclose(forces[:, :, 1], states[1].forces, atol=1e-5)
    gap = np.diff(states[0].energies, axis=1)
    np.testing.assert_allclose(np.abs(coupling), np.abs(states[0].nac * gap[:, None, :, None]), atol=1e-5)


def test_the_ensembles_are_compared_by_their_bands(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "DURATION", 20.0)
    fixed = benchmark.ensemble(pyrazine(), tmp_path / "fixed.npz", 12)
    assert fixed.upper.shape == fixed.quantum.shape == (12, 41) and fixed.stopped == 0 and fixed.upper[:, 0].all()
    again = benchmark.ensemble(pyrazine(), tmp_path / "fixed.npz", 12)
    np.testing.assert_array_equal(fixed.quantum, again.quantum)
    assert benchmark.compare("same", fixed, again).startswith("| same | 0.000, 100 % | 0.000, 100 % | 100 % |")
    low, high = benchmark.bands(fixed.upper.astype(float))
    mean = fixed.upper.mean(axis=0)
    assert (low <= mean + 1e-9).all() and (mean <= high + 1e-9).all()
    turning = benchmark.ensemble(TurningPotential(pyrazine()), tmp_path / "turning.npz", 12)
    assert np.abs(turning.quantum - fixed.quantum).mean() == pytest.approx(0, abs=0.05)
    benchmark.populations_figure(fixed, turning, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
