"""Layers and norms that several papers share, written again in numpy, to check models with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from .variants import CELL, POSITIONS

Array = NDArray[np.float64]
Links = list[tuple[int, int, Array]]
"""Atom i, atom j and the vector from i to j; an atom is linked to itself by zero."""


def silu(x: Array) -> Array:
    return x * expit(x)


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def layer_norm(layer: torch.nn.LayerNorm, x: Array) -> Array:
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def expnorm(r: float, num_radial: int, cutoff: float) -> Array:
    """The exponential radial basis of PhysNet, with the cosine in it."""
    start = np.exp(-cutoff)
    centres, beta = np.linspace(start, 1, num_radial), (2 / num_radial * (1 - start)) ** -2
    return 0.5 * (1 + np.cos(np.pi * r / cutoff)) * np.exp(-beta * (np.exp(-5 / cutoff * r) - centres) ** 2)


def envelope(name: str, r: float, cutoff: float) -> float:
    if name == "cosine":
        return 0.5 * (1 + np.cos(np.pi * r / cutoff))
    return 1 - 28 * (r / cutoff) ** 6 + 48 * (r / cutoff) ** 7 - 21 * (r / cutoff) ** 8


def neighbor_embedding(model: torch.nn.Module, numbers: Array, links: Links) -> Array:
    """x ``[N, F]`` of elements and of neighbours' elements."""
    layer, config = model.embedding, model.config
    around = np.zeros((len(numbers), config.num_features))
    for i, j, r_ij in links:
        if r := np.linalg.norm(r_ij):
            filters = linear(layer.filters, expnorm(r, config.num_radial, config.cutoff))
            element = layer.neighbor.weight.detach().numpy()[numbers[j]]
            around[i] += element * filters * envelope(config.envelope, r, config.cutoff)
    return linear(layer.combine, np.concatenate((layer.element.weight.detach().numpy()[numbers], around), axis=1))


def gated_readout(model: torch.nn.Module, x: Array, v: Array) -> tuple[Array, Array]:
    """Scalars ``[N, F]`` and vectors ``[N, C, F / 2]`` of x ``[N, F]`` and v ``[N, C, F]``."""
    layer, epsilon = model.readout, model.config.norm_epsilon
    lengths = np.sqrt((linear(layer.measure, v) ** 2).sum(1) + epsilon)
    hidden = silu(linear(layer.network[0], np.concatenate((layer_norm(model.norm, x), lengths), axis=1)))
    scalar, gate = np.split(linear(layer.network[2], hidden), 2, axis=1)
    v = gate[:, None] * linear(layer.mix, v)
    return np.concatenate((silu(scalar), np.sqrt((linear(layer.measure_mixed, v) ** 2).sum(1) + epsilon)), axis=1), v


def links_within(cutoff: float, periodic: bool) -> Links:
    """Of the atoms under contract (``variants.py``), in their cell or alone."""
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3), axis=-1).reshape(-1, 3) if periodic else np.zeros((1, 3))
    return [
        (i, j, vector)
        for i in range(len(POSITIONS))
        for j in range(len(POSITIONS))
        for vector in POSITIONS[j] - POSITIONS[i] + shifts @ CELL
        if np.linalg.norm(vector) < cutoff
    ]
