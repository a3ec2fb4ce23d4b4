"""Our adapters, with the weights of the packages' own models, give the packages' energies of every atom."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlff.models import build_model, model_config
from mlff.models.adapter import building, required
from mlff.models.converted_mace import mace_inputs
from mlff.models.nequip import nequip_state

from .structures import CUTOFF, SPECIES, Structure


def test_mace_gives_the_features_of_mace(frames: list[Structure], crystal: Structure) -> None:
    pytest.importorskip("mace", reason="mace is not installed: run `make test-adapters`")
    modules, o3 = required("mace.modules", model="", extra=""), required("e3nn.o3", model="", extra="")
    torch.manual_seed(5)
    config = model_config("mace", species=SPECIES, num_features=8, average_neighbors=9.0, num_layers=3)
    ours = build_model(config).double()
    torch.manual_seed(5)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    with building(torch.float64):
        theirs = modules.MACE(
            r_max=CUTOFF, num_bessel=8, num_polynomial_cutoff=5, max_ell=3, interaction_cls=block, interaction_cls_first=block,
            num_interactions=3, num_elements=4, hidden_irreps=o3.Irreps("8x0e+8x1o"), MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=torch.zeros(4).numpy(), avg_num_neighbors=9.0, atomic_numbers=list(SPECIES), correlation=3,
            gate=nn.functional.silu,
        )  # fmt: skip
    last = theirs.readouts[-1]
    for structure in (*frames, crystal):
        graph = structure.graph()
        types = torch.tensor([SPECIES.index(int(z)) for z in graph.atomic_numbers])
        expected = theirs(mace_inputs(graph, types, 4, 0, torch.float64), compute_force=False)["node_feats"]
        found = ours(graph)
        assert found.vector is not None
        # Weights were drawn in float64 and rounded to float32 in ours, as every new model's are.
        close(found.scalar[:, :16], torch.cat((expected[:, :8], expected[:, 32:40]), dim=1))
        close(found.vector, expected[:, 40:64].view(-1, 8, 3).transpose(1, 2))
        close(found.scalar[:, 16:], last.non_linearity(last.linear_1(expected[:, 64:])))


@pytest.mark.parametrize("name", ["nequip", "allegro"])
def test_nequip_and_allegro_give_the_energies_of_theirs(name: str, frames: list[Structure], crystal: Structure) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed: run `make test-adapters`")
    torch.manual_seed(5)
    config: Any = model_config(name, species=SPECIES, num_features=8, average_neighbors=9.0, lmax=1)
    ours = build_model(config).double()
    torch.manual_seed(5)
    options = dict(
        seed=int(torch.randint(2**31, ())), model_dtype="float64", type_names=["H", "C", "N", "O"], r_max=CUTOFF, l_max=1,
        avg_num_neighbors=9.0, per_type_energy_scales=1.0, per_type_energy_shifts=0.0,
    )  # fmt: skip
    models = required(f"{name}.model", model="", extra="")
    with nequip_state():
        if name == "nequip":
            theirs = models.NequIPGNNModel(**options, num_layers=4, parity=False, num_features=8)
        else:
            embedding = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8}
            theirs = models.AllegroModel(
                **options, num_layers=2, num_scalar_features=8, num_tensor_features=32, radial_chemical_embed=embedding,
                allegro_mlp_hidden_layers_width=64, readout_mlp_hidden_layers_width=32,
            )  # fmt: skip
    children = dict(theirs.model.func.named_children())
    last = children["per_atom_energy_readout" if name == "nequip" else "edge_readout"].mlp_module.mlp[-1]
    for structure in (*frames, crystal):
        graph = structure.graph()
        data = {
            "pos": graph.positions, "edge_index": graph.edge_index, "batch": graph.batch,
            "atom_types": torch.tensor([SPECIES.index(int(z)) for z in graph.atomic_numbers]),
            "num_atoms": torch.tensor([graph.num_atoms]),
        }  # fmt: skip
        if graph.cell is not None and graph.pair_shifts is not None:
            data |= {"cell": graph.cell, "edge_cell_shift": torch.cat((graph.pair_shifts, -graph.pair_shifts))}
        close(ours(graph).scalar @ (last.weight * last.alpha), theirs(data)["atomic_energy"])


def close(found: Tensor, expected: Tensor) -> None:
    """Equal but for weights that were rounded to float32."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(expected.abs().max())))
