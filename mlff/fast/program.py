"""Energy and forces of a model as one compiled function of its weights and of one structure.

Energy and minus its gradient are traced together (``make_fx``), exported with numbers of atoms and edges that vary, and
compiled ahead of time by Inductor into a package that a later process loads in some milliseconds. A program returns the
network's energies of the atoms ``[N, S]`` (float64, before the potential scales them), the forces ``[N, 3]`` and the virial
``[3, 3]`` of the energy that ``state_weights`` [S] make of them. Inputs are vectors between atoms, so a program knows
nothing of cells.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mlff.graph import Graph
from mlff.models import EGNN, MODELS, PaiNN, TensorNet
from mlff.nn import Features, scatter_sum
from mlff.potential.potential import Potential

from . import egnn, ops, painn, tensornet
from .build import SOURCES, CompilationError, kernel_library
from .cache import cache_folder, digest, new_file
from .substitutes import use_kernels

TABULATED: dict[type[nn.Module], ModuleType] = {EGNN: egnn, PaiNN: painn, TensorNet: tensornet}
"""Models with a form of their own for tables and kernels; every other model is traced as it is."""
OF_PRODUCTS = (EGNN,)
"""Of these, those whose kernel multiplies matrices; traced as they are where the kernels' products are torch's."""
NUM_ATOMS, NUM_EDGES, NUM_COEFFICIENTS = 20011, 40009, 1009
"""Sizes while tracing: primes that no weight has, so that no size is taken for another."""

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class TabulatedEnergy(nn.Module):
    """Network energies from tables, of a structure given by its directed edges."""

    varying: tuple[str, ...] = ("numbers", "vectors", "basis", "offsets", "neighbors")

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.model, self.head = potential.model, potential.head
        self.form = TABULATED[type(potential.model)]

    def forward(self, constants: list[Tensor], state_weights: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Network energies, forces and virial."""
        numbers, vectors, basis, offsets, neighbors = inputs
        with torch.enable_grad():
            vectors = vectors.detach().requires_grad_(True)
            edges = ops.Edges(vectors, basis, offsets, neighbors)
            scalars = self.form.scalars(self.model, numbers, edges, constants)
            network = self.head(Features(scalar=scalars)).double()
            (gradient,) = torch.autograd.grad((network * state_weights).sum(), vectors)
        forces, virial = torch.ops.mlff.edge_forces(gradient, vectors.detach(), offsets, neighbors)
        return network.detach(), forces, virial


@dataclass(frozen=True)
class VectorGraph(Graph):
    """A graph whose pairs' vectors are given; positions say how many atoms there are."""

    vectors: Tensor | None = None

    def pair_vectors(self, dtype: torch.dtype | None = None) -> Tensor:
        """The given vectors, ``[P, 3]``."""
        assert self.vectors is not None
        return self.vectors if dtype is None else self.vectors.to(dtype)


