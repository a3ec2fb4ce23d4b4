"""Energies of electronic states from the scalar features of the atoms."""

from __future__ import annotations

from torch import Tensor, nn

from ..nn import Features


class EnergyHead(nn.Module):
    """A two-layer network on every atom's scalars, one output a state: F to F // 2 to S; ``linear``: F to S in one step."""

    def __init__(self, num_features: int, num_states: int, *, linear: bool = False) -> None:
        super().__init__()
        if linear:
            self.network = nn.Sequential(nn.Linear(num_features, num_states))
            return
        num_hidden = max(num_features // 2, 1)
        self.network = nn.Sequential(
            nn.Linear(num_features, num_hidden), nn.SiLU(), nn.Linear(num_hidden, num_states)
        )

    def forward(self, features: Features) -> Tensor:
        """Energy of every atom in every state, in the potential's scale: ``[N, S]``."""
        return self.network(features.scalar)
