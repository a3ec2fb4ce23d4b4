"""First scalars of every atom: its element, and the elements of its neighbours by their distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .linear import glorot_linear
from .scatter import scatter_sum


class NeighborEmbedding(nn.Module):
    """``x_i = W [a(z_i), sum over j of b(z_j) * (V e(r_ij)) f(r_ij)]`` with two tables a, b of embeddings, the radial basis e
    and the envelope f (ET, arXiv:2202.02541, embedding layer; ViSNet has the same)."""

    def __init__(self, num_elements: int, num_features: int, num_radial: int) -> None:
        super().__init__()
        self.element = nn.Embedding(num_elements, num_features)
        self.neighbor = nn.Embedding(num_elements, num_features)
        self.filters = glorot_linear(num_radial, num_features)
        self.combine = glorot_linear(2 * num_features, num_features)

    def forward(self, numbers: Tensor, radial: Tensor, envelope: Tensor, edge_index: Tensor) -> Tensor:
        """Numbers ``[N]``, radial basis ``[P, K]`` and envelope ``[P]`` of the pairs, edges ``[2, E]``; x ``[N, F]``."""
        centre, neighbor = edge_index
        filters = self.filters(radial) * envelope.unsqueeze(1)
        messages = self.neighbor(numbers).index_select(0, neighbor).view(2, -1, filters.shape[1]) * filters
        gathered = scatter_sum(messages.flatten(0, 1), centre, numbers.shape[0])
        return self.combine(torch.cat((self.element(numbers), gathered), dim=1))
