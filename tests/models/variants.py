"""The models under contract, and a structure that has no symmetry for a fault to hide behind."""

from __future__ import annotations

import copy
import functools
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mlff.graph import Graph, build_graph
from mlff.models import ADAPTERS, MODELS, TOPOLOGICAL, model_config
from mlff.models.tfn import recent_enough
from mlff.potential.potential import Potential

ATOMIC_ENERGIES = {1: -13.6, 6: -1027.0, 7: -1480.0, 8: -2040.0}
CUTOFF = 4.0
NUM_STATES = 2

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in MODELS} | {
    "egnn-paper": ("egnn", dict(num_radial=0, attention=False, normalize=False)),
    "egnn-mean-tanh": ("egnn", dict(aggregation="mean", tanh=True, residual=False)),
    "egnn-fixed-coordinates": ("egnn", dict(update_coordinates=False)),
    "et-reference": ("et", dict(num_layers=2, envelope="cosine", norm_epsilon=1e-24)),
    "et-one-layer": ("et", dict(num_layers=1, num_heads=2, num_radial=8, radial="bessel")),
    "gnn-one-layer": ("gnn", dict(num_layers=1, envelope="cosine")),
    "gvp-sharp-norm": ("gvp", dict(num_layers=2, radial="gaussian", num_radial=16, vector_norm_epsilon=1e-3)),
    "gvp-one-layer": ("gvp", dict(num_layers=1, num_message_layers=1, num_vectors=5)),
    "painn-reference": ("painn", dict(radial="gaussian", envelope="cosine")),
    "radial-field-one-layer": ("radial-field", dict(num_layers=1, radial="bessel", num_radial=8)),
    "schnet-reference": ("schnet", dict(num_layers=2, envelope="cosine")),
    "tensornet-reference": ("tensornet", dict(envelope="cosine")),
    "tensornet-so3": ("tensornet", dict(group="SO(3)")),
    "tensornet-no-self-loops": ("tensornet", dict(self_loops=False, radial="bessel")),
    "visnet-reference": ("visnet", dict(num_layers=3, envelope="cosine", norm_epsilon=1e-24)),
    "visnet-one-layer": ("visnet", dict(num_layers=1, num_heads=2)),
    "visnet-degree-2": ("visnet", dict(num_layers=3, lmax=2)),
}
"""Every registered model with its defaults, and the variants that run other code."""

WITHOUT_SYMMETRY = ("gnn",)
"""Models whose energies change when the structure turns or moves."""

PACKAGES = {"allegro": "allegro", "dimenet++": "torch_geometric", "mace": "mace", "nequip": "nequip", "tfn": "e3nn"}
"""What the models made of other packages' modules import: they are under contract where it is installed."""
INSTALLED = [name for name in ADAPTERS if find_spec(PACKAGES[name]) and (name != "tfn" or recent_enough())]
NARROW = dict(triplet_features=8, readout_features=16)
VARIANTS |= {name: (name, NARROW if name == "dimenet++" else {}) for name in INSTALLED}
if "mace" in INSTALLED:
    VARIANTS["mace-scalars"] = ("mace", dict(lmax=0, num_layers=3, correlation=2))
if "nequip" in INSTALLED:
    VARIANTS["nequip-parity"] = ("nequip", dict(lmax=2, num_layers=2, parity=True))
if "allegro" in INSTALLED:
    VARIANTS["allegro-one-layer"] = ("allegro", dict(lmax=1, num_layers=1, parity=False))
if "tfn" in INSTALLED:
    VARIANTS["tfn-one-layer"] = ("tfn", dict(num_layers=1, average_neighbors=7.0))
    VARIANTS["tfn-degree-2"] = ("tfn", dict(num_layers=2, lmax=2))
    VARIANTS["tfn-parity"] = ("tfn", dict(lmax=1, parity=True, radial="gaussian", average_neighbors=7.0))
if "dimenet++" in INSTALLED:
    VARIANTS["dimenet++-one-layer"] = ("dimenet++", dict(num_layers=1, num_spherical=3, num_radial=4, **NARROW))

TOPOLOGICAL_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {}
"""Models without forces, where torch_geometric is installed; they owe a part of the contract."""
if find_spec("torch_geometric"):
    TOPOLOGICAL_VARIANTS = {name: (name, {}) for name in TOPOLOGICAL} | {
        "gcn-paper": ("gcn", dict(num_layers=2, residual=False)),
        "mpnn-one-layer": ("mpnn", dict(num_layers=1)),
        "graph-transformer-one-layer": ("graph-transformer", dict(num_layers=1, num_heads=2, num_times=3)),
    }

NUMBERS = np.array([6, 6, 8, 7, 1, 1, 1, 1])
POSITIONS = np.array(
    [
        [0.00, 0.00, 0.00],
        [1.43, 0.21, -0.15],
        [1.95, 1.31, 0.54],
        [2.11, -1.02, 0.33],
        [-0.52, 0.81, 0.63],
        [-0.41, -0.98, 0.22],
        [-0.25, 0.33, -1.04],
        [3.02, -1.11, -0.12],
    ]
)
"""A chiral molecule, Å; wider than the cutoff."""
CELL = np.array([[5.1, 0.3, -0.2], [1.1, 4.7, 0.4], [-0.7, 0.9, 5.5]])
"""A skewed box, Å, narrower than twice the cutoff: atoms see several images of the others, and of themselves."""


def make_potential(variant: str, dtype: torch.dtype = torch.float64) -> Potential:
    """A small potential of two states, in evaluation mode, its weights large enough for every term to count."""
    return copy.deepcopy(built(variant)).to(dtype)


def make_repelling(variant: str) -> Potential:
    """The same with the ZBL prior."""
    plain = make_potential(variant)
    potential = Potential(plain.config.model_copy(update={"zbl": True})).to(plain.dtype)
    potential.load_state_dict(plain.state_dict())
    return potential.eval()


@functools.cache
def built(variant: str) -> Potential:
    """The potential that is copied: some packages take seconds to build theirs."""
    name, options = (VARIANTS | TOPOLOGICAL_VARIANTS)[variant]
    # The bases of DimeNet++ reach 50, and its layers multiply them: energies would be 1e4 eV.
    change = 0.01 if name == "dimenet++" else 0.1
    with torch.random.fork_rng():
        torch.manual_seed(7)
        potential = Potential.build(
            model_config(name, num_features=16, cutoff=CUTOFF, **options),
            species=tuple(ATOMIC_ENERGIES),
            num_states=NUM_STATES,
            scale=1.3,
            atomic_energies=ATOMIC_ENERGIES,
        )
        with torch.no_grad():
            for parameter in potential.parameters():
                parameter += change * torch.randn_like(parameter)
    return potential.eval()


def molecule(positions: ArrayLike = POSITIONS, numbers: ArrayLike = NUMBERS) -> Graph:
    return build_graph(positions, numbers, CUTOFF)


def crystal(positions: ArrayLike = POSITIONS, numbers: ArrayLike = NUMBERS, cell: ArrayLike = CELL) -> Graph:
    return build_graph(positions, numbers, CUTOFF, cell=cell, pbc=[True] * 3)
