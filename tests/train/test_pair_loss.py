"""The loss of couplings, dipoles and spin-orbit couplings on made-up predictions: by hand, masked, free of signs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mlff.potential.phases import pair_signs
from mlff.train.loss import SOC_UNIT, TERMS, Targets, loss_terms, value_counts, weighted_loss
from mlff.train.loss_config import LossConfig

NAC = ((0, 1), (0, 2), (1, 2))
DIPOLES = ((0, 0), (0, 1), (0, 2), (1, 2))
BATCH = torch.tensor([0, 0, 1, 1, 1])
SHAPES = {"energy": (2, 3), "forces": (5, 3, 3), "interstate_coupling": (5, 3, 3), "dipole": (2, 4, 3), "soc_magnitude": (2, 1)}


def numbers(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in SHAPES.items()}


def make_targets(values: dict[str, torch.Tensor], shared: bool = False) -> Targets:
    valid = {name: torch.ones_like(value, dtype=torch.bool) for name, value in values.items()}
    return Targets(values, valid, torch.tensor([2.0, 3.0]).double(), BATCH, NAC, DIPOLES, NAC, shared)


def flipped(values: dict[str, torch.Tensor], signs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """References with the states' signs turned: for couplings and dipoles ``[B,S]`` each."""
    couplings = pair_signs(signs["interstate_coupling"], NAC)[BATCH][:, :, None]
    return values | {
        "interstate_coupling": values["interstate_coupling"] * couplings,
        "dipole": values["dipole"] * pair_signs(signs["dipole"], DIPOLES)[:, :, None],
    }


def loss_of(prediction: dict[str, torch.Tensor], targets: Targets, **options) -> torch.Tensor:
    config = LossConfig(**options)
    sums, _ = loss_terms(prediction, targets, config)
    return weighted_loss(sums, value_counts(targets, forces=True, stress=True), config)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(["mse", "mae", "huber"]))
