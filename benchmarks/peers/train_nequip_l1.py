"""Train NequIP with l = 1 (64 features, 3 layers, no odd scalars) by its own Lightning module and data module.

Settings are those of its tutorial.yaml: batches of 5, Adam at 0.01, EMA 0.999, mean squared errors of forces and of the
energy an atom with equal weights, scales and shifts from the statistics of the training frames. In place of its schedule,
which waits for a plateau, the cosine that ends with the budget.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightning
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from lightning.pytorch.callbacks import ModelCheckpoint
from nequip.data import AtomicDataDict
from nequip.data.datamodule import ASEDataModule
from nequip.integrations.utils import basic_transforms
from nequip.train import EMALightningModule
from nequip.utils.global_state import set_global_state

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.nequip_l1 import FEATURES, LAYERS, data_of
from benchmarks.peers.peer import CUTOFF, number_of_parameters
from benchmarks.peers.training import Frames, Task, Trained, budget_callback, training_command

BATCH_SIZE = 5
METRIC = "val0_epoch/weighted_sum"


def data_module(task: Task, symbols: list[str]) -> ASEDataModule:
    """NequIP's data module of the frames, which it reads from extended xyz."""
    paths = {}
    for name, frames in (("train", task.train), ("val", task.validation)):
        paths[name] = task.folder / f"{name}.xyz"
        write(paths[name], labelled(frames), format="extxyz")
    loader = {"_target_": "torch.utils.data.DataLoader", "num_workers": 0}
    return ASEDataModule(
        seed=task.seed,
        train_file_path=str(paths["train"]),
        val_file_path=str(paths["val"]),
        transforms=[
            {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": symbols,
             "chemical_species_to_atom_type_map": {symbol: symbol for symbol in symbols}},
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": CUTOFF},
        ],
        train_dataloader=loader | {"batch_size": BATCH_SIZE, "shuffle": True},
        val_dataloader=loader | {"batch_size": 2 * BATCH_SIZE},
        stats_manager={
            "_target_": "nequip.data.CommonDataStatisticsManager",
            "dataloader_kwargs": {"batch_size": 100},
            "type_names": symbols,
        },
    )  # fmt: skip


def labelled(frames: Frames) -> list[Atoms]:
    """Structures that carry their energies and forces as ASE writes them."""
    found = []
    for atoms, energy, forces in zip(frames.atoms, frames.energies, frames.forces, strict=True):
        atoms = atoms.copy()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        found.append(atoms)
    return found


def train(task: Task) -> Trained:
    """Train until the budget is spent; the weights are the best by NequIP's own metric on val."""
    set_global_state(allow_tf32=False)
    lightning.seed_everything(task.seed, verbose=False)
    symbols = sorted({symbol for atoms in task.train.atoms for symbol in atoms.get_chemical_symbols()})
    data = data_module(task, symbols)
    statistics = data.get_statistics(dataset="train")
    coefficients = {"total_energy_mae": 1.0, "forces_mae": 1.0}
    module = EMALightningModule(
        ema_decay=0.999,
        num_datasets=data.num_datasets,
        loss={
            "_target_": "nequip.train.EnergyForceLoss",
            "per_atom_energy": True,
            "coeffs": {"total_energy": 1.0, "forces": 1.0},
        },
        val_metrics={"_target_": "nequip.train.EnergyForceMetrics", "coeffs": coefficients},
        optimizer={"_target_": "torch.optim.Adam", "lr": task.learning_rate},
        model={
            "_target_": "nequip.model.NequIPGNNModel",
            "seed": task.seed, "model_dtype": "float32", "r_max": CUTOFF, "type_names": symbols, "l_max": 1,
            "num_layers": LAYERS, "parity": False, "num_features": FEATURES, "radial_mlp_depth": 2, "radial_mlp_width": 64,
            "avg_num_neighbors": statistics["num_neighbors_mean"],
            "per_type_energy_scales": statistics["per_type_forces_rms"],
            "per_type_energy_shifts": statistics["per_atom_energy_mean"],
            "compile_mode": "eager",
        },
    )  # fmt: skip
    budget = budget_callback(lightning.pytorch.Callback, task)
    best = ModelCheckpoint(monitor=METRIC, dirpath=task.folder, filename="best", save_top_k=1, enable_version_counter=False)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=-1, callbacks=[budget, best], logger=False, enable_progress_bar=False,
        enable_model_summary=False, inference_mode=False, num_sanity_val_steps=0, default_root_dir=task.folder,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
    module.load_state_dict(state["state_dict"])
    model = module.evaluation_model["sole_model"].eval()
    steps = basic_transforms(model.metadata, CUTOFF, symbols, {symbol: symbol for symbol in symbols})

    def predict(structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
        batch = AtomicDataDict.batched_from_list([data_of(atoms, steps) for atoms in structures])
        found = model(batch)
        energy, forces = found[AtomicDataDict.TOTAL_ENERGY_KEY], found[AtomicDataDict.FORCE_KEY]
        return energy.detach().numpy()[:, 0], forces.detach().numpy()

    return Trained(
        predict, number_of_parameters([model]), budget.steps * BATCH_SIZE / len(task.train.atoms), budget.steps,
        budget.steps * BATCH_SIZE / budget.seconds,
    )  # fmt: skip


if __name__ == "__main__":
    training_command("nequip", "NequIP l=1", train, learning_rate=0.01)()
