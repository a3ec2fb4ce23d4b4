"""Labelled arrays: frames of one system as an xarray.Dataset, with names for dimensions, coordinates and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from mlff.data.selection import known_names
from mlff.data.system import System
from mlff.properties import PROPERTIES

if TYPE_CHECKING:
    import xarray

    from mlff.data.dataset import HDF5Dataset

DIMENSIONS = {
    "N": "atom", "S": "state", "P": "nac_pair", "Q": "dipole_pair", "R": "soc_pair", "M": "spin_component",
    "3": "direction", "6": "voigt",
}  # fmt: skip
"""Dimension of each axis of mlff.properties, but for the names below."""
OWN_DIMENSIONS = {
    "cell": ("cell_vector", "direction"),
    "pbc": ("cell_vector",),
    "interstate_coupling": ("atom", "nac_pair", "direction"),
    "soc": ("spin_component_bra", "spin_component_ket"),
    "overlap": ("spin_component_bra", "spin_component_ket"),
    "hopping_probability": ("diagonal_state",),
}
FIXED = {
    "direction": ["x", "y", "z"],
    "voigt": ["xx", "yy", "zz", "yz", "xz", "xy"],
    "cell_vector": ["a", "b", "c"],
}
"""Coordinates that are the same for every system."""


def to_xarray(dataset: HDF5Dataset, indices: np.ndarray, system: str | None) -> xarray.Dataset:
    """The frames at global indices, as `mlff.data.view.Frames.to_xarray` describes."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError("xarray is not installed; install it with: pip install 'mlff[xarray]'") from error

    owner, rows = dataset.locate(indices)
    k = _chosen(dataset, owner, system)
    held, chosen = dataset.systems[k], owner == k
    rows = rows[chosen]
    variables: dict[str, tuple] = {
        name: (("frame", *_dimensions(name)), _values(held, name, rows), _attributes(held, name))
        for name in held.names
        if name != "trajectory"
    }
    present = {each for dimensions, *_ in variables.values() for each in dimensions}
    coordinates: dict[str, tuple] = {
        "frame": ("frame", indices[chosen], {"long_name": "global index in the dataset"}),
        "trajectory": ("frame", _trajectory_names(dataset, held, rows)),
        **{name: variables.pop(name) for name in ("time", "step") if name in variables},
        **{name: value for name, value in _system_coordinates(held).items() if value[0] in present},
    }
    return xarray.Dataset(variables, coordinates, _facts(dataset, held))


def _chosen(dataset: HDF5Dataset, owner: np.ndarray, name: str | None) -> int:
    """Which system: the one named, or the only one."""
    present = np.unique(owner).tolist()
    names = [dataset.systems[k].name for k in present]
    if name is not None:
        known_names("system", [name], [system.name for system in dataset.systems], dataset)
        return [system.name for system in dataset.systems].index(name)
    if len(present) > 1:
        raise ValueError(
            f"these frames are of {len(present)} systems ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}), and one "
            f"xarray.Dataset holds one: name it, such as to_xarray({names[0]!r})"
        )
    if not present:
        raise ValueError("there are no frames here to make an xarray.Dataset of; name a system, or select fewer frames away")
    return int(present[0])


def _values(system: System, name: str, rows: np.ndarray) -> np.ndarray:
    """The memory map itself where the rows follow each other, else a copy."""
    if len(rows) and (np.diff(rows) == 1).all():
        return system.view(name, slice(int(rows[0]), int(rows[-1]) + 1))
    return system.read(name, rows)


def _dimensions(name: str) -> tuple[str, ...]:
    """Dimensions after that of the frames."""
    if name in OWN_DIMENSIONS:
        return OWN_DIMENSIONS[name]
    if name in PROPERTIES:
        return tuple(DIMENSIONS[axis] for axis in PROPERTIES[name].axes)
    return tuple(DIMENSIONS[axis] for axis in PROPERTIES[name.removesuffix("_valid")].mask_axes or ())


def _attributes(system: System, name: str) -> dict[str, str]:
    known = {"units": system.units[name], "convention": system.conventions[name]}
    return {key: value for key, value in known.items() if value}


def _trajectory_names(dataset: HDF5Dataset, system: System, rows: np.ndarray) -> np.ndarray:
    """Name of each frame's trajectory, empty where it is not known."""
    names = np.array([each.name or "" for each in dataset.trajectories], dtype=str)
    return names[system.read("trajectory", rows) + system.first_trajectory]


def _system_coordinates(system: System) -> dict[str, tuple]:
    components: dict[str, tuple] = {}
    for name in ("spin_component", "spin_component_bra", "spin_component_ket"):
        components[f"{name}_state"] = (name, [state for state, _ in system.spin_states])
        components[f"{name}_ms"] = (name, [twice_ms / 2 for _, twice_ms in system.spin_states])
    return {
        "atom": ("atom", np.arange(system.num_atoms)),
        "symbol": ("atom", [chemical_symbols[z] for z in system.atomic_numbers.tolist()]),
        "atomic_number": ("atom", system.atomic_numbers),
        "mass": ("atom", system.masses, {"units": "amu"}),
        "state": ("state", np.arange(system.num_states)),
        "label": ("state", list(system.state_labels)),
        "multiplicity": ("state", list(system.multiplicities), {"long_name": "2 S + 1, 0 unknown"}),
        "root": ("state", list(system.roots)),
        **_pair_coordinates("nac_pair", system.nac_pairs),
        **_pair_coordinates("dipole_pair", system.dipole_pairs),
        **_pair_coordinates("soc_pair", system.soc_pairs),
        **components,
        **{name: (name, labels) for name, labels in FIXED.items()},
    }


def _pair_coordinates(name: str, pairs: Sequence[tuple[int, int]]) -> dict[str, tuple]:
    """Each pair of states as text, and its two states, counted from 0."""
    return {
        name: (name, [f"{i}-{j}" for i, j in pairs]),
        f"{name}_i": (name, [i for i, _ in pairs]),
        f"{name}_j": (name, [j for _, j in pairs]),
    }


def _facts(dataset: HDF5Dataset, system: System) -> dict[str, object]:
    return {
        "system": system.name,
        "file": str(system.path),
        "charge": system.charge,
        "charge_units": "e",
        "level_of_theory": system.level_of_theory,
        "program": system.program,
        "phase": system.phase,
        "schema_version": dataset.attrs.get("schema_version", "several"),
    }