def test_turned_signs_of_states_change_nothing(seed, shared, kind):
    prediction, values = numbers(seed), numbers(seed + 1)
    draw = torch.Generator().manual_seed(seed)
    signs = {name: torch.randint(0, 2, (2, 3), generator=draw).double() * 2 - 1 for name in ("interstate_coupling", "dipole")}
    if shared:
        signs["dipole"] = signs["interstate_coupling"]
    before = loss_of(prediction, make_targets(values, shared), kind=kind)
    assert_close(loss_of(prediction, make_targets(flipped(values, signs), shared), kind=kind), before, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_the_least_over_all_signs(shared):
    prediction, values = numbers(3), numbers(4)
    options = {"energy": 0.0, "forces": 1e-12, "soc": 0.0, "couplings": 0.7, "dipoles": 0.4, "kind": "mse"}
    found = loss_of(prediction, make_targets(values, shared), **options)
    # Each structure has its best choice; its errors are divided by the number of values of the whole batch.
    total = 0.0
    choices = [torch.tensor([(1, *rest)]).double() for rest in itertools.product((1, -1), repeat=2)]
    for structure in (0, 1):
        atoms = structure == BATCH
        couplings = [
            (values["interstate_coupling"] * pair_signs(s, NAC)[:, :, None] - prediction["interstate_coupling"])[atoms]
            for s in choices
        ]
        dipoles = [(values["dipole"] * pair_signs(s, DIPOLES)[:, :, None] - prediction["dipole"])[structure] for s in choices]
        by_coupling, by_dipole = (torch.stack([each.square().mean() for each in errors]) for errors in (couplings, dipoles))
        together = (0.7 * by_coupling + 0.4 * by_dipole).argmin()
        best = (together, together) if shared else (by_coupling.argmin(), by_dipole.argmin())
        total += 0.7 * couplings[best[0]].square().sum() / 45 + 0.4 * dipoles[best[1]].square().sum() / 24
    assert_close(found, torch.as_tensor(total), rtol=1e-9, atol=1e-9)


def test_a_permanent_dipole_has_a_sign():
    values = numbers(5)
    wrong = values | {"dipole": -values["dipole"]}
    loss = loss_of(wrong, make_targets(values), couplings=0.0, soc=0.0, dipoles=1.0)
    at_least = (2 * values["dipole"][:, 0]).square().sum() / 24
    assert loss >= at_least - 1e-12
    only_transitions = values | {"dipole": values["dipole"] * torch.tensor([1.0, -1, -1, 1])[None, :, None]}
    assert_close(loss_of(only_transitions, make_targets(values), dipoles=1.0), torch.tensor(0.0).double())


def test_what_was_not_computed_takes_no_part_and_passes_no_nan_back():
    prediction, values = numbers(6), numbers(7)
    targets = make_targets(values)
    hidden = targets.valid["interstate_coupling"].clone()
    hidden[2:, 1] = False  # the second pair of the second structure
    targets = replace(targets, valid=targets.valid | {"interstate_coupling": hidden})
    leaf = prediction["interstate_coupling"].clone().requires_grad_()
    other = leaf.detach().clone()
    other[2:, 1] = torch.nan
    for given_values in (leaf, other.requires_grad_()):
        loss = loss_of(prediction | {"interstate_coupling": given_values}, targets)
        (gradient,) = torch.autograd.grad(loss, given_values)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all() and not gradient[2:, 1].any()
    assert value_counts(targets, forces=True, stress=False).tolist() == [6, 45, 0, 45 - 9, 24, 2]


def test_terms_of_structures_add_up_to_those_of_the_batch():
    prediction, values = numbers(8), numbers(9)
    whole = loss_terms(prediction, make_targets(values, True), LossConfig(gap_weight=2.0))
    parts = []
    for structure in (0, 1):
        atoms = structure == BATCH
        cut = {name: atoms if len(each) == 5 else torch.tensor([structure]) for name, each in values.items()}
        targets = make_targets(values, True)
        part = replace(
            targets, values={name: each[cut[name]] for name, each in values.items()},
            valid={name: each[cut[name]] for name, each in targets.valid.items()},
            num_atoms=targets.num_atoms[structure : structure + 1], batch=torch.zeros(int(atoms.sum()), dtype=torch.int64),
        )  # fmt: skip
        parts.append(loss_terms({name: each[cut[name]] for name, each in prediction.items()}, part, LossConfig(gap_weight=2.0)))
    for first, second, both in zip(*parts, whole):
        assert_close(first + second, both)


def test_spin_orbit_errors_are_counted_in_their_unit():
    values = numbers(1)
    prediction = values | {"soc_magnitude": values["soc_magnitude"] + 0.02}
    squared = loss_of(prediction, make_targets(values), soc=1.0, kind="mse")
    assert_close(squared, torch.tensor((0.02 / SOC_UNIT) ** 2).double())


def test_errors_of_close_states_weigh_more():
    values = numbers(2) | {"energy": torch.tensor([[0.0, 0.0, 50.0], [0.0, 40.0, 80.0]]).double()}
    targets = make_targets(values)
    prediction = {name: each + 1 for name, each in values.items()} | {"interstate_coupling": values["interstate_coupling"]}
    plain, _ = loss_terms(prediction, targets, LossConfig())
    weighed, absolute = loss_terms(prediction, targets, LossConfig(gap_weight=3.0, gap_width=0.5))
    terms = list(TERMS)
    assert weighed[terms.index("energy")] == plain[terms.index("energy")] + 3 * 2  # two states of one structure
    assert_close(weighed[terms.index("forces")], plain[terms.index("forces")] + 3 * 2 * 2 * 3)  # of its two atoms
    assert_close(weighed[terms.index("dipoles")], plain[terms.index("dipoles")])
    assert absolute[terms.index("energy")] == 6  # what is reported is not weighted
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        LossConfig(gap_weight=-1.0)
