"""A potential as a program of plain torch operators, for hosts that have torch, in Python or C++, and no mlff.

Energies of all states, forces and virials are one graph (``torch.export``) with the weights inside and numbers of atoms and
pairs that vary. The host finds the pairs, each once: atoms i and j and the translation t of the periodic image, so that the
vector of a pair is ``r_j + t - r_i``. One program serves molecules and every periodicity.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

import mlff
from mlff.graph import Graph, build_graph
from mlff.nn import scatter_sum
from mlff.potential.potential import Potential

from .program import NUM_ATOMS, NUM_EDGES, VectorGraph, quiet, unfit

FORMAT = "mlff portable potential"
FORMAT_VERSION = 1
METADATA = "metadata.json"
"""Name of the description among the extra files of the program."""
INPUTS = {
    "positions": {"shape": ["atoms", 3], "dtype": "float64", "unit": "angstrom"},
    "atomic_numbers": {"shape": ["atoms"], "dtype": "int64"},
    "pairs": {"shape": [2, "pairs"], "dtype": "int64",
              "meaning": "atoms i (row 0) and j (row 1) of every pair nearer than the cutoff, each pair once"},
    "translations": {"shape": ["pairs", 3], "dtype": "float64", "unit": "angstrom",
                     "meaning": "of atom j's periodic image: the pair's vector is r_j + translation - r_i"},
}  # fmt: skip
OUTPUTS = {
    "energy": {"shape": ["states"], "dtype": "float64", "unit": "eV"},
    "energies": {"shape": ["atoms", "states"], "dtype": "float64", "unit": "eV"},
    "forces": {"shape": ["atoms", "states", 3], "dtype": "float64", "unit": "eV/angstrom"},
    "virial": {"shape": ["states", 3, 3], "dtype": "float64", "unit": "eV", "meaning": "dE/dstrain; stress times volume"},
}
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Largest difference to the potential, eV and eV/Å, relative to the largest force, at which a program is written."""


class _Function(nn.Module):
    """What is traced."""

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential

    def forward(self, positions: Tensor, numbers: Tensor, pairs: Tensor, translations: Tensor) -> dict[str, Tensor]:
        i, j = pairs
        with torch.enable_grad():
            vectors = positions.index_select(0, j) - positions.index_select(0, i) + translations
            vectors = vectors.detach().requires_grad_(True)
            graph = VectorGraph(
                positions=positions, atomic_numbers=numbers, batch=torch.zeros_like(numbers), pairs=pairs,
                cutoff=self.potential.cutoff, num_graphs=1, vectors=vectors,
            )  # fmt: skip
            energies = self.potential.atom_energies(graph)
            num_states = energies.shape[1]
            gradients = [
                torch.autograd.grad(energies[:, state].sum(), vectors, retain_graph=state + 1 < num_states)[0]
                for state in range(num_states)
            ]
        vectors, index = vectors.detach(), torch.cat((i, j))
        forces = [scatter_sum(torch.cat((gradient, -gradient)), index, numbers.shape[0]) for gradient in gradients]
        virials = [gradient.mT @ vectors for gradient in gradients]
        energies = energies.detach()
        return {
            "energy": energies.sum(0),
            "energies": energies,
            "forces": torch.stack(forces, dim=1),
            "virial": torch.stack([0.5 * (virial + virial.mT) for virial in virials]),
        }


