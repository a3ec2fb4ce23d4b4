"""Train TorchMD-Net's TensorNet (128 features, 2 layers, 32 radial functions, O(3)) by its own Lightning module.

Settings are those of its example TensorNet-rMD17.yaml: batches of 8, AdamW at 1e-3 without weight decay, a warm-up of 500
steps, gradients clipped at 40, mean squared errors with equal weights, that of the energy smoothed (ema_alpha_y 0.01),
energies scaled by their standard deviation. The cutoff is that of all models here, 5 angstrom in place of 4.5. In place
of its schedule, which waits for a plateau, the cosine that ends with the budget.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightning
import numpy as np
import torch
from ase import Atoms
from lightning.pytorch.callbacks import ModelCheckpoint
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torchmdnet.module import LNNP

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import number_of_parameters
from benchmarks.peers.torchmdnet_models import SHARED
from benchmarks.peers.torchmdnet_tensornet import SETTINGS
from benchmarks.peers.training import Frames, Task, Trained, budget_callback, training_command

BATCH_SIZE, INFERENCE_BATCH_SIZE = 8, 64
HYPERPARAMETERS = {
    "load_model": None, "train_loss": "mse_loss", "y_weight": 0.5, "neg_dy_weight": 0.5, "ema_alpha_y": 0.01,
    "ema_alpha_neg_dy": 1.0, "weight_decay": 0.0, "lr_warmup_steps": 500, "lr_factor": 0.8, "lr_patience": 25, "lr_min": 1e-8,
    "charge": False, "spin": False,
}  # fmt: skip
CLIP_NORM = 40.0


def graphs(frames: Frames, mean: float) -> list[Data]:
    """Frames as torch_geometric has them, their energies relative to the mean."""
    return [
        Data(
            z=torch.tensor(atoms.numbers), pos=torch.tensor(atoms.positions, dtype=torch.float32),
            y=torch.tensor([[energy - mean]], dtype=torch.float32), neg_dy=torch.tensor(forces, dtype=torch.float32),
        )
        for atoms, energy, forces in zip(frames.atoms, frames.energies, frames.forces, strict=True)
    ]  # fmt: skip


def train(task: Task) -> Trained:
    """Train until the budget is spent; the weights are those with the lowest loss on val."""
    lightning.seed_everything(task.seed, verbose=False)
    mean, deviation = float(task.train.energies.mean()), float(task.train.energies.std(ddof=1))
    settings = SHARED | SETTINGS | HYPERPARAMETERS | {"lr": task.learning_rate}
    module = LNNP(settings, mean=torch.tensor(0.0), std=torch.tensor(deviation))
    train_loader = DataLoader(graphs(task.train, mean), batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(graphs(task.validation, mean), batch_size=INFERENCE_BATCH_SIZE)
    budget = budget_callback(lightning.pytorch.Callback, task)
    best = ModelCheckpoint(
        monitor="val_total_mse_loss", dirpath=task.folder, filename="best", enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=-1, callbacks=[budget, best], logger=False, enable_progress_bar=False,
        enable_model_summary=False, inference_mode=False, num_sanity_val_steps=0, gradient_clip_val=CLIP_NORM,
        default_root_dir=task.folder,
    )  # fmt: skip
    trainer.fit(module, train_loader, val_loader)
    module.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=False)["state_dict"])
    model = module.model.eval()

    def predict(structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
        batch = Batch.from_data_list(
            [Data(z=torch.tensor(each.numbers), pos=torch.tensor(each.positions, dtype=torch.float32)) for each in structures]
        )
        energy, forces = model(batch.z, batch.pos, batch=batch.batch)
        return energy.detach().numpy().astype(np.float64)[:, 0] + mean, forces.detach().numpy()

    return Trained(
        predict, number_of_parameters([model]), budget.steps * BATCH_SIZE / len(task.train.atoms), budget.steps,
        budget.steps * BATCH_SIZE / budget.seconds,
    )  # fmt: skip


if __name__ == "__main__":
    training_command("torchmd-net", "TensorNet", train, learning_rate=1e-3)()
