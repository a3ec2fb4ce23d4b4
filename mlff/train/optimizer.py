"""What moves the weights: Muon for the matrices of hidden layers with AdamW for everything else, or AdamW alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mlff.train.config import OptimizerConfig

SMALLEST = 8
"""Rows and columns that a matrix has at least: thinner ones, such as the last layer's of a few states, are as vectors."""
MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
RMS = 0.2
"""Root mean square of an entry's change, in units of the learning rate: that of AdamW's steps (Liu 2025, section 2.2)."""


class Optimizer:
    """Moves the trained parameters of a module along their ``.grad``; ``state`` is all that it remembers."""

    def __init__(self, module: nn.Module, config: OptimizerConfig, *, kernels: bool = False) -> None:
        """`kernels`: those of ``mlff/fast`` are loaded, and are to multiply matrices."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        hidden = hidden_matrices(module) if config.kind == "muon" else []
        chosen = {id(parameter) for parameter in hidden}
        others = [parameter for parameter in trained if id(parameter) not in chosen]
        self.learning_rate = config.learning_rate
        """Of the next step; `loop` lowers it over the run."""
        self._muon = Muon(hidden, config.weight_decay, kernels=kernels)
        self._adamw = torch.optim.AdamW(
            others, config.learning_rate, config.betas, weight_decay=config.weight_decay, fused=True
        ) if others else None  # fmt: skip

    def step(self) -> None:
        """Move every parameter."""
        self._muon.step(self.learning_rate)
        if self._adamw is not None:
            self._adamw.param_groups[0]["lr"] = self.learning_rate
            self._adamw.step()

    @property
    def state(self) -> dict[str, Tensor]:
        """What `load` needs to go on from here."""
        tensors = {f"muon.{index}": momentum for index, momentum in enumerate(self._muon.momenta)}
        if self._adamw is not None:
            for index, values in self._adamw.state_dict()["state"].items():
                tensors |= {f"{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        return tensors

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`."""
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            index, _, key = name.partition(".")
            if index == "muon":
                self._muon.momenta[int(key)].copy_(tensor)
            else:
                states.setdefault(int(index), {})[key] = tensor
        if self._adamw is not None:
            self._adamw.load_state_dict({"state": states, "param_groups": self._adamw.state_dict()["param_groups"]})


class Muon:
    """Momentum whose matrices are made orthogonal before each step (Jordan 2024, https://kellerjordan.github.io/posts/muon).

    All directions of a layer's matrix then move equally far, also those in which the gradient is small. Matrices of one
    shape are orthogonalised together, in their own precision: bfloat16, which torch.optim.Muon has, takes 10 to 30 times as
    long on processors without instructions for it.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], weight_decay: float, *, kernels: bool = False) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        self.stacks: list[list[Tensor]] = list(by_shape.values())
        self.momenta = [torch.stack([torch.zeros_like(matrix) for matrix in stack]) for stack in self.stacks]
        self.weight_decay, self.kernels = weight_decay, kernels

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every matrix."""
        for stack, momentum in zip(self.stacks, self.momenta):
            gradient = torch.stack([_gradient(matrix) for matrix in stack])
            momentum.lerp_(gradient, 1 - MOMENTUM)
            direction = orthogonalized(gradient.lerp_(momentum, MOMENTUM), kernels=self.kernels)
            size = learning_rate * RMS * math.sqrt(max(stack[0].shape))
            torch._foreach_mul_(stack, 1 - learning_rate * self.weight_decay)
            torch._foreach_add_(stack, list(direction.unbind()), alpha=-size)


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Trained matrices that act on features: no embeddings, and no matrix with less than ``SMALLEST`` rows or columns."""
    tables = {id(each.weight) for each in module.modules() if isinstance(each, nn.Embedding)}
    return [
        parameter for parameter in module.parameters()
        if parameter.requires_grad and parameter.ndim == 2 and min(parameter.shape) >= SMALLEST and id(parameter) not in tables
    ]  # fmt: skip


def orthogonalized(matrices: Tensor, *, kernels: bool = False) -> Tensor:
    """Matrices ``[K,m,n]`` with all singular values brought to about 1 (0.7 to 1.2), their singular vectors as they are.

    Five iterations of a polynomial of odd powers, whose coefficients raise small singular values fastest (Jordan 2024). A
    matrix of zeros stays one, and one that is nearly zero stays small.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    smallest = 1e3 * math.sqrt(torch.finfo(x.dtype).tiny)  # a norm whose squares are not lost below the smallest number
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=smallest)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        squares = _product(x, x.mT, None, kernels)
        x = _product(_product(squares, c * squares, b * squares, kernels), x, a * x, kernels)
    return x.mT if tall else x


def _product(a: Tensor, b: Tensor, start: Tensor | None, kernels: bool) -> Tensor:
    """``start + a b`` of each of some matrices."""
    if kernels:
        starts = [None] * len(a) if start is None else start
        return torch.stack([torch.ops.mlff.product(*each) for each in zip(a, b, starts)])
    return a @ b if start is None else torch.baddbmm(start, a, b)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
