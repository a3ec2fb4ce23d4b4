"""Errors of a potential on reference data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mlff.data import HDF5Dataset
from mlff.models import model_config
from mlff.potential.potential import Potential
from mlff.train.metrics import Metrics, errors_by_torsion, evaluate, select_frames, torsion_degrees

SMALL = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
CNNC = (5, 6, 7, 8)


def potential(num_states: int = 1, species=(1, 6, 7, 8)) -> Potential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Potential.build(SMALL, species=species, num_states=num_states).eval()


def test_predictions_are_the_potentials_whatever_the_batch(azobenzene):
    chosen = np.array([3, 700, 2])
    metrics = evaluate(potential(), azobenzene, chosen, batch_size=2)
    single = evaluate(potential(), azobenzene, chosen[1:2])
    np.testing.assert_allclose(metrics.predictions["energy"][1], single.predictions["energy"][0], rtol=1e-6)
    np.testing.assert_allclose(metrics.predictions["forces"][24:48], single.predictions["forces"], atol=1e-5)
    np.testing.assert_array_equal(metrics.predictions["energy_ref"][0], azobenzene[3].energy)


def test_errors_are_those_of_the_arrays():
    energy_ref, forces_ref = np.array([[1.0], [np.nan]]), np.zeros((3, 1, 3), np.float32)
    metrics = Metrics({"energy": np.array([[1.003], [5.0]]), "energy_ref": energy_ref, "num_atoms": np.array([1, 2]),
                       "forces": forces_ref + np.float32(0.25), "forces_ref": forces_ref, "indices": np.arange(2)})  # fmt: skip
    assert metrics.error("energy").mae == pytest.approx(3.0)
    assert metrics.error("energy").count == 1
    assert metrics.error("forces").rmse == pytest.approx(250.0) and metrics.error("forces").unit == "meV/Å"
    assert metrics.table()["forces_mae_meV_per_A"] == pytest.approx(250.0)
    assert [each.quantity for each in metrics.errors()] == ["energy", "energy_per_atom", "forces"]
    json.dumps(metrics.table(), allow_nan=False)


def test_states_are_told_apart_and_gaps_left_out(two_states):
    dataset = HDF5Dataset(two_states)
    metrics = evaluate(potential(2), dataset)
    assert metrics.error("energy", 0).count == 60
    assert metrics.error("energy", 1).count == 20
    assert metrics.error("energy").count == 80
    assert len(metrics.table()["states"]) == 2
    chosen = evaluate(potential(1), dataset, np.arange(30), states=[1])
    assert chosen.error("energy").count == 20


def test_a_torsion_is_ases_dihedral(azobenzene):
    frames = [0, 900, 1500]
    positions = np.stack([azobenzene[k].positions[list(CNNC)] for k in frames])
    expected = [azobenzene[k].to_ase().get_dihedral(*CNNC) for k in frames]
    np.testing.assert_allclose(torsion_degrees(positions) % 360, expected, atol=1e-8)


def test_the_bins_of_a_torsion_hold_every_frame_once(azobenzene):
    metrics = evaluate(potential(), azobenzene, np.arange(0, len(azobenzene), 40))
    rows = errors_by_torsion(metrics, azobenzene, CNNC)
    assert [(row["from"], row["to"]) for row in rows] == [(low, low + 30.0) for low in range(0, 180, 30)]
    assert sum(row["num_frames"] for row in rows) == metrics.num_frames
    total = sum(row["num_frames"] * row["energy_mae_meV"] for row in rows if row["num_frames"])
    assert total / metrics.num_frames == pytest.approx(metrics.error("energy").mae)
    with pytest.raises(ValueError, match="four different atoms, counted from 0 to 23"):
        errors_by_torsion(metrics, azobenzene, (0, 1, 2, 24))


def test_chosen_frames_keep_their_atoms(two_states):
    metrics = evaluate(potential(2), HDF5Dataset(two_states))
    part = select_frames(metrics, metrics.predictions["num_atoms"] == 3)
    assert part.num_frames == 30 and part.predictions["forces"].shape == (90, 2, 3)


def test_what_cannot_be_evaluated_is_named(azobenzene, two_states):
    with pytest.raises(ValueError, match=r"elements Z = \[7\]"):
        evaluate(potential(species=(1, 6)), azobenzene, [0])
    with pytest.raises(ValueError, match="no frames"):
        evaluate(potential(), azobenzene, [])
    with pytest.raises(ValueError, match="state 1 was asked for, but the data have 1"):
        evaluate(potential(2), azobenzene, [0])
    with pytest.raises(ValueError, match="choose one for each"):
        evaluate(potential(1), HDF5Dataset(two_states), [0], states=[0, 1])
    with pytest.raises(ValueError, match="training mode"):
        evaluate(potential().train(), azobenzene, [0])
