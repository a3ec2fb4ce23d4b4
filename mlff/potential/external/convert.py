"""A trained model of another package, turned into a checkpoint of ours.

The packages store models as pickles, which can run any code when they are opened. So a file is opened once, by `convert`, and
only where its user says that its origin is trusted; what it writes is a checkpoint as any other, which never unpickles.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlff.graph import Graph, build_graph
from mlff.models import ModelConfig
from mlff.potential.checkpoint import save_potential
from mlff.potential.potential import Potential

SOURCES = {"mace": ".mace", "nequip": ".nequip"}
"""Name before the colon -> module here whose ``read`` opens such a file."""
CHECKED_STRUCTURES = 4
CHECKED_ATOMS = 12


@dataclass(frozen=True)
class Trained:
    """What was in a file."""

    config: ModelConfig
    atomic_energies: dict[int, float]
    """eV."""
    tensors: dict[str, Tensor]
    """Weights of the model, by the names that they have in ours."""
    dtype: torch.dtype
    reference: Callable[[Graph], tuple[Tensor, Tensor]]
    """Energies ``[B]``, eV, and forces ``[N, 3]``, eV/angstrom, as the package computes them."""


def parse_source(text: str) -> tuple[str, Path] | None:
    """The package and the path of ``mace:FILE`` or ``nequip:FILE``; None for anything else."""
    package, colon, path = text.partition(":")
    return (package, Path(path)) if colon and package in SOURCES and path else None


def convert(
    source: str, out: str | os.PathLike[str], *, trust_pickle: bool = False, head: str | None = None
) -> tuple[Path, float, float]:
    """Write a model that another package trained as a checkpoint.

    Args:
        source: ``mace:FILE`` (what mace_run_train writes, or a foundation model) or ``nequip:FILE`` (of NequIP or Allegro: the
            ``.ckpt`` of nequip-train or the ``.nequip.zip`` of nequip-package).
        out: folder, or a path that ends in ``.safetensors``; see `save_potential`.
        trust_pickle: that the file may be opened although it can run any code.
        head: of a MACE that knows several levels of theory, which one.

    Returns:
        The path, and the largest differences of energies (eV an atom) and forces (eV/angstrom) from the package's own on
        structures of random atoms.

    Raises:
        ValueError: no consent, no such file, or a model that cannot be taken over, or not with the same energies.
        ImportError: the package is not installed.
    """
    parsed = parse_source(source)
    if parsed is None:
        raise ValueError(f"`{source}` names no package; write {' or '.join(f'{name}:FILE' for name in SOURCES)}")
    package, path = parsed
    if not path.is_file():
        raise ValueError(f"there is no file `{path}`")
    if not trust_pickle:
        raise ValueError(f"`{path}` is a pickle, which can run any code when it is opened; if you trust where it comes from, "
                         f"say so with --trust-pickle (in Python: trust_pickle=True)")
    trained: Trained = importlib.import_module(SOURCES[package], __package__).read(path, head)
    potential = _potential(trained, path)
    energy, force = compare(potential, trained)
    limit = 1e-9 if trained.dtype == torch.float64 else 1e-4
    if not (energy <= limit and force <= 10 * limit):
        raise ValueError(f"`{path}` was not converted: energies differ by {energy:.2g} eV an atom and forces by {force:.2g} "
                         f"eV/angstrom from those that {package} computes with it, so that something in it is not known here")
    extra = {"converted_from": {"package": package, "file": path.name}, "data": f"{package}:{path.name}"}
    return save_potential(potential.to(trained.dtype), out, extra=extra), energy, force


def _potential(trained: Trained, path: Path) -> Potential:
    potential = Potential.build(
        trained.config, species=tuple(trained.atomic_energies), atomic_energies=trained.atomic_energies
    )
    expected = potential.model.state_dict()
    missing, unknown = sorted(expected.keys() - trained.tensors.keys()), sorted(trained.tensors.keys() - expected.keys())
    wrong = [name for name in expected.keys() & trained.tensors.keys() if expected[name].shape != trained.tensors[name].shape]
    if missing or unknown or wrong:
        named = "; ".join(f"{what} {', '.join(names[:3])}" for what, names in
                          (("missing", missing), ("unknown", unknown), ("of another shape", sorted(wrong))) if names)
        raise ValueError(f"the weights in `{path}` do not fit the model that its settings make ({named}); it was perhaps "
                         f"written by another version of its package than the one installed")
    potential.to(trained.dtype)
    potential.model.load_state_dict(trained.tensors)
    potential.to(trained.dtype)  # which brings back exact constants
    last = potential.head.network[-1]
    with torch.no_grad():
        last.get_parameter("weight").fill_(1.0)
        last.get_parameter("bias").zero_()
    return potential.eval()


def compare(potential: Potential, trained: Trained) -> tuple[float, float]:
    """The largest differences, of an atom's energy and of a force, between the potential and the package's own results."""
    energies, forces = [], []
    generator = np.random.default_rng(0)
    width = 0.6 * potential.cutoff + 1.5
    for number in range(CHECKED_STRUCTURES):
        positions = spaced(generator, CHECKED_ATOMS, width)
        numbers = generator.choice(potential.species, CHECKED_ATOMS)
        cell = np.eye(3) * (width + 1.0) if number % 2 else None
        graph = build_graph(positions, numbers, potential.cutoff, cell=cell, pbc=None if cell is None else True)
        energy, force = trained.reference(graph)
        found = potential(graph)
        energies.append(float((found["energy"][:, 0] - energy.double()).abs().max()) / CHECKED_ATOMS)
        forces.append(float((found["forces"][:, 0].double() - force.double()).abs().max() / max(1.0, float(force.abs().max()))))
    return max(energies), max(forces)


def spaced(generator: np.random.Generator, num_atoms: int, width: float, shortest: float = 1.2) -> np.ndarray:
    """Random positions in a cube, angstrom, no two nearer than ``shortest``: ``[num_atoms, 3]``."""
    positions = np.empty((0, 3))
    while len(positions) < num_atoms:
        candidate = generator.uniform(0.0, width, 3)
        if not len(positions) or np.linalg.norm(positions - candidate, axis=1).min() > shortest:
            positions = np.vstack((positions, candidate))
    return positions
