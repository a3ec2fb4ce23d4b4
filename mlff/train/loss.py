"""The loss: a weighted sum of the mean errors in every quantity, over the values that exist.

Couplings and transition dipoles are compared up to the signs of the states, which are free in each structure
(`mlff.potential.phases`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mlff.nn import scatter_sum
from mlff.potential.phases import Pairs, pair_signs, state_signs
from mlff.train.loss_config import LossConfig

TERMS: dict[str, tuple[str, ...]] = {
    "energy": ("energy",), "forces": ("forces",), "stress": ("stress",),
    "couplings": ("interstate_coupling", "nac"), "dipoles": ("dipole",), "soc": ("soc_magnitude",),
}  # fmt: skip
"""Terms of the loss, named as their weights, and the quantities that they may be of: the first that targets have."""
SOC_UNIT = 0.01
"""eV. Spin-orbit couplings are smaller than everything else, so their errors are counted in units of 81 cm-1."""


@dataclass(frozen=True)
class Targets:
    """Reference values of a batch with their masks, which have the values' own shapes."""

    values: Mapping[str, Tensor]
    """energy float64 ``[B,S]`` in eV, forces ``[N,S,3]`` in eV/Å, stress ``[B,S,6]`` in eV/Å³, interstate_coupling
    ``[N,P,3]`` in eV/Å or nac ``[N,P,3]`` in 1/Å, dipole ``[B,Q,3]`` in e Å, soc_magnitude ``[B,R]`` in eV; some may be
    missing. What is masked holds zeros."""
    valid: Mapping[str, Tensor]
    num_atoms: Tensor
    """``[B]``."""
    batch: Tensor | None = None
    """Structure of each atom ``[N]``; needed where there are couplings."""
    nac_pairs: Pairs = ()
    """States of the P pairs."""
    dipole_pairs: Pairs = ()
    """States of the Q pairs."""
    alike: tuple[tuple[int, int], ...] = ()
    """Pairs of states of equal multiplicity, whose gaps `LossConfig.gap_weight` looks at."""
    shared_phases: bool = False
    """Whether couplings and transition dipoles come with the same signs of the states; else each with signs of its own."""

    def quantity(self, term: str) -> str | None:
        """The quantity that a term is of; None where there are no references for it."""
        return next((name for name in TERMS[term] if name in self.values), None)


def value_counts(targets: Targets, *, forces: bool, stress: bool) -> Tensor:
    """Numbers of reference values for ``TERMS``, zero for forces and stress that are not asked for: ``[6]``."""
    zero = torch.zeros((), dtype=torch.float64, device=targets.num_atoms.device)
    asked = {"forces": forces, "stress": stress}
    names = [targets.quantity(term) if asked.get(term, True) else None for term in TERMS]
    return torch.stack([zero if name is None else targets.valid[name].sum().double() for name in names])


