"""Machine-learned force fields: from trajectories to a trained potential to simulations.

The public names are the ones listed here. Each is imported on first use, so that ``import mlff`` is quick and
silent and loads neither torch nor ASE.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mlff.calculators.ase import MLFFCalculator as MLFFCalculator
    from mlff.calculators.committee import CommitteeCalculator as CommitteeCalculator
    from mlff.data.dataset import HDF5Dataset as HDF5Dataset
    from mlff.data.frame import Frame as Frame
    from mlff.data.writer import HDF5Writer as HDF5Writer
    from mlff.potential.checkpoint import load_potential as load_potential
    from mlff.potential.checkpoint import save_potential as save_potential
    from mlff.potential.potential import Potential as Potential
    from mlff.potential.pretrained import list_models as list_models
    from mlff.train.config import TrainConfig as TrainConfig
    from mlff.train.metrics import evaluate as evaluate

_HOMES = {
    "CommitteeCalculator": "mlff.calculators.committee",
    "Frame": "mlff.data.frame",
    "HDF5Dataset": "mlff.data.dataset",
    "HDF5Writer": "mlff.data.writer",
    "MLFFCalculator": "mlff.calculators.ase",
    "Potential": "mlff.potential.potential",
    "TrainConfig": "mlff.train.config",
    "evaluate": "mlff.train.metrics",
    "list_models": "mlff.potential.pretrained",
    "load_potential": "mlff.potential.checkpoint",
    "save_potential": "mlff.potential.checkpoint",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlff' has no attribute {name!r}; its public names are {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
