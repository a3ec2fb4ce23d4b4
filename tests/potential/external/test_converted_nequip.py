"""A model of nequip or Allegro gives the same energies and forces through our checkpoint as through the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from mlff.calculators import MLFFCalculator
from mlff.datasets import azobenzene
from mlff.models.adapter import building, required
from mlff.models.nequip import nequip_state
from mlff.potential.checkpoint import load_potential
from mlff.potential.external import convert

pytest.importorskip("nequip", reason="nequip is not installed: run `make test-adapters`")

TYPES = ["C", "N", "H"]
SHIFTS = {"C": -1029.5, "N": -1485.3, "H": -13.6}
COMMON: dict[str, Any] = dict(
    seed=3, type_names=TYPES, r_max=4.0, avg_num_neighbors=9.0, l_max=1, num_layers=2,
    per_type_energy_scales={"C": 1.2, "N": 0.7, "H": 0.5}, per_type_energy_shifts=SHIFTS,
)  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "nequip": COMMON | dict(
        _target_="nequip.model.NequIPGNNModel", model_dtype="float32", num_features=8, radial_mlp_width=16,
        pair_potential={"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal", "chemical_species": TYPES},
    ),
    "allegro": COMMON | dict(
        _target_="allegro.model.AllegroModel", model_dtype="float64", num_scalar_features=8, num_tensor_features=4,
        radial_chemical_embed={"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 6},
    ),
}  # fmt: skip


def checkpoint(name: str, path: Path) -> Path:
    """What nequip-train saves, of random weights."""
    pytest.importorskip(name)
    training = required("nequip.train", model="", extra="nequip")
    information = {"versions": {}, "training_module": {"_target_": "nequip.train.NequIPLightningModule"}}
    with nequip_state():
        module = training.NequIPLightningModule(
            model=MODELS[name], num_datasets={"train": 1, "val": 1, "test": 0, "predict": 0}, info_dict=information
        )
    saved = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "pytorch-lightning_version": "2.5.0"}
    torch.save(saved, path)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_energies_and_forces_are_those_of_the_package(name: str, tmp_path: Path) -> None:
    path = checkpoint(name, tmp_path / "best.ckpt")
    written, *differences = convert(f"nequip:{path}", tmp_path / "model", trust_pickle=True)
    exact = MODELS[name]["model_dtype"] == "float64"
    assert max(differences) < (1e-12 if exact else 1e-6)
    potential = load_potential(written)
    assert potential.config.atomic_energies == {1: SHIFTS["H"], 6: SHIFTS["C"], 7: SHIFTS["N"]}
    assert potential.dtype == (torch.float64 if exact else torch.float32)

    saved = required("nequip.model.saved_models", model="", extra="nequip")
    integration = required("nequip.integrations.ase", model="", extra="nequip")
    transforms = required("nequip.integrations.utils", model="", extra="nequip").basic_transforms
    with nequip_state():
        model = next(iter(saved.ModelFromCheckpoint(str(path)).values())).eval()
    steps = transforms(model.metadata, 4.0, TYPES, {symbol: symbol for symbol in TYPES})
    frame = azobenzene()[100]
    expected = Atoms(frame.atomic_numbers, frame.positions)
    found = expected.copy()
    expected.calc = integration.NequIPCalculator(model, "cpu", transforms=steps)
    found.calc = MLFFCalculator(potential, dtype=MODELS[name]["model_dtype"], device="cpu")
    with building(torch.float64):  # nequip's calculator rounds positions to the default dtype
        energy, forces = expected.get_potential_energy(), expected.get_forces()
    assert found.get_potential_energy() == pytest.approx(energy, abs=1e-7 if exact else 1e-3)
    np.testing.assert_allclose(found.get_forces(), forces, atol=1e-9 if exact else 1e-4)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state": 1}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="cannot be opened as a checkpoint of nequip-train"):
        convert(f"nequip:{tmp_path / 'weights.pt'}", tmp_path / "model", trust_pickle=True)
    with pytest.raises(ValueError, match="leave --head x out"):
        convert(f"nequip:{tmp_path / 'weights.pt'}", tmp_path / "model", trust_pickle=True, head="x")