class PairEnergy(nn.Module):
    """Network energies of any model, of a structure given by its pairs and their vectors."""

    varying: tuple[str, ...] = ("numbers", "positions", "pairs", "pair_vectors")

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.model, self.head = potential.model, potential.head

    def forward(self, constants: list[Tensor], state_weights: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Network energies, forces and virial."""
        numbers, positions, pairs, vectors = inputs
        with torch.enable_grad():
            vectors = vectors.detach().requires_grad_(True)
            graph = VectorGraph(
                positions=positions, atomic_numbers=numbers, batch=torch.zeros_like(numbers), pairs=pairs,
                cutoff=self.model.cutoff, num_graphs=1, vectors=vectors,
            )  # fmt: skip
            network = self.head(self.model(graph)).double()
            (gradient,) = torch.autograd.grad((network * state_weights).sum(), vectors)
        i, j = pairs
        index, signed = torch.cat((i, j)), torch.cat((gradient, -gradient))
        return network.detach(), scatter_sum(signed, index, numbers.shape[0]), gradient.mT @ vectors.detach()


Energy = TabulatedEnergy | PairEnergy


def unfit(potential: Potential) -> tuple[str, str] | None:
    """What compiled and portable code has, and what this potential has instead; None where they fit."""
    config = potential.config
    if config.surfaces != "separate" or config.labelled_atoms is not None:
        return "has separate energies of alike atoms", "this potential has diabatic surfaces or labelled atoms"
    if config.graph.kind != "radius":
        return "connects all atoms within the cutoff", f"this potential's `graph.kind` is {config.graph.kind}"
    if potential.model.symmetry == "none":
        return "is given vectors between atoms", "this potential's energy depends on where the atoms are"
    if config.model.topological:
        return "has energies and forces", "this potential has no forces"
    return None


class Program:
    """Compiled energy and forces of a potential on the CPU, with its weights.

    Args:
        potential: in the dtype of the program; its weights are read once, now.
        compile: whether to compile where the cache has no code, which takes about a minute.

    Raises:
        CompilationError: no code in the cache, and none made.
    """

    def __init__(self, potential: Potential, compile: bool) -> None:
        if (misfit := unfit(potential)) is not None:
            has, but = misfit
            raise CompilationError(f"compiled code {has}, and {but}")
        try:
            ops.load(kernel_library(compile))
            kind = type(potential.model)
            self.tabulated = kind in TABULATED and (kind not in OF_PRODUCTS or ops.own_products())
            module = TabulatedEnergy(potential) if self.tabulated else PairEnergy(potential)
            constants = TABULATED[kind].constants(potential.model) if self.tabulated else []
            self.num_coefficients = constants[0].shape[1] if constants else 0
            state = {name: tensor.detach().contiguous() for name, tensor in _tensors_of(module)}
            self._fixed = [*state.values(), *constants]
            self._run = self._code(potential, module, state, constants, compile)
        except OSError as error:
            reason = f"the folder for compiled code cannot be used ({error}); MLFF_CACHE names another"
            raise CompilationError(reason) from error

    def __call__(self, state_weights: Tensor, *inputs: Tensor) -> Sequence[Tensor]:
        """Network energies, forces and virial; the inputs are those of the program's kind, in order."""
        with torch.inference_mode():  # the operators then skip autograd, which costs Python's time at each of them
            return self._run([*self._fixed, state_weights, *(tensor.contiguous() for tensor in inputs)])


    def _code(
        self, potential: Potential, module: Energy, state: dict[str, Tensor], constants: list[Tensor], compile: bool
    ) -> Run:
        return _load(_package(potential, module, state, constants, compile))


def _tensors_of(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _package(potential: Potential, module: Energy, state: dict[str, Tensor], constants: list[Tensor], compile: bool) -> Path:
    name = digest(
        _sources(),
        kind=type(module).__name__,
        model=potential.config.model.model_dump(mode="json"),
        num_states=potential.num_states,
        dtype=str(potential.dtype),
    )
    package = cache_folder() / f"{potential.config.model.model_dump()['name']}-{name}.pt2"
    if not package.is_file():
        if not compile:
            raise CompilationError("there is no compiled code for this kind of model yet")
        with new_file(package) as file:
            if file is not None:
                _compile(module, state, constants, potential, file)
    return package


def _sources() -> list[Path]:
    """Files whose code ends up in programs."""
    root = Path(__file__).parent
    own = [root / name for name in ("ops.py", "program.py", "substitutes.py", "egnn.py", "painn.py", "tensornet.py")]
    own.append(root.parent / "heads" / "energy.py")
    return [*SOURCES, *own, *(file for package in ("models", "nn") for file in (root.parent / package).glob("*.py"))]


def _compile(module: Energy, state: dict[str, Tensor], constants: list[Tensor], potential: Potential, file: Path) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    stand_ins, dimensions = _stand_ins(module, constants, potential)
    names, num_constants = list(state), len(constants)

    def function(tensors: list[Tensor]) -> tuple[Tensor, ...]:
        weights, rest = tensors[: len(names)], tensors[len(names) :]
        return functional_call(module, dict(zip(names, weights)), (rest[:num_constants], *rest[num_constants:]))

    class Traced(nn.Module):
        def __init__(self, graph: nn.Module) -> None:
            super().__init__()
            self.graph = graph

        def forward(self, tensors: list[Tensor]) -> Any:
            return self.graph(tensors)

    tensors = [*state.values(), *stand_ins]
    try:
        with torch.no_grad(), quiet():
            graph = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(tensors)
            use_kernels(graph)
            exported = torch.export.export(
                Traced(graph), (tensors,), dynamic_shapes=([*[None] * len(state), *dimensions],), strict=False
            )
            torch._inductor.aoti_compile_and_package(
                exported, package_path=str(file), inductor_configs=_settings()
            )
    except Exception as error:  # whatever the compiler chain or an untraceable operation may raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CompilationError(f"{type(error).__name__}: {reason:.300}") from error


def _settings() -> dict[str, Any]:
    """Of Inductor."""
    calls = {"aot_inductor.custom_ops_to_c_shims": ops.c_functions()} if sys.platform == "linux" else {}
    return {"cpp.dynamic_threads": True, **calls}


def _stand_ins(module: Energy, constants: list[Tensor], potential: Potential) -> tuple[list[Tensor], list[Any]]:
    """Zeros like the arguments after the weights, and which of their sizes vary."""
    atoms, edges = (torch.export.Dim(name, min=2, max=2**30) for name in ("num_atoms", "num_edges"))
    coefficients = torch.export.Dim("num_coefficients", min=2, max=2**20)
    dtype = potential.dtype
    kinds: dict[str, tuple[tuple[int, ...], torch.dtype, dict[int, Any]]] = {
        "numbers": ((NUM_ATOMS,), torch.int64, {0: atoms}),
        "vectors": ((NUM_EDGES, 3), dtype, {0: edges}),
        "basis": ((NUM_EDGES, 16), dtype, {0: edges}),
        "offsets": ((NUM_ATOMS + 1,), torch.int32, {0: atoms + 1}),
        "neighbors": ((NUM_EDGES,), torch.int32, {0: edges}),
        "positions": ((NUM_ATOMS, 3), torch.float64, {0: atoms}),
        "pairs": ((2, NUM_EDGES), torch.int64, {1: edges}),
        "pair_vectors": ((NUM_EDGES, 3), torch.float64, {0: edges}),
    }
    tensors: list[Tensor] = []
    dimensions: list[Any] = []
    for constant in constants:
        table = constant.dim() == 4
        shape = list(constant.shape)
        if table:
            shape[1] = NUM_COEFFICIENTS
        tensors.append(constant.new_zeros(shape))
        dimensions.append({1: coefficients} if table else None)
    tensors.append(torch.zeros(potential.num_states, dtype=torch.float64))
    dimensions.append(None)
    for name in module.varying:
        size, kind, varying = kinds[name]
        tensors.append(torch.zeros(size, dtype=kind))
        dimensions.append(varying)
    return tensors, dimensions


def _load(package: Path) -> Run:
    try:
        # What torch._inductor.aoti_load_package does, without the 1.2 s that importing it takes.
        run = torch._C._aoti.AOTIModelPackageLoader(str(package), "model", False, 1, -1).boxed_run
        return lambda tensors: run(list(tensors))
    except Exception as error:
        package.unlink(missing_ok=True)
        raise CompilationError(f"the compiled code in {package} cannot be loaded ({error}); it was removed") from error


@contextlib.contextmanager
def quiet() -> Any:
    """Without the compiler chain's own remarks, which no user of mlff can do anything about."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logger = logging.getLogger("torch")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


assert set(TABULATED) <= {model for _, model in MODELS.values()}
