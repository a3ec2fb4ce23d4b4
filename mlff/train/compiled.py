"""One training step's gradient as one compiled function: energies, forces, loss and its gradient traced together.

Eager training runs some thousand small kernels a step, each of which writes what the next one reads. Traced as a whole
(``make_fx`` through both levels of differentiation) they are fused by Inductor, and on a CPU sums over neighbours and
products are done by kernels (``mlff/fast``): 2 to 5 times faster. The first step pays with minutes of compilation, so this is
for longer runs.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from mlff.fast.substitutes import use_kernels
from mlff.fast.training import load_kernels, with_kernels
from mlff.graph import Graph
from mlff.potential.potential import Potential
from mlff.train.loss import Targets, loss_terms, weighted_loss
from mlff.train.loss_config import LossConfig

TOLERANCE = 1e-3
"""Largest relative difference to the eager gradient at which the compiled one is believed, in its first use."""
GRAPH_TENSORS = ("positions", "atomic_numbers", "batch", "pairs", "pair_shifts", "cell", "pbc")
VARYING = {
    "positions": (0, 20011), "atomic_numbers": (0, 20011), "batch": (0, 20011), "forces": (0, 20011),
    "pairs": (1, 40009), "pair_shifts": (0, 40009),
    "cell": (0, 10007), "pbc": (0, 10007), "energy": (0, 10007), "stress": (0, 10007), "num_atoms": (0, 10007),
}  # fmt: skip
"""The dimension of each tensor that differs from batch to batch, and its size while tracing: primes that no weight has.
With a batch's own sizes 24 pairs would be taken for the 24 rows of a weight, and the next batch would not fit."""
Step = Callable[..., list[Tensor]]


