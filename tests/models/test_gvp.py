"""GVP-GNN against the equations of its papers (arXiv:2009.01411, arXiv:2106.03843), written again in numpy, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.special import expit

from mlff.graph import build_graph
from mlff.models import GVPGNN, GVPConfig
from mlff.models.gvp import GVP, Norm

from .numpy_layers import Array, Links, envelope, layer_norm, linear, links_within, silu
from .variants import CELL, NUMBERS, POSITIONS

FEATURES, VECTORS, RADIAL, CUTOFF = 5, 3, 4, 3.5


def perceptron(layer: GVP, s: Array, vectors: Array) -> tuple[Array, Array]:
    """s ``[n]`` and vectors ``[3, v]`` of one atom or edge: algorithm 1."""
    hidden = linear(layer.hidden, vectors)
    s_m = linear(layer.scalar, np.concatenate((s, np.sqrt((hidden**2).sum(0) + 1e-8))))
    gated = np.zeros((3, 0)) if layer.vector is None else linear(layer.vector, hidden) * expit(linear(layer.gate, s_m))
    return silu(s_m) if layer.activate else s_m, gated


def normalized(layer: Norm, s: Array, vectors: Array) -> tuple[Array, Array]:
    mean = (vectors**2).sum(1).mean(1)
    return layer_norm(layer.scalar, s), vectors / np.sqrt(mean + layer.epsilon)[:, None, None]


def reference(model: GVPGNN, numbers: Array, links: Links) -> tuple[Array, Array]:
    """Scalars ``[N, F]`` and vectors ``[N, 3, v]``."""
    s = model.embedding.weight.detach().numpy()[numbers]
    vectors = np.zeros((len(s), 3, VECTORS))
    for layer in model.layers:
        ds, dv = np.zeros_like(s), np.zeros_like(vectors)
        for i, j, r_ij in links:
            r = np.linalg.norm(r_ij)
            basis = np.sqrt(2 / CUTOFF) * np.sin(np.arange(1, RADIAL + 1) * np.pi * r / CUTOFF) / r
            message = np.concatenate((s[j], s[i], basis)), np.column_stack((vectors[j], vectors[i], r_ij / r))
            for part in (layer.message, *layer.message_layers):
                message = perceptron(part, *message)
            fade = envelope(model.config.envelope, r, CUTOFF)
            ds[i] += message[0] * fade
            dv[i] += message[1] * fade
        s, vectors = normalized(layer.norms[0], s + ds, vectors + dv)
        first, second = layer.update_layers
        updates = [perceptron(second, *perceptron(first, *atom)) for atom in zip(s, vectors)]
        ds, dv = np.stack([update[0] for update in updates]), np.stack([update[1] for update in updates])
        s, vectors = normalized(layer.norms[1], s + ds, vectors + dv)
    return np.stack([perceptron(model.readout, *atom)[0] for atom in zip(s, vectors)]), vectors


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("num_message_layers", [1, 3])
@pytest.mark.parametrize("envelope_name", ["polynomial", "cosine"])
def test_network_obeys_the_equations_of_the_papers(
    envelope_name: str, num_message_layers: int, periodic: bool
) -> None:
    torch.manual_seed(0)
    config = GVPConfig(
        num_features=FEATURES, num_vectors=VECTORS, num_layers=2, num_message_layers=num_message_layers,
        num_radial=RADIAL, cutoff=CUTOFF, envelope=envelope_name,
    )  # fmt: skip
    model = GVPGNN(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = model.double()
    links = [link for link in links_within(CUTOFF, periodic) if link[2].any()]
    s, vectors = reference(model, NUMBERS, links)
    features = model(build_graph(POSITIONS, NUMBERS, CUTOFF, cell=CELL, pbc=[periodic] * 3))
    np.testing.assert_allclose(features.scalar.detach().numpy(), s, rtol=1e-6, atol=1e-6 * np.abs(s).max())
    np.testing.assert_allclose(features.vector.detach().numpy(), vectors, rtol=1e-6, atol=1e-6 * np.abs(vectors).max())


def test_one_perceptron_worked_by_hand() -> None:
    """One scalar 2, one vector (3, 0, 4): V_h = (1.5, 0, 2) is 2.5 long, s_m = 1 * 2 + 2 * 2.5 - 6 = 1."""
    layer = GVP((1, 1), (1, 1)).double()
    weights = {
        "hidden.weight": [[0.5]], "scalar.weight": [[1.0, 2.0]], "scalar.bias": [-6.0], "vector.weight": [[2.0]],
        "gate.weight": [[np.log(3.0)]], "gate.bias": [0.0],
    }  # fmt: skip
    layer.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in weights.items()})
    s, vector = layer(torch.tensor([2.0]).double(), torch.tensor([[3.0], [0.0], [4.0]]).double())
    assert s.item() == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-8)  # silu(1)
    # the gate is sigmoid(ln 3) = 3 / 4, of 2 * V_h = (3, 0, 4)
    np.testing.assert_allclose(vector[:, 0].detach().numpy(), [2.25, 0, 3.0], atol=1e-8)


def test_a_perceptron_turns_its_vectors_and_leaves_its_scalars() -> None:
    torch.manual_seed(0)
    layer = GVP((4, 6), (3, 5)).double()
    s, vectors = torch.randn(7, 4).double(), torch.randn(7, 3, 3).double()
    turn = torch.from_numpy(Rotation.random(random_state=1).as_matrix())
    for matrix in (turn, -turn):  # a rotation, and one with a mirror
        before, after = layer(s, vectors), layer(s, matrix @ vectors)
        torch.testing.assert_close(after[0], before[0])
        torch.testing.assert_close(after[1], matrix @ before[1])


def test_the_only_neighbor_of_an_atom_comes_in_slowly() -> None:
    """Near the cutoff its share is the envelope's, (1 - r / cutoff)^3: the vectors' norm must not blow it up."""
    torch.manual_seed(0)
    model = GVPGNN(GVPConfig(num_features=8, num_layers=2, cutoff=CUTOFF)).double()

    def change(distance: float) -> float:
        far = model(build_graph([[0, 0, 0], [0, 0, 9.0]], [6, 8], CUTOFF)).scalar
        return (model(build_graph([[0, 0, 0], [0, 0, distance]], [6, 8], CUTOFF)).scalar - far).abs().max().item()

    assert 0 < change(0.995 * CUTOFF) < 0.2 * change(0.99 * CUTOFF) < 0.04 * change(0.98 * CUTOFF)
