"""Potentials whose models' sums over neighbours are kernels that can be differentiated twice, for compiled training steps."""

from __future__ import annotations

import copy

from mlff.graph import Graph
from mlff.models import Model, PaiNN, TensorNet
from mlff.nn import Features
from mlff.potential.potential import Potential

from . import painn, tensornet
from .build import CompilationError, kernel_library
from .ops import load


class KernelPaiNN(PaiNN):
    """PaiNN with its sums in kernels."""

    def forward(self, graph: Graph) -> Features:
        """As of PaiNN."""
        return painn.trained(self, graph)


class KernelTensorNet(TensorNet):
    """TensorNet with its sums in kernels."""

    def forward(self, graph: Graph) -> Features:
        """As of TensorNet."""
        return tensornet.trained(self, graph)


TRAINED: dict[type[Model], type[Model]] = {PaiNN: KernelPaiNN, TensorNet: KernelTensorNet}


def load_kernels() -> bool:
    """Whether the kernels are there, compiled now if they were not; false without a C++ compiler."""
    try:
        load(kernel_library(compile=True))
    except (CompilationError, OSError):
        return False
    return True


def with_kernels(potential: Potential) -> Potential:
    """The potential, its parameters shared, with kernels in its model; itself where its model has no such form."""
    form = TRAINED.get(type(potential.model))
    if form is None:
        return potential
    model, shared = copy.copy(potential.model), copy.copy(potential)
    model.__class__ = form
    shared._modules = potential._modules | {"model": model}
    return shared
