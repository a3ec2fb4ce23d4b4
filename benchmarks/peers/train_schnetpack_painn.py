"""Train SchNetPack's PaiNN (128 features, 3 layers, 20 Gaussians) by its own task and data module.

Settings are those of its experiment rmd17: batches of 10, AdamW at 1e-3 without weight decay, mean squared errors with 0.01
for the energy and 0.99 for the forces, EMA 0.995, the mean energy an atom removed. In place of its schedule, which waits
for a plateau, the cosine that ends with the budget.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import schnetpack as spk
import torch
import torchmetrics
from ase import Atoms
from pytorch_lightning.callbacks import ModelCheckpoint
from schnetpack import transform
from schnetpack.data import ASEAtomsData, AtomsDataModule
from schnetpack.interfaces.ase_interface import AtomsConverter
from schnetpack.task import AtomisticTask, ModelOutput
from schnetpack.train import ExponentialMovingAverage

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import CUTOFF, number_of_parameters
from benchmarks.peers.schnetpack_painn import FEATURES, LAYERS, RADIAL
from benchmarks.peers.training import Task, Trained, budget_callback, training_command

BATCH_SIZE = 10
EMA_DECAY = 0.995
UNITS = {"energy": "eV", "forces": "eV/Ang"}


def data_module(task: Task) -> AtomsDataModule:
    """SchNetPack's data module of the frames, which it reads from an ASE database."""
    path = task.folder / "frames.db"
    path.unlink(missing_ok=True)
    parts = [task.train, task.validation]
    dataset = ASEAtomsData.create(str(path), distance_unit="Ang", property_unit_dict=UNITS)
    dataset.add_systems(
        property_list=[
            {"energy": np.array([energy]), "forces": forces}
            for part in parts
            for energy, forces in zip(part.energies, part.forces, strict=True)
        ],
        atoms_list=[atoms for part in parts for atoms in part.atoms],
    )
    num_train, num_val = (len(part.atoms) for part in parts)
    module = AtomsDataModule(
        str(path), batch_size=BATCH_SIZE, num_train=num_train, num_val=num_val, num_test=0, num_workers=0,
        distance_unit="Ang", property_units=UNITS, split_file=None,
        transforms=[
            transform.SubtractCenterOfMass(),
            transform.RemoveOffsets("energy", remove_mean=True),
            transform.MatScipyNeighborList(cutoff=CUTOFF),
            transform.CastTo32(),
        ],
    )  # fmt: skip
    module.train_idx, module.val_idx = list(range(num_train)), list(range(num_train, num_train + num_val))
    module.test_idx = []
    return module


def build_task(learning_rate: float) -> AtomisticTask:
    """Model, losses and optimizer as SchNetPack's configuration of rMD17 has them."""
    painn = spk.representation.PaiNN(
        n_atom_basis=FEATURES, n_interactions=LAYERS, radial_basis=spk.nn.GaussianRBF(n_rbf=RADIAL, cutoff=CUTOFF),
        cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
    )  # fmt: skip
    model = spk.model.NeuralNetworkPotential(
        painn,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=FEATURES, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
        postprocessors=[transform.CastTo64(), transform.AddOffsets("energy", add_mean=True)],
    )
    outputs = [
        ModelOutput(
            name=name, loss_fn=torch.nn.MSELoss(), loss_weight=weight,
            metrics={"mae": torchmetrics.regression.MeanAbsoluteError()},
        )
        for name, weight in (("energy", 0.01), ("forces", 0.99))
    ]  # fmt: skip
    arguments = {"lr": learning_rate, "weight_decay": 0.0}
    return AtomisticTask(model, outputs, optimizer_cls=torch.optim.AdamW, optimizer_args=arguments)


def train(task: Task) -> Trained:
    """Train until the budget is spent; the weights are the averaged ones with the lowest loss on val."""
    pl.seed_everything(task.seed)
    module = build_task(task.learning_rate)
    budget = budget_callback(pl.Callback, task)
    best = ModelCheckpoint(monitor="val_loss", dirpath=task.folder, filename="best", enable_version_counter=False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=-1, callbacks=[budget, ExponentialMovingAverage(EMA_DECAY), best], logger=False,
        enable_progress_bar=False, enable_model_summary=False, inference_mode=False, num_sanity_val_steps=0,
        default_root_dir=task.folder,
    )  # fmt: skip
    trainer.fit(module, datamodule=data_module(task))
    module.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=False)["state_dict"])
    model = module.model.eval()
    convert = AtomsConverter(transform.MatScipyNeighborList(cutoff=CUTOFF), dtype=torch.float32)

    def predict(structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
        found = model(convert(structures))
        return found["energy"].detach().numpy(), found["forces"].detach().numpy()

    return Trained(
        predict, number_of_parameters([model]), budget.steps * BATCH_SIZE / len(task.train.atoms), budget.steps,
        budget.steps * BATCH_SIZE / budget.seconds,
    )  # fmt: skip


if __name__ == "__main__":
    training_command("schnetpack", "PaiNN", train, learning_rate=1e-3)()
