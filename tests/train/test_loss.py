"""The loss: by hand, with gaps, in parts."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from mlff.train.config import LossConfig
from mlff.train.loss import Targets, loss_terms, weighted_loss


def targets(energy, forces, energy_valid=True, forces_valid=True) -> Targets:
    energy, forces = torch.tensor(energy).double(), torch.tensor(forces)
    valid = {"energy": torch.tensor(energy_valid).expand(energy.shape), "forces": torch.tensor(forces_valid).expand(forces.shape)}
    return Targets({"energy": energy, "forces": forces}, valid, torch.tensor([2.0, 2.0]).double())


TWO = targets([[1.0], [2.0]], [[[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 2.0]]])


def prediction(gradient: bool = False) -> dict[str, torch.Tensor]:
    energy = torch.tensor([[2.0], [4.0]], dtype=torch.float64, requires_grad=gradient)
    return {"energy": energy, "forces": torch.zeros(4, 1, 3, requires_grad=gradient)}


def loss_of(prediction, targets, **options) -> torch.Tensor:
    config = LossConfig(**options)
    terms = loss_terms(prediction, targets, config)
    return weighted_loss(terms.sums, terms.counts, config)


def test_mse_and_mae_are_what_a_hand_computes():
    # energy errors 1 and 2 eV; force errors 1 and 2 in two of twelve components
    assert_close(loss_of(prediction(), TWO, energy=0.5, forces=2.0), torch.tensor(0.5 * 5 / 2 + 2.0 * 5 / 12).double())
    assert_close(loss_of(prediction(), TWO, energy=0.5, forces=2.0, kind="mae"), torch.tensor(0.5 * 1.5 + 2.0 * 3 / 12).double())


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
    whole = loss_terms(prediction(), TWO, config)
    parts = []
    for frame, atoms in ((slice(0, 1), slice(0, 2)), (slice(1, 2), slice(2, 4))):
        part = Targets({"energy": TWO.values["energy"][frame], "forces": TWO.values["forces"][atoms]},
                       {"energy": TWO.valid["energy"][frame], "forces": TWO.valid["forces"][atoms]}, TWO.num_atoms[frame])  # fmt: skip
        parts.append(loss_terms({"energy": prediction()["energy"][frame], "forces": prediction()["forces"][atoms]}, part, config))
    for name in ("sums", "absolute", "counts"):
        assert_close(sum(getattr(part, name) for part in parts), getattr(whole, name))