class CompiledGradient:
    """The gradient of the loss in the trained parameters of a potential, compiled once a kind of batch.

    A kind is which tensors a batch has (a cell, forces, ...); sizes may vary. Where compilation fails or its result is not
    that of eager torch, the kind is computed eagerly, and a warning says so once.
    """

    def __init__(self, potential: Potential, config: LossConfig) -> None:
        self.potential = potential
        self.config = config
        self._names = [name for name, _ in potential.named_parameters()]
        self._trained = [parameter.requires_grad for parameter in potential.parameters()]
        self._steps: dict[tuple[str, ...], Step | None] = {}

    def __call__(
        self, graph: Graph, targets: Targets, counts: Tensor, *, forces: bool, stress: bool
    ) -> tuple[Tensor, Tensor, list[Tensor]] | None:
        """Loss, absolute errors ``[3]`` and gradients of the trained parameters in order; None: the batch is for eager torch.

        `counts` are the numbers of values that the loss divides by, ``[3]``, those of other processes included.
        """
        tensors = {name: getattr(graph, name) for name in GRAPH_TENSORS if getattr(graph, name) is not None}
        kind = (*tensors, *targets.values, f"forces={forces}", f"stress={stress}")
        if _ambiguous(graph):
            return None
        inputs = [*tensors.values(), *targets.values.values(), *targets.valid.values(), targets.num_atoms, counts]
        parameters = [parameter.detach() for parameter in self.potential.parameters()]
        if kind not in self._steps:
            kernels = graph.positions.device.type == "cpu" and load_kernels()
            eager, traced = (
                self._function(potential, tuple(tensors), tuple(targets.values), graph.cutoff, forces, stress)
                for potential in (self.potential, with_kernels(self.potential) if kernels else self.potential)
            )
            names = [*tensors, *targets.values, *targets.valid, "num_atoms", "counts"]
            self._steps[kind] = self._compile(eager, traced, kernels, parameters, inputs, names)
        step = self._steps[kind]
        if step is None:
            return None
        with torch.no_grad():
            loss, absolute, *gradients = step(parameters, inputs)
        return loss, absolute, gradients

    def _function(
        self, potential: Potential, names: tuple[str, ...], quantities: tuple[str, ...], cutoff: float, forces: bool,
        stress: bool,
    ) -> Step:  # fmt: skip
        def step(parameters: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
            graph_tensors = dict(zip(names, inputs))
            values = dict(zip(quantities, inputs[len(names) :]))
            valid = dict(zip(quantities, inputs[len(names) + len(quantities) :]))
            num_atoms, counts = inputs[-2:]
            absent: dict[str, Any] = {name: None for name in GRAPH_TENSORS if name not in names}
            graph = Graph(**graph_tensors, **absent, cutoff=cutoff, num_graphs=num_atoms.shape[0])
            parameters = [parameter.detach().requires_grad_(trained) for parameter, trained in zip(parameters, self._trained)]
            variables = [parameter for parameter in parameters if parameter.requires_grad]
            prediction = functional_call(
                potential, dict(zip(self._names, parameters)), (graph,), {"forces": forces, "stress": stress}
            )
            sums, absolute = loss_terms(prediction, Targets(values, valid, num_atoms), self.config)
            loss = weighted_loss(sums, counts, self.config)
            gradients = torch.autograd.grad(loss, variables, allow_unused=True, materialize_grads=True)
            return [tensor.detach() for tensor in (loss, absolute, *gradients)]

        return step

    def _compile(
        self, eager: Step, function: Step, kernels: bool, parameters: list[Tensor], inputs: list[Tensor], names: list[str]
    ) -> Step | None:
        """`function` compiled, or None where that fails or does not give what `eager` gives."""
        try:
            traced = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(
                parameters, [_stand_in(name, tensor) for name, tensor in zip(names, inputs)]
            )
            if fixed := _fixed_sizes(traced.code):
                raise RuntimeError(f"the model turned a size of the batch into a constant (`len` does): {fixed}")
            if kernels:
                use_kernels(traced)
            for name, tensor in zip(names, inputs):
                if name in VARYING:
                    torch._dynamo.maybe_mark_dynamic(tensor, VARYING[name][0])
            with torch.no_grad():
                compiled = torch.compile(traced, fullgraph=True)
                found = compiled(parameters, inputs)
        except Exception as error:  # whatever a compiler, its tool chain or an untraceable operation may raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            _warn(f"it failed with {type(error).__name__}: {reason:.200}")
            return None
        expected, found = (torch.cat([g.flatten() for g in result[2:]]) for result in (eager(parameters, inputs), found))
        difference = float((found - expected).norm() / expected.norm().clamp(min=1e-12))
        if not difference < TOLERANCE:
            _warn(f"its gradients differ from eager torch's by {difference:.1e}")
            return None
        return compiled


def _stand_in(name: str, tensor: Tensor) -> Tensor:
    """A tensor like this one with the size that batches are traced with; nothing but its shape and dtype is looked at."""
    shape = list(tensor.shape)
    if name in VARYING:
        dimension, size = VARYING[name]
        shape[dimension] = size
    return tensor.new_zeros(shape)


def _fixed_sizes(code: str) -> list[int]:
    """Sizes of the stand-ins, or multiples of them, that stand in traced code as numbers."""
    primes = {size for _, size in VARYING.values()}
    return sorted({int(text) for text in re.findall(r"\b\d{5,9}\b", code) if any(int(text) % prime == 0 for prime in primes)})


def _warn(reason: str) -> None:
    warnings.warn(f"the training step was not compiled: {reason}; training goes on without", stacklevel=2)


def _ambiguous(graph: Graph) -> bool:
    """Whether sizes coincide, which tracing would take for the same size, or are as small as those that never change."""
    sizes = (graph.num_graphs, graph.num_atoms, graph.num_pairs)
    return min(sizes) < 2 or len(set(sizes)) < len(sizes)


assert {field.name for field in fields(Graph)} == {*GRAPH_TENSORS, "cutoff", "num_graphs"}
