"""The weights of the reference implementations, copied into ours: names and orders are all that differ."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mlff.potential.potential import Potential

Weights = Mapping[str, Tensor]


def load_schnetpack(potential: Potential, peer: nn.Module) -> None:
    """Copy the weights of a ``schnetpack.model.NeuralNetworkPotential`` with PaiNN and Atomwise."""
    theirs = peer.state_dict()
    weights = {"model.embedding.weight": _elements(potential, theirs["representation.embedding.weight"])}
    weights |= _layer("model.filters", theirs, "representation.filter_net")
    for layer in range(potential.model.config.num_layers):
        interaction, mixing = f"representation.interactions.{layer}", f"representation.mixing.{layer}"
        for ours, their in ((0, 0), (2, 1)):
            weights |= _layer(
                f"model.interactions.{layer}.context.{ours}", theirs, f"{interaction}.interatomic_context_net.{their}"
            )
            weights |= _layer(
                f"model.mixings.{layer}.context.{ours}", theirs, f"{mixing}.intraatomic_context_net.{their}"
            )
        weights |= _layer(f"model.mixings.{layer}.vector_mix", theirs, f"{mixing}.mu_channel_mix")
    for ours, their in ((0, 0), (2, 1)):
        weights |= _layer(f"head.network.{ours}", theirs, f"output_modules.0.outnet.{their}")
    potential.load_state_dict(weights)


def load_torchmdnet(potential: Potential, peer: nn.Module) -> None:
    """Copy the weights of a ``torchmdnet.models.model.TorchMD_Net`` with TensorNet and the output model Scalar."""
    theirs = peer.state_dict()
    embedding = "representation_model.tensor_embedding"
    weights = {"model.embedding.element.weight": _elements(potential, theirs[f"{embedding}.emb.weight"])}
    weights |= _layer("model.embedding.element_pair", theirs, f"{embedding}.emb2")
    weights |= _layer("model.embedding.norm", theirs, f"{embedding}.init_norm")
    for kind in ("weight", "bias"):  # one linear layer for the three parts I, A, S
        parts = [theirs[f"{embedding}.distance_proj{part}.{kind}"] for part in (1, 2, 3)]
        weights[f"model.embedding.radial.{kind}"] = torch.cat(parts)
    for part in range(3):
        weights |= _layer(f"model.embedding.mix.{part}", theirs, f"{embedding}.linears_tensor.{part}")
    weights |= _layer("model.embedding.scale.0", theirs, f"{embedding}.linears_scalar.0")
    weights |= _layer("model.embedding.scale.2", theirs, f"{embedding}.linears_scalar.1", parts_last=True)
    for layer in range(potential.model.config.num_layers):
        ours, their = f"model.interactions.{layer}", f"representation_model.layers.{layer}"
        weights |= _layer(f"{ours}.filters.0", theirs, f"{their}.linears_scalar.0")
        weights |= _layer(f"{ours}.filters.2", theirs, f"{their}.linears_scalar.1")
        weights |= _layer(f"{ours}.filters.4", theirs, f"{their}.linears_scalar.2", parts_last=True)
        for part in range(3):
            weights |= _layer(f"{ours}.mix_before.{part}", theirs, f"{their}.linears_tensor.{part}")
            weights |= _layer(f"{ours}.mix_after.{part}", theirs, f"{their}.linears_tensor.{part + 3}")
    weights |= _layer("model.norm", theirs, "representation_model.out_norm")
    weights |= _layer("model.readout.0", theirs, "representation_model.linear")
    for index in (0, 2):
        weights |= _layer(f"head.network.{index}", theirs, f"output_model.output_network.layers.{index}")
    potential.load_state_dict(weights)


def load_torchmdnet_et(potential: Potential, peer: nn.Module) -> None:
    """Copy the weights of a ``torchmdnet.models.model.TorchMD_Net`` with the equivariant transformer and EquivariantScalar.

    Their first layer mixes and sends vectors that are zero; ours has no weights for that.
    """
    theirs, heads = peer.state_dict(), potential.model.config.num_heads
    weights = _neighbor_embedding(potential, theirs, "representation_model")
    for layer in range(potential.model.config.num_layers):
        ours, their = f"model.layers.{layer}", f"representation_model.attention_layers.{layer}"
        names = {"norm": "layernorm", "query": "q_proj", "key": "k_proj", "key_filter": "dk_proj", "output": "o_proj"}
        if layer:
            names["vector_mix"] = "vec_proj"
        for name, their_name in names.items():
            weights |= _layer(f"{ours}.{name}", theirs, f"{their}.{their_name}")
        for name, their_name in (("value", "v_proj"), ("value_filter", "dv_proj")):  # theirs are cut into heads first
            for kind in ("weight", "bias"):
                scalar, vector, direction = (
                    theirs[f"{their}.{their_name}.{kind}"].unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(1, 2)
                )
                parts = (scalar, direction, vector) if layer else (scalar, direction)
                weights[f"{ours}.{name}.{kind}"] = torch.cat(parts)
        if not layer:
            for kind in ("weight", "bias"):
                weights[f"{ours}.output.{kind}"] = weights[f"{ours}.output.{kind}"].chunk(3)[2]
    weights |= _layer("model.norm", theirs, "representation_model.out_norm")
    weights |= _gated_readout(theirs, ".layers")
    potential.load_state_dict(weights)


def load_pyg_schnet(potential: Potential, peer: nn.Module) -> None:
    """Copy the weights of a ``torch_geometric.nn.models.SchNet``."""
    theirs = peer.state_dict()
    weights = {"model.embedding.weight": _elements(potential, theirs["embedding.weight"])}
    for layer in range(potential.model.config.num_layers):
        ours, their = f"model.interactions.{layer}", f"interactions.{layer}"
        for index in (0, 2):
            weights |= _layer(f"{ours}.filters.{index}", theirs, f"{their}.mlp.{index}")
        weights |= _layer(f"{ours}.before", theirs, f"{their}.conv.lin1")
        weights |= _layer(f"{ours}.after.0", theirs, f"{their}.conv.lin2")
        weights |= _layer(f"{ours}.after.2", theirs, f"{their}.lin")
    for ours, their in ((0, 1), (2, 2)):
        weights |= _layer(f"head.network.{ours}", theirs, f"lin{their}")
    potential.load_state_dict(weights)


def load_pyg_visnet(potential: Potential, peer: nn.Module) -> None:
    """Copy the weights of a ``torch_geometric.nn.models.ViSNet``.

    Their first layer mixes, sends and compares vectors that are zero; ours has no weights for that.
    """
    theirs, num_layers = peer.state_dict(), potential.model.config.num_layers
    weights = _neighbor_embedding(potential, theirs, "representation_model")
    weights |= _layer("model.edge_embedding", theirs, "representation_model.edge_embedding.edge_proj")
    for layer in range(num_layers):
        ours, their = f"model.layers.{layer}", f"representation_model.vis_mp_layers.{layer}"
        names = {"norm": "layernorm", "query": "q_proj", "key": "k_proj", "value": "v_proj", "key_filter": "dk_proj"}
        names |= {"value_filter": "dv_proj", "send": "s_proj", "output": "o_proj"}
        if layer:
            names["vector_mix"] = "vec_proj"
        if 0 < layer < num_layers - 1:
            names |= {"angles.filter": "f_proj", "angles.centre": "w_trg_proj", "angles.neighbor": "w_src_proj"}
        for name, their_name in names.items():
            weights |= _layer(f"{ours}.{name}", theirs, f"{their}.{their_name}")
    for kind in ("weight", "bias"):
        for name, parts in (("send", 2), ("output", 3)):
            weights[f"model.layers.0.{name}.{kind}"] = weights[f"model.layers.0.{name}.{kind}"].chunk(parts)[-1]
    weights |= _layer("model.norm", theirs, "representation_model.out_norm")
    weights |= _gated_readout(theirs)
    potential.load_state_dict(weights)


def _neighbor_embedding(potential: Potential, theirs: Weights, their: str) -> dict[str, Tensor]:
    """The first features of ET and ViSNet."""
    weights = {
        f"model.embedding.{name}.weight": _elements(potential, theirs[f"{their}.{their_name}.weight"])
        for name, their_name in (("element", "embedding"), ("neighbor", "neighbor_embedding.embedding"))
    }
    weights |= _layer("model.embedding.filters", theirs, f"{their}.neighbor_embedding.distance_proj")
    weights |= _layer("model.embedding.combine", theirs, f"{their}.neighbor_embedding.combine")
    return weights


def _gated_readout(theirs: Weights, inner: str = "") -> dict[str, Tensor]:
    """The output network of ET and ViSNet: our readout and, from its second network on, our head."""
    first, second = (f"output_model.output_network.{block}" for block in (0, 1))
    weights: dict[str, Tensor] = {}
    linear = {"measure": f"{first}.vec1_proj", "mix": f"{first}.vec2_proj", "measure_mixed": f"{second}.vec1_proj"}
    for name, their in linear.items():
        weights |= _layer(f"model.readout.{name}", theirs, their)
    for index in (0, 2):
        weights |= _layer(f"model.readout.network.{index}", theirs, f"{first}.update_net{inner}.{index}")
        weights |= _layer(f"head.network.{index}", theirs, f"{second}.update_net{inner}.{index}")
    # Their last layer gives a vector too, which no energy depends on.
    return {name: value[:1] if name.startswith("head.network.2") else value for name, value in weights.items()}


def _layer(ours: str, theirs: Weights, their: str, parts_last: bool = False) -> Weights:
    """Weight and bias of one layer under our name.

    Args:
        parts_last: their outputs run over the three parts, then the features (since torchmd-net 3); ours over the
            features, then the parts, as in the paper's code.
    """
    found = {kind: theirs[f"{their}.{kind}"] for kind in ("weight", "bias") if f"{their}.{kind}" in theirs}
    if parts_last:
        found = {kind: value.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1) for kind, value in found.items()}
    return {f"{ours}.{kind}": value for kind, value in found.items()}


def _elements(potential: Potential, rows: Tensor) -> Tensor:
    """Embeddings of the elements; those that the peer has no row for stay as they are."""
    name = next(name for name in potential.state_dict() if name.endswith(("model.embedding.weight", "element.weight")))
    table = potential.state_dict()[name].clone()
    table[: len(rows)] = rows[: len(table)]
    return table
