"""TFN: its paths against Clebsch-Gordan products written by hand, its layer against the equation of the paper
(arXiv:1802.08219), and the symmetry of what it holds inside."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mlff.graph import build_graph
from mlff.models import build_model, model_config
from mlff.models.adapter import building
from mlff.models.tfn import TFN, TFNLayer
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential

from .numpy_layers import envelope, links_within
from .variants import CUTOFF, INSTALLED, NUMBERS, POSITIONS, crystal, make_potential, molecule

if "tfn" not in INSTALLED:
    pytest.skip('e3nn 0.6 is not installed: pip install "mlff[e3nn]"', allow_module_level=True)
from e3nn import o3  # noqa: E402

F = 5


def network(**options: Any) -> TFN:
    torch.manual_seed(3)
    settings = dict(num_features=F, cutoff=CUTOFF, species=(1, 6, 7, 8), num_radial=6, average_neighbors=9.0) | options
    model = build_model(model_config("tfn", **settings)).double()
    assert isinstance(model, TFN)
    return model


def message_by_hand(layer: TFNLayer, features: Tensor, r_ij: np.ndarray, weights: Tensor) -> Tensor:
    """The product of one neighbour's scalars s, vectors v and axial vectors a with 1 and d, sqrt 3 times its direction.

    ``s 1``, ``v . d / sqrt 3``; ``s d``, ``v 1``; ``v x d / sqrt 2``: Clebsch-Gordan coefficients times what gives products of
    features of unit variance unit variance.
    """
    parts = {(ir.l, ir.p): features[place].view(mul, -1)
             for (mul, ir), place in zip(layer.product.irreps_in1, layer.product.irreps_in1.slices())}  # fmt: skip
    d = torch.from_numpy(3**0.5 * r_ij / np.linalg.norm(r_ij)).expand(F, 3)
    s, v = parts[0, 1], parts.get((1, -1))
    products = {((0, 1), 0, (0, 1)): s, ((0, 1), 1, (1, -1)): s * d}
    if v is not None:
        products[(1, -1), 1, (0, 1)] = (v * d).sum(1, keepdim=True) / 3**0.5
        products[(1, -1), 0, (1, -1)] = v
        products[(1, -1), 1, (1, 1)] = torch.linalg.cross(v, d) / 2**0.5
    message: dict[int, Tensor] = {}
    for path, w in zip(layer.product.instructions, weights.split(F), strict=True):
        (_, one), (_, two), (_, out) = (
            irreps[k] for irreps, k in ((layer.product.irreps_in1, path.i_in1), (layer.product.irreps_in2, path.i_in2),
                                        (layer.product.irreps_out, path.i_out))
        )  # fmt: skip
        message[path.i_out] = (w[:, None] * products[(one.l, one.p), two.l, (out.l, out.p)]).flatten()
    assert len(message) == len(layer.product.instructions)
    return torch.cat([message[place] for place in sorted(message)])


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("periodic", [False, True])
def test_layers_obey_the_equation_of_the_paper_with_products_written_by_hand(parity: bool, periodic: bool) -> None:
    """``V_a = gate(own x_a + after(sum over b of R(|r_ab|) C (before x_b) Y(r_ab)))``; two layers reach every kind of path."""
    model = network(num_layers=3, parity=parity)
    inputs: list[Tensor] = []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    graph = (crystal if periodic else molecule)()
    expected = model(graph).scalar
    outputs = [*inputs[1:], expected]
    for layer, x, y in zip(model.layers[:2], inputs, outputs):
        gathered = torch.zeros(len(x), layer.product.irreps_out.dim, dtype=torch.float64)
        mixed = layer.before(x)
        for a, b, r_ab in links_within(CUTOFF, periodic):
            if distance := np.linalg.norm(r_ab):
                weights = layer.weights(model.radial(torch.tensor(distance))) * envelope("polynomial", distance, CUTOFF) / 3
                gathered[a] += message_by_hand(layer, mixed[b], r_ab, weights)
        torch.testing.assert_close(y, layer.gate(layer.own(x) + layer.after(gathered)), rtol=1e-10, atol=1e-12)
    assert model.layers[1].irreps_out == o3.Irreps("5x0e + 5x1e + 5x1o" if parity else "5x0e + 5x1o")


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("options", [dict(lmax=1), dict(lmax=2), dict(lmax=2, parity=True), dict(lmax=3)], ids=str)
def test_tensors_inside_turn_with_the_structure(options: dict[str, Any], improper: bool) -> None:
    """Each by the Wigner matrices of its degree and parity, in float64."""
    model = network(**options)
    model.float().double()  # what is constant stays exact
    angles = torch.tensor([0.3, 1.1, -2.0], dtype=torch.float64)
    turn = o3.angles_to_matrix(*angles) * (-1 if improper else 1)
    held: list[Tensor] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _, __, found: held.append(found))
    model(molecule())
    model(molecule(POSITIONS @ turn.numpy().T))
    for number, layer in enumerate(model.layers):
        before, after = held[number], held[number + len(model.layers)]
        with building():  # e3nn computes generators in the default dtype
            wigner = layer.irreps_out.D_from_angles(*angles, torch.tensor(int(improper)))
        torch.testing.assert_close(after, before @ wigner.T, rtol=0, atol=1e-11)
    degrees = {ir.l for _, ir in model.layers[0].irreps_out}
    assert degrees == set(range(options["lmax"] + 1)) and held[0].abs().max() > 0.1


def test_parity_decides_which_products_there_are() -> None:
    """Of two polar vectors: the scalar product always, the cross product with axial vectors to put it into only."""
    counts = {parity: len(network(parity=parity).layers[1].product.instructions) for parity in (False, True)}
    assert counts == {False: 4, True: 5}


def test_what_e3nn_and_torch_have_set_is_left_alone() -> None:
    import e3nn

    before = e3nn.get_optimization_defaults(), torch.get_default_dtype()
    model = network()
    assert (e3nn.get_optimization_defaults(), torch.get_default_dtype()) == before
    assert not any(isinstance(module, torch.jit.ScriptModule) for module in model.layers.modules())


def test_it_is_copied_pickled_and_stored_whole(tmp_path: Any) -> None:
    potential = make_potential("tfn-degree-2")
    expected = potential(crystal())["forces"]
    stored = load_potential(save_potential(potential, tmp_path / "model"))
    for again in (copy.deepcopy(potential), pickle.loads(pickle.dumps(potential)), stored):
        assert isinstance(again, Potential)
        torch.testing.assert_close(again(crystal())["forces"], expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_atoms_without_neighbors_have_second_derivatives_too(dtype: torch.dtype) -> None:
    potential = make_potential("tfn", dtype).train()
    results = potential(build_graph([[0, 0, 0], [0, 0, 40.0]], NUMBERS[:2], CUTOFF))
    (results["forces"].square().sum() + results["energy"].sum()).backward()
    assert not results["forces"].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in potential.parameters())


def test_an_older_e3nn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlff.models.tfn.version", lambda _: "0.4.4")
    with pytest.raises(ImportError, match=r'needs e3nn 0.6, and e3nn 0.4.4 is installed.* pip install "mlff\[e3nn\]"'):
        network()
