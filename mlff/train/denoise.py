"""Denoising: structures with Gaussian noise on their coordinates, which a model learns to find (pre-training).

The forces of a model are trained to point back to where the atoms were. With noise u of standard deviation sigma around
relaxed structures x0, the gradient of the logarithm of the density of noisy structures is, in expectation, -u / sigma^2
(Vincent, Neural Computation 23, 1661, 2011), and near a minimum it is a force over k_B T: learning it is learning a force
field (Zaidi et al., ICLR 2023, arXiv:2206.00133). Zaidi et al. predict u / sigma from vector features of the
network; here it is the gradient of the energy, so that every architecture and the whole energy head are pre-trained. The target
is F = -u / sigma * 1 eV/Å: its RMS is 1 eV/Å like that of the forces at some hundred kelvin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mlff.data import HDF5Dataset
from mlff.graph import Graph, batch_graph
from mlff.train.data_config import DataConfig
from mlff.train.loaders import BatchLoader, with_volume
from mlff.train.loss import Targets
from mlff.train.loss_config import LossConfig

_MEASURING = 2**32 - 1
"""Stands for the epoch where the errors are measured, so that these always see the same noise."""


class NoisyLoader(BatchLoader):
    """Frames with noise, and the force back, ``[N, 1, 3]`` eV/Å, as their only reference value.

    The noise of a frame is a function of seed, epoch and frame alone, whatever the batches and processes.
    """

    def __init__(self, dataset: HDF5Dataset, cutoff: float, noise: float, seed: int, **options: Any) -> None:
        """`noise`: standard deviation of each coordinate, Å; `options`: as of `BatchLoader`."""
        super().__init__(dataset, cutoff, cache_bytes=0, **options)
        self.noise = noise
        self.seed = seed

    def load(self, indices: np.ndarray, epoch: int | None = None) -> tuple[Graph, Targets]:
        """The graph of the noisy structures and the force back."""
        batch = self.dataset.batch(np.asarray(indices))
        drawn = [
            np.random.default_rng([self.seed, _MEASURING if epoch is None else epoch, int(index)]).normal(size=(count, 3))
            for index, count in zip(indices, batch.num_atoms)
        ]
        unit = without_rigid_motion(np.concatenate(drawn), batch.positions, batch.num_atoms, np.any(batch.pbc, axis=1))
        noisy = replace(batch, positions=batch.positions + self.noise * unit)
        graph = with_volume(batch_graph(noisy, self.cutoff, device=self.device, backend=self.backend))
        forces = torch.as_tensor(-unit[:, None, :], dtype=self.dtype).to(self.device)
        num_atoms = torch.as_tensor(batch.num_atoms, dtype=torch.float64).to(self.device)
        return graph, Targets({"forces": forces}, {"forces": torch.ones_like(forces, dtype=torch.bool)}, num_atoms)


def without_rigid_motion(
    displacements: np.ndarray, positions: np.ndarray, num_atoms: np.ndarray, periodic: np.ndarray
) -> np.ndarray:
    """Displacements without the part that moves or turns a structure as a whole, which no energy can tell of.

    What is left obeys the Eckart conditions with equal masses: sum u = 0 and, for molecules, sum x0 x u = 0. The force -u is
    then free of torque about the displaced structure, too, as u x u = 0.

    Args:
        displacements: ``[N, 3]``.
        positions: before the displacements, Å, ``[N, 3]``.
        num_atoms: of each structure, ``[B]``.
        periodic: whether any axis of the structure is, ``[B]``; these lose their translation alone.
    """
    starts = np.cumsum(num_atoms) - num_atoms
    owner = np.repeat(np.arange(len(num_atoms)), num_atoms)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts) / num_atoms.reshape(-1, *[1] * (values.ndim - 1))

    u = displacements - mean(displacements)[owner]
    x = positions - mean(positions)[owner]
    inertia = mean(np.square(x).sum(1))[:, None, None] * np.eye(3) - mean(x[:, :, None] * x[:, None, :])
    momentum = mean(np.cross(x, u))
    turn = np.einsum("bij,bj->bi", np.linalg.pinv(inertia, rcond=1e-8, hermitian=True), momentum)
    turn[periodic] = 0.0
    return u - np.cross(turn[owner], x)


def check_denoising(config: DataConfig, loss: LossConfig) -> None:
    """Raise a ValueError where settings ask for more than noise can teach: energies, stress or several states."""
    for quantity in ("energy", "stress"):
        if getattr(loss, quantity) > 0:
            raise ValueError(f"`data.noise` is {config.noise:g}, so the run learns to find noise, which has no {quantity}, "
                             f"but `loss.{quantity}` is {getattr(loss, quantity):g}; set it to 0, as `mlff pretrain` does")
    if config.states is not None:
        raise ValueError("`data.states` chooses electronic states, but denoising (`data.noise`) looks at none; leave it out")
