"""Labelling: energies and forces of structures from any ASE calculator, into a native file.

The names are imported on first use: the processes that calculators run in are of this package too, and start quickly.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlff.label.run import LabelReport as LabelReport
    from mlff.label.run import label as label

__all__ = ["LabelReport", "label"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mlff.label' has no attribute {name!r}; its public names are {', '.join(__all__)}")
    from importlib import import_module

    value = getattr(import_module("mlff.label.run"), name)
    globals()[name] = value
    return value
