"""The loss: by hand, with gaps, in parts."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from mlff.train.config import LossConfig
from mlff.train.loss import Targets, loss_terms, value_counts, weighted_loss


def targets(energy, forces, energy_valid=True, forces_valid=True) -> Targets:
    energy, forces = torch.tensor(energy).double(), torch.tensor(forces)
    masks = {"energy": (energy_valid, energy.shape), "forces": (forces_valid, forces.shape)}
    valid = {name: torch.tensor(mask).expand(shape) for name, (mask, shape) in masks.items()}
    return Targets({"energy": energy, "forces": forces}, valid, torch.tensor([2.0, 2.0]).double())


TWO = targets([[1.0], [2.0]], [[[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 2.0]]])


def prediction(gradient: bool = False) -> dict[str, torch.Tensor]:
    energy = torch.tensor([[2.0], [4.0]], dtype=torch.float64, requires_grad=gradient)
    return {"energy": energy, "forces": torch.zeros(4, 1, 3, requires_grad=gradient)}


def loss_of(prediction, targets, *, kind="mse", **options) -> torch.Tensor:
    config = LossConfig(kind=kind, **options)
    sums, _ = loss_terms(prediction, targets, config)
    return weighted_loss(sums, value_counts(targets, forces=True, stress=True), config)


def test_mse_and_mae_are_what_a_hand_computes():
    # energy errors 1 and 2 eV; force errors 1 and 2 in two of twelve components
    assert_close(loss_of(prediction(), TWO, energy=0.5, forces=2.0), torch.tensor(0.5 * 5 / 2 + 2.0 * 5 / 12).double())
    absolute = loss_of(prediction(), TWO, energy=0.5, forces=2.0, kind="mae")
    assert_close(absolute, torch.tensor(0.5 * 1.5 + 2.0 * 3 / 12).double())


def test_huber_is_mse_for_small_errors_and_linear_for_large_ones():
    assert_close(loss_of(prediction(), TWO, kind="huber", huber_delta=10.0), loss_of(prediction(), TWO, kind="mse"))
    small = loss_of(prediction(), TWO, energy=1.0, forces=0.0, kind="huber", huber_delta=1e-3)
    assert_close(small, torch.tensor((2e-3 * 3 - 2e-6) / 2).double())


def test_the_energy_error_can_be_counted_by_atom():
    assert_close(
        loss_of(prediction(), TWO, energy=1.0, forces=0.0, energy_error="atom"),
        loss_of(prediction(), TWO, energy=1.0, forces=0.0) / 4,
    )


def test_missing_values_take_no_part_and_pass_no_nan_back():
    gaps = targets([[1.0], [0.0]], [[[0.0] * 3]] * 4, energy_valid=[[True], [False]], forces_valid=False)
    predicted = prediction(gradient=True)
    predicted["forces"].data[0] = torch.nan
    loss = loss_of(predicted, gaps, energy=1.0, forces=1.0)
    loss.backward()
    assert_close(loss.detach(), torch.tensor(1.0).double())
    assert_close(predicted["energy"].grad, torch.tensor([[2.0], [0.0]]).double())
    assert_close(predicted["forces"].grad, torch.zeros(4, 1, 3))


def test_the_terms_of_two_parts_add_up_to_those_of_the_whole():
    config = LossConfig()
    parts = []
    for frame, atoms in ((slice(0, 1), slice(0, 2)), (slice(1, 2), slice(2, 4))):
        cut = {"energy": frame, "forces": atoms}
        part = Targets(
            {name: TWO.values[name][cut[name]] for name in cut},
            {name: TWO.valid[name][cut[name]] for name in cut},
            TWO.num_atoms[frame],
        )
        terms = loss_terms({name: prediction()[name][cut[name]] for name in cut}, part, config)
        parts.append((*terms, value_counts(part, forces=True, stress=False)))
    whole = (*loss_terms(prediction(), TWO, config), value_counts(TWO, forces=True, stress=False))
    for first, second, both in zip(*parts, whole):
        assert_close(first + second, both)


def test_what_is_not_asked_for_is_not_counted():
    assert value_counts(TWO, forces=True, stress=True).tolist() == [2, 12, 0, 0, 0, 0]
    assert value_counts(TWO, forces=False, stress=False).tolist() == [2, 0, 0, 0, 0, 0]
