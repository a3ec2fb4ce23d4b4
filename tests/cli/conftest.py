"""A small untrained model on disk and a structure, for the commands that use models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase.build import molecule
from ase.io import write
from click.testing import CliRunner, Result

from mlff.cli.main import main
from mlff.models import model_config
from mlff.potential.checkpoint import save_potential
from mlff.potential.potential import Potential


@pytest.fixture
def working_folder(tmp_path, monkeypatch) -> Path:
    """A working folder with ``model`` (H, C, O; two states) and ``ethanol.xyz``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
        potential = Potential.build(model, species=(1, 6, 8), scale=0.3, num_states=2)
    errors = {"energy_mae_meV": 12.34, "forces_mae_meV_per_A": 45.6}
    extra = {"data": "azobenzene.h5", "split": "time", "errors": {"test": errors}}
    save_potential(potential, tmp_path / "model", extra=extra)
    write(tmp_path / "ethanol.xyz", molecule("CH3CH2OH"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mlff():
    """Runs the command line in this process."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
