"""Summary: what a native file holds, as plain values: what `mlff data info` prints."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlff.data.dataset import HDF5Dataset
from mlff.data.distances import smallest_distances
from mlff.data.spread import Spread, blocks
from mlff.data.system import System
from mlff.properties import PROPERTIES

_MOST_FRAMES = 5000  # searched for the smallest distance of a system
_MEASURED = ("energy", "forces", "stress", "kinetic_energy", "velocities", "nac", "interstate_coupling", "dipole",
             "soc_magnitude", "soc", "overlap", "coefficients",
             "hopping_probability", "population")  # fmt: skip  # with a range; of complex values: absolute


def summarise(dataset: HDF5Dataset) -> dict[str, Any]:
    """Systems, quantities with units and ranges, trajectories and splits; every value fits into JSON."""
    named = [each for each in dataset.trajectories if each.name is not None]
    return {
        "path": str(dataset.path),
        "bytes": dataset.path.stat().st_size,
        "schema_version": int(dataset.attrs["schema_version"]),  # type: ignore[call-overload]
        "created": str(dataset.attrs["created"]),
        "program_version": str(dataset.attrs["program_version"]),
        "finalized": bool(dataset.attrs["finalized"]),
        "num_frames": len(dataset),
        "num_states": dataset.num_states,
        "num_trajectories": len(named),
        "num_frames_without_trajectory": len(dataset) - sum(each.count for each in named),
        "statuses": {
            status: count
            for status in ("complete", "crashed", "truncated")
            if (count := sum(each.status == status for each in named))
        },
        "report": list(dataset.report),
        "trajectories": [
            {
                "name": each.name,
                "system": dataset.systems[each.system].name,
                "frames": each.count,
                "status": each.status,
                "source": each.source,
                "checks": {
                    figure: float(values[row])
                    for figure, values in dataset.checks.items()
                    if row < len(values) and np.isfinite(values[row])
                },
            }
            for row, each in enumerate(dataset.trajectories)
        ],
        "sources": sorted({each.source for each in dataset.trajectories if each.source}),
        "systems": [_system(dataset, index) for index in range(len(dataset.systems))],
        "splits": {
            name: {**dataset.split_attrs(name), **{part: len(rows) for part, rows in dataset.split(name).items()}}
            for name in dataset.splits
        },
    }


def _system(dataset: HDF5Dataset, index: int) -> dict[str, Any]:
    system = dataset.systems[index]
    own = [each for each in dataset.trajectories if each.system == index and each.name is not None]
    rows = np.unique(np.linspace(0, system.num_frames - 1, min(system.num_frames, _MOST_FRAMES)).astype(np.int64))
    distances = smallest_distances(system, rows)
    time = system.read("time") if system.has("time") else np.zeros(0)
    return {
        "name": system.name,
        "num_frames": system.num_frames,
        "num_atoms": system.num_atoms,
        "elements": sorted({int(z) for z in system.atomic_numbers}),
        "num_states": system.num_states,
        "state_labels": list(system.state_labels),
        "multiplicities": list(system.multiplicities),
        "spin_states": [list(each) for each in system.spin_states],
        "nac_pairs": [list(each) for each in system.nac_pairs],
        "dipole_pairs": [list(each) for each in system.dipole_pairs],
        "soc_pairs": [list(each) for each in system.soc_pairs],
        "charge": system.charge,
        "level_of_theory": system.level_of_theory,
        "program": system.program,
        "phase": system.phase,
        "num_hops": int((system.read("hop") == 1).sum()) if system.has("hop") else None,
        "active_frames": _active(system),
        "num_trajectories": len({each.name for each in own}),
        "time_fs": _span(time),
        "timestep_fs": sorted({round(each.dt, 6) for each in own}) if all(np.isfinite(each.dt) for each in own) else [],
        "periodic_frames": int(system.read("pbc").any(axis=1).sum()) if system.has("pbc") else 0,
        "smallest_distance_angstrom": float(distances.min())
        if len(distances) and np.isfinite(distances.min())
        else None,
        "smallest_distance_frames": len(rows),
        "quantities": {name: _quantity(system, name) for name in PROPERTIES if system.has(name)},
    }


def _active(system: System) -> list[int] | None:
    """Frames in each active state."""
    if not system.has("active_state"):
        return None
    active = system.read("active_state")
    return np.bincount(active[active >= 0], minlength=system.num_states).tolist()


def _quantity(system: System, name: str) -> dict[str, Any]:
    each = PROPERTIES[name]
    held = system.read(name, slice(0, 0))
    result: dict[str, Any] = {
        "shape": list(held.shape[1:]),
        "dtype": held.dtype.str.lstrip("<|"),
        "unit": system.units[name],
        "convention": system.conventions[name],
    }
    if each.mask is not None and system.has(each.mask):
        valid = system.read(each.mask)
        result["valid"] = float(valid.mean()) if valid.size else 0.0
    if name in _MEASURED:
        spread = Spread()
        for values in blocks(system, name):
            spread.add(values)
        result["range"] = [spread.lowest, spread.highest] if spread.count else None
        if spread.count:
            result |= {key: getattr(spread, key) for key in ("mean", "standard_deviation", "rms")}
    return result


def _span(values: np.ndarray) -> list[float] | None:
    finite = values[np.isfinite(values)]
    return [float(finite.min()), float(finite.max())] if finite.size else None
