"""Models, one file a paper. To add one: write its file, then name its config and class in ``MODELS``.

``ADAPTERS`` are made of the modules of other packages, which are imported when such a model is built.
"""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

from .allegro import Allegro, AllegroConfig
from .converted_mace import ConvertedMACE, ConvertedMACEConfig
from .converted_nequip import ConvertedNequIP, ConvertedNequIPConfig
from .dimenet import DimeNetConfig, DimeNetPlusPlus
from .egnn import EGNN, EGNNConfig
from .et import ET, ETConfig
from .gcn import GCN, GCNConfig
from .gnn import GNN, GNNConfig
from .graph_transformer import GraphTransformer, GraphTransformerConfig
from .gvp import GVPGNN, GVPConfig
from .mace import MACE, MACEConfig
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig
from .mpnn import MPNN, MPNNConfig
from .nequip import NequIP, NequIPConfig
from .painn import PaiNN, PaiNNConfig
from .radial_field import RadialField, RadialFieldConfig
from .schnet import SchNet, SchNetConfig
from .tensornet import TensorNet, TensorNetConfig
from .tfn import TFN, TFNConfig
from .visnet import ViSNet, ViSNetConfig

MODELS: dict[str, tuple[type[ModelConfig], type[Model]]] = {
    "egnn": (EGNNConfig, EGNN),
    "et": (ETConfig, ET),
    "gnn": (GNNConfig, GNN),
    "gvp": (GVPConfig, GVPGNN),
    "painn": (PaiNNConfig, PaiNN),
    "radial-field": (RadialFieldConfig, RadialField),
    "schnet": (SchNetConfig, SchNet),
    "tensornet": (TensorNetConfig, TensorNet),
    "visnet": (ViSNetConfig, ViSNet),
}
ADAPTERS: dict[str, tuple[type[ModelConfig], type[Model]]] = {
    "allegro": (AllegroConfig, Allegro),
    "dimenet++": (DimeNetConfig, DimeNetPlusPlus),
    "mace": (MACEConfig, MACE),
    "nequip": (NequIPConfig, NequIP),
    "tfn": (TFNConfig, TFN),
}
"""Models that need an extra: ``pip install "mlff[mace]"`` and the like (docs/adapters.md)."""
TOPOLOGICAL: dict[str, tuple[type[ModelConfig], type[Model]]] = {
    "gcn": (GCNConfig, GCN),
    "graph-transformer": (GraphTransformerConfig, GraphTransformer),
    "mpnn": (MPNNConfig, MPNN),
}
"""Models that know bonds and no positions, and have no forces: ``pip install "mlff[topology]"`` (docs/topology_models.md)."""
CONVERTED: dict[str, tuple[type[ModelConfig], type[Model]]] = {
    "converted-mace": (ConvertedMACEConfig, ConvertedMACE),
    "converted-nequip": (ConvertedNequIPConfig, ConvertedNequIP),
}
"""What `mlff convert` makes of models that other packages trained."""
ALL = MODELS | ADAPTERS | TOPOLOGICAL | CONVERTED
"""What can be built."""


def model_config(name: str, **options: Any) -> ModelConfig:
    """The checked settings of the model called ``name``.

    Raises:
        ValueError: an unknown model or option (with the nearest name that exists), or a value out of range.
    """
    if name not in ALL:
        near = _meant(name, [*MODELS, *ADAPTERS, *TOPOLOGICAL])
        raise ValueError(f"there is no model {name!r}{near}; the models are {', '.join(MODELS)}, made of other packages' "
                         f"modules {', '.join(ADAPTERS)}, and without forces, from bonds alone, {', '.join(TOPOLOGICAL)}")
    config_class, _ = ALL[name]
    for option in options:
        if option not in config_class.model_fields:
            known = [field for field in config_class.model_fields if field != "name"]
            raise ValueError(
                f"{name} has no option {option!r}{_meant(option, known)}; its options are {', '.join(known)}"
            )
    try:
        return config_class(**options)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        )
        raise ValueError(f"the options of {name} are not valid: {problems}") from None


def build_model(config: ModelConfig) -> Model:
    """A model with fresh weights, drawn from torch's global generator."""
    for config_class, model_class in ALL.values():
        if type(config) is config_class:
            return model_class(config)
    raise ValueError(f"{type(config).__name__} is not the config of a registered model; see mlff.models.MODELS")


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


__all__ = [
    "ADAPTERS",
    "ALL",
    "CONVERTED",
    "MAX_ATOMIC_NUMBER",
    "MODELS",
    "TOPOLOGICAL",
    "EGNN",
    "ET",
    "GNN",
    "GVPGNN",
    "EGNNConfig",
    "ETConfig",
    "GNNConfig",
    "GVPConfig",
    "Features",
    "Model",
    "ModelConfig",
    "PaiNN",
    "PaiNNConfig",
    "RadialField",
    "RadialFieldConfig",
    "SchNet",
    "SchNetConfig",
    "TensorNet",
    "TensorNetConfig",
    "ViSNet",
    "ViSNetConfig",
    "build_model",
    "model_config",
]