def loss_terms(prediction: Mapping[str, Tensor], targets: Targets, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Summed errors of a batch for ``TERMS``, over the values that exist and were predicted.

    Sums, so that the parts of several processes add up.

    Returns:
        Errors by the chosen kind ``[6]``, which carry the gradient, and absolute errors in the quantities' own units ``[6]``.
    """
    sums, absolute = [], []
    zero = prediction["energy"].new_zeros(())
    signs = phase_signs(prediction, targets, config)
    weights = _gap_weights(targets, config)
    for term in TERMS:
        quantity = targets.quantity(term)
        if quantity is None or quantity not in prediction:
            sums.append(zero)
            absolute.append(zero)
            continue
        predicted = prediction[quantity]
        if quantity in signs:
            predicted = predicted * signs[quantity].to(predicted.dtype)
        error = torch.where(targets.valid[quantity], predicted - targets.values[quantity], 0.0)
        absolute.append(error.detach().abs().sum().to(zero.dtype))
        if quantity == "energy" and config.energy_error == "atom":
            error = error / targets.num_atoms[:, None]
        if quantity == "soc_magnitude":
            error = error / SOC_UNIT
        cost = _cost(error, config)
        if quantity in weights:
            cost = cost * weights[quantity].to(cost.dtype)
        sums.append(cost.sum().to(zero.dtype))
    return torch.stack(sums), torch.stack(absolute)


def weighted_loss(sums: Tensor, counts: Tensor, config: LossConfig) -> Tensor:
    """The loss of summed errors ``[6]`` over numbers of values ``[6]``; quantities without values add nothing."""
    weights = torch.tensor([getattr(config, term) for term in TERMS], dtype=sums.dtype).to(sums.device)
    return (weights * sums / counts.clamp(min=1)).sum()


@torch.no_grad()
def phase_signs(prediction: Mapping[str, Tensor], targets: Targets, config: LossConfig) -> dict[str, Tensor]:
    """What to multiply predictions with so that they agree best with the references: +1 and -1.

    The signs of the states with the least error of the structure; with ``shared_phases`` the least sum of the mean errors in
    couplings and transition dipoles, each times its weight.

    Returns:
        interstate_coupling or nac ``[N,P,1]`` and dipole ``[B,Q,1]``, where they are predicted and have references.
    """
    coupling = targets.quantity("couplings")
    found = {
        name: (pairs, weight, _interaction(prediction[name], targets, name, config))
        for name, pairs, weight in (
            (coupling, targets.nac_pairs, config.couplings), ("dipole", targets.dipole_pairs, config.dipoles)
        ) if name is not None and name in prediction and name in targets.values
    }  # fmt: skip
    num_states = 1 + max((max(pair) for pairs, _, _ in found.values() for pair in pairs), default=0)
    if targets.shared_phases and len(found) > 1:
        together = tuple(pair for pairs, _, _ in found.values() for pair in pairs)
        signs = state_signs(torch.cat([weight * each for _, weight, each in found.values()], dim=1), together, num_states)
        of_pairs = {name: pair_signs(signs, pairs) for name, (pairs, _, _) in found.items()}
    else:
        of_pairs = {name: pair_signs(state_signs(each, pairs, num_states), pairs) for name, (pairs, _, each) in found.items()}
    if coupling in of_pairs:
        assert targets.batch is not None
        of_pairs[coupling] = of_pairs[coupling].index_select(0, targets.batch)
    return {name: each.unsqueeze(-1) for name, each in of_pairs.items()}


def _interaction(predicted: Tensor, targets: Targets, name: str, config: LossConfig) -> Tensor:
    """Half the change of the structure's mean error when the sign of a pair turns, float64 ``[B,pairs]``."""
    values, valid = targets.values[name].double(), targets.valid[name]
    predicted = predicted.double()
    change = torch.where(valid, _cost(predicted - values, config) - _cost(-predicted - values, config), 0.0).sum(-1)
    count = valid.sum((1, 2))
    if name != "dipole":
        assert targets.batch is not None
        change = scatter_sum(change, targets.batch, len(targets.num_atoms))
        count = scatter_sum(count.double()[:, None], targets.batch, len(targets.num_atoms))[:, 0]
    else:
        change = change * torch.tensor([i != j for i, j in targets.dipole_pairs], device=change.device)
    return 0.5 * change / count.clamp(min=1)[:, None]


def _gap_weights(targets: Targets, config: LossConfig) -> dict[str, Tensor]:
    """Weights of errors near degeneracies; empty where nothing asks for them.

    1 + gap_weight exp(-(gap / gap_width)^2 / 2), gap the reference's: of a pair its own, of a state's energy and forces the
    smallest to another state of its multiplicity. 1 where an energy is not known.
    """
    if not config.gap_weight or "energy" not in targets.values or not targets.alike:
        return {}
    energy, valid = targets.values["energy"], targets.valid["energy"]

    def weight(pairs: Pairs) -> Tensor:
        i, j = (list(each) for each in zip(*pairs))
        bell = torch.exp(-0.5 * ((energy[:, i] - energy[:, j]) / config.gap_width).square())
        return 1 + config.gap_weight * torch.where(valid[:, i] & valid[:, j], bell, 0.0)

    by_pair, states = weight(targets.alike), torch.ones_like(energy)
    for column, (i, j) in enumerate(targets.alike):
        for state in (i, j):
            states[:, state] = torch.maximum(states[:, state], by_pair[:, column])
    weights = {"energy": states}
    if targets.batch is not None:
        weights["forces"] = states.index_select(0, targets.batch)[:, :, None]
        if targets.nac_pairs and (name := targets.quantity("couplings")) is not None:
            weights[name] = weight(targets.nac_pairs).index_select(0, targets.batch)[:, :, None]
    return weights


def _cost(error: Tensor, config: LossConfig) -> Tensor:
    """The error of every value by the chosen kind."""
    if config.kind == "mse":
        return error.square()
    if config.kind == "mae":
        return error.abs()
    # Twice torch's Huber loss: error^2 up to delta, as for `mse`, so that the kinds can share weights.
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=config.huber_delta)