class _Traced(nn.Module):
    """A traced function with its weights as buffers."""

    def __init__(self, graph: nn.Module, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.traced = graph  # not `graph`, which every traced module has already
        self._places = [name.replace(".", "_") for name in state]
        for place, tensor in zip(self._places, state.values()):
            self.register_buffer(place, tensor)

    def forward(self, positions: Tensor, atomic_numbers: Tensor, pairs: Tensor, translations: Tensor) -> Any:
        return self.traced([getattr(self, place) for place in self._places], positions, atomic_numbers, pairs, translations)


def export_potential(potential: Potential) -> ExportedProgram:
    """The program of a potential, which agreed with it on a few atoms.

    Args:
        potential: on the CPU; the program computes in its dtype.

    Raises:
        ValueError: diabatic surfaces, labelled atoms, a graph of neighbours or bonds, no forces, or operations that cannot be
            traced.
    """
    if (misfit := unfit(potential)) is not None:
        has, but = misfit
        raise ValueError(f"a portable program {has}; {but}, so run it with mlff itself")
    function = _Function(potential).eval().requires_grad_(False)
    state = {name: tensor.detach() for name, tensor in [*function.named_parameters(), *function.named_buffers()]}
    names = list(state)

    def with_weights(weights: list[Tensor], *inputs: Tensor) -> dict[str, Tensor]:
        return functional_call(function, dict(zip(names, weights)), inputs)

    atoms, pairs = Dim("atoms", min=1, max=2**30), Dim("pairs", min=1, max=2**30)
    stand_ins = (
        torch.zeros(NUM_ATOMS, 3, dtype=torch.float64), torch.zeros(NUM_ATOMS, dtype=torch.int64),
        torch.zeros(2, NUM_EDGES, dtype=torch.int64), torch.zeros(NUM_EDGES, 3, dtype=torch.float64),
    )  # fmt: skip
    try:
        with torch.no_grad(), quiet():
            trace = make_fx(with_weights, tracing_mode="symbolic", _allow_non_fake_inputs=True)
            graph = trace(list(state.values()), *stand_ins)
            sizes = {0: atoms}, {0: atoms}, {1: pairs}, {0: pairs}
            program = torch.export.export(_Traced(graph, state), stand_ins, dynamic_shapes=sizes, strict=False)
    except Exception as error:  # whatever an untraceable operation may raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        name = potential.config.model.model_dump()["name"]
        raise ValueError(f"{name} cannot be exported: {type(error).__name__}: {reason:.300}") from error
    _check(program, potential)
    return program


def metadata(potential: Potential) -> dict[str, Any]:
    """What a host has to know of a program: cutoff, elements, states, and its inputs and outputs in order."""
    config = potential.config
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "mlff": mlff.__version__,
        "torch": str(torch.__version__),
        "model": config.model.model_dump(mode="json"),
        "cutoff": potential.cutoff,
        "cutoff_unit": "angstrom",
        "species": list(potential.species),
        "states": potential.num_states,
        "multiplicities": config.multiplicities,
        "dtype": str(potential.dtype).removeprefix("torch."),
        "inputs": INPUTS,
        "outputs": OUTPUTS,
    }


def save_portable(potential: Potential, file: Path) -> None:
    """Export a potential into a ``.pt2`` file, which appears whole or not at all.

    Raises:
        ValueError: what `export_potential` refuses, or another suffix.
        OSError: the file cannot be written.
    """
    if file.suffix != ".pt2":
        raise ValueError(f"the program's file is `{file}`; torch reads such programs from files that end in .pt2")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder `{file.parent}` to write {file.name} into")
    program = export_potential(potential)
    with tempfile.TemporaryDirectory(prefix=".mlff-export-", dir=file.parent) as folder:
        aside = Path(folder) / file.name
        with quiet():
            torch.export.save(program, aside, extra_files={METADATA: json.dumps(metadata(potential), indent=2)})
        os.replace(aside, file)


def program_inputs(graph: Graph) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The inputs of a program for one structure, from its graph."""
    i, j = graph.pairs
    translations = graph.pair_vectors() - (graph.positions.index_select(0, j) - graph.positions.index_select(0, i))
    return graph.positions, graph.atomic_numbers, graph.pairs, translations


def _check(program: ExportedProgram, potential: Potential) -> None:
    """Compare with the potential on a few atoms of all its elements."""
    numbers = np.resize(np.array(potential.species, dtype=np.int64), max(8, len(potential.species)))
    places = np.array(list(np.ndindex(5, 5, 5)), dtype=np.float64)[: len(numbers)]
    places += 0.15 * np.sin(7.0 * np.arange(places.size).reshape(-1, 3))
    graph = build_graph(min(1.3, 0.4 * potential.cutoff) * places, numbers, potential.cutoff)
    exact, found = potential(graph), program.module()(*program_inputs(graph))
    size = max(1.0, float(exact["forces"].abs().max()))
    error = max(float((found[name] - exact[name]).abs().max()) for name in ("energies", "forces"))
    if not error <= TOLERANCES[potential.dtype] * size:
        name = potential.config.model.model_dump()["name"]
        raise ValueError(f"{name} cannot be exported: energies or forces are wrong by {error:.1e} eV or eV/angstrom")
