"""The gradient of all parameters as one vector: cleared, summed over processes and clipped in one operation each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn


def sum_over_processes(fabric: Fabric, tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes: a new tensor where there are several, itself where there is one."""
    if fabric.world_size == 1:
        return tensor
    total = fabric.all_reduce(tensor.clone(), reduce_op="sum")
    assert isinstance(total, Tensor)
    return total


class FlatGradient:
    """Every parameter's ``.grad`` is a view into ``vector``; backward passes add to it.

    A parameter that the loss does not reach has the gradient zero, on one process as on many.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        total = sum(parameter.numel() for parameter in self.parameters)
        first = self.parameters[0]
        self.vector = torch.zeros(total, dtype=first.dtype, device=first.device)
        start = 0
        for parameter in self.parameters:
            end = start + parameter.numel()
            parameter.grad = self.vector[start:end].view_as(parameter)
            start = end

    def zero(self) -> None:
        """Forget the gradient."""
        self.vector.zero_()

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Add a gradient given as one tensor a parameter."""
        self.vector += torch.cat([gradient.reshape(-1) for gradient in gradients])

    def sum_over_processes(self, fabric: Fabric) -> None:
        """Replace the gradient by the sum of all processes' gradients."""
        if fabric.world_size > 1:
            self.vector.copy_(sum_over_processes(fabric, self.vector))

    def clip(self, norm: float | None) -> None:
        """Shorten the gradient to `norm` where it is longer."""
        if norm is not None:
            self.vector.mul_((norm / (self.vector.norm() + 1e-12)).clamp(max=1.0))
