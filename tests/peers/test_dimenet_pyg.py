"""Our DimeNet++ with the weights of torch_geometric's gives torch_geometric's energies and forces, molecule by molecule."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlff.models import model_config
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Structure

pytest.importorskip("torch_geometric", reason="torch_geometric is not installed: run `make test-peers`")

from torch_geometric.nn.models import dimenet

SETTINGS = dict(num_radial=3, num_spherical=4)


def reference() -> torch.nn.Module:
    """torch_geometric's DimeNet++, with output layers that are not zero."""
    torch.manual_seed(0)
    return dimenet.DimeNetPlusPlus(
        hidden_channels=16, out_channels=1, num_blocks=2, int_emb_size=8, basis_emb_size=4, out_emb_channels=12,
        cutoff=CUTOFF, max_num_neighbors=1000, output_initializer="glorot_orthogonal", **SETTINGS,
    ).double()  # fmt: skip


def all_triplets(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, ...]:
    """torch_geometric's needs torch-sparse. Indices i, j, k of all k -> j -> i with k != i, and of their edges."""
    source, target = edge_index.tolist()
    rows = [
        (target[ji], source[ji], source[kj], kj, ji)
        for ji in range(len(source)) for kj in range(len(source))
        if target[kj] == source[ji] and source[kj] != target[ji]
    ]  # fmt: skip
    i, j, k, kj, ji = torch.tensor(rows, dtype=torch.int64).reshape(-1, 5).unbind(1)
    return edge_index[1], edge_index[0], i, j, k, kj, ji


def all_pairs(positions: Tensor, r: float, batch: Tensor, max_num_neighbors: int) -> Tensor:
    """torch_geometric's needs torch-cluster."""
    near = torch.cdist(positions, positions) < r
    return (near & ~torch.eye(len(positions), dtype=torch.bool)).nonzero().T.contiguous()


def test_energies_and_forces_are_those_of_torch_geometric(frames: list[Structure], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimenet, "triplets", all_triplets)
    monkeypatch.setattr(dimenet, "radius_graph", all_pairs)
    theirs = reference()
    config = model_config(
        "dimenet++", num_features=16, cutoff=CUTOFF, num_layers=2, triplet_features=8, basis_features=4, readout_features=12,
        **SETTINGS,
    )  # fmt: skip
    ours = Potential.build(config, species=SPECIES).double().eval()
    state, renamed = theirs.state_dict(), {}
    for name in ours.model.state_dict():
        theirs_name = name.replace("radial.", "rbf.").replace("embedding.", "emb.", 1)
        renamed[name] = state[theirs_name.replace("interactions.", "interaction_blocks.").replace("outputs.", "output_blocks.")]
    ours.model.load_state_dict(renamed)
    with torch.no_grad():
        last = ours.head.network[0]
        last.weight.copy_(torch.cat([block.lin.weight for block in theirs.output_blocks], dim=1))
        last.bias.zero_()
    for structure in frames[:2]:
        positions = torch.from_numpy(structure.positions).requires_grad_(True)
        expected = theirs(torch.from_numpy(structure.numbers), positions)
        forces = -torch.autograd.grad(expected.sum(), positions)[0]
        found = ours(structure.graph())
        # The zeros of the Bessel functions are float32 in torch_geometric.
        torch.testing.assert_close(found["energy"][0], expected.detach(), rtol=1e-6, atol=1e-5)
        torch.testing.assert_close(found["forces"][:, 0], forces, rtol=1e-5, atol=1e-5 * float(forces.abs().max()))
