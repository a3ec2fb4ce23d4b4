"""Makes schema_1.h5, the stored file of schema version 1; it was run with the last program that wrote that version.

Every number is a small multiple of 1/8, so that it is the same on any machine and what a test expects can be computed.
"""

from __future__ import annotations

import sys

import numpy as np

CH2NH = {"N": 5, "S": 3, "P": 1, "Q": 3, "R": 2, "M": 5}  #: axes of the system CH3N
METHANIMINE = {  #: two singlets and a triplet, resolved by spin
    "atomic_numbers": [6, 7, 1, 1, 1],
    "num_states": 3,
    "multiplicity": [1, 1, 3],
    "root": [0, 1, 0],
    "label": ["S0", "S1", "T1"],
    "charge": 1.0,
    "masses": [12.0, 14.0, 1.0, 1.0, 2.0],
    "level_of_theory": "made up",
    "program": "none",
    "phase": "tracked",
    "spin_states": [(0, 0), (1, 0), (2, -2), (2, 0), (2, 2)],
    "nac_pairs": [(0, 1)],
    "dipole_pairs": [(0, 0), (0, 1), (1, 1)],
    "soc_pairs": [(0, 2), (1, 2)],
}
SHAPES = {  #: quantity -> axes, as version 1 has them
    "positions": "N3",
    "velocities": "N3",
    "energy": "S",
    "forces": "NS3",
    "nac": "NP3",
    "interstate_coupling": "NP3",
    "dipole": "Q3",
    "soc_magnitude": "R",
    "soc": "MM",
    "overlap": "MM",
    "coefficients": "M",
    "kinetic_energy": "",
}
TRAJECTORIES = (("t0", 0, 4, "complete"), ("t1", 4, 3, "crashed"), (None, 7, 2, "unordered"))
"""Name, first row, number of frames and status of the trajectories of CH3N."""


def methanimine(first: int, count: int) -> dict[str, np.ndarray]:
    """Columns of ``count`` frames from row ``first`` on; forces of S1 and couplings of odd rows are missing."""
    columns = {name: eighths(name, first, count, axes) for name, axes in SHAPES.items()}
    rows = np.arange(first, first + count)
    columns["energy"] -= 9000
    columns["forces"][:, :, 1] = np.nan
    columns["nac"][rows % 2 == 1] = np.nan
    columns["active_state"] = rows % 3
    columns["active_spin_state"] = rows % 5
    columns["hop"] = (rows % 3 == 2).astype(int)
    columns["step"] = 10 * rows
    columns["time"] = rows * 0.5
    return columns


def water(count: int) -> dict[str, np.ndarray]:
    """Columns of a periodic system of one state."""
    columns = {
        "positions": eighths("positions", 0, count, "N3", {"N": 3}),
        "energy": eighths("energy", 0, count, "S", {"S": 1}),
        "forces": eighths("forces", 0, count, "NS3", {"N": 3, "S": 1}),
        "stress": eighths("stress", 0, count, "S6", {"S": 1}),
        "cell": np.tile(9.5 * np.eye(3), (count, 1, 1)),
        "pbc": np.ones((count, 3), dtype=bool),
    }
    columns["forces"][1] = np.nan
    return columns


def eighths(name: str, first: int, count: int, axes: str, sizes: dict[str, int] = CH2NH) -> np.ndarray:
    """Numbers between 0 and 12 that depend on the quantity, the row and the place."""
    shape = tuple(sizes[axis] if axis in sizes else int(axis) for axis in axes)
    size = int(np.prod(shape))
    rows = first + np.arange(count)
    values = (len(name) + 29 * rows[:, None] + 7 * np.arange(size)) % 97 / 8
    if axes.startswith("M"):
        values = values + 1j * ((rows[:, None] + 11 * np.arange(size)) % 89 / 8)
    return values.reshape(count, *shape)


def main(path: str) -> None:
    """Write the file with the program as installed."""
    from mlff.data import HDF5Writer

    with HDF5Writer(path) as writer:
        writer.add_system("CH3N", **METHANIMINE)
        writer.add_system("H2O", [8, 1, 1])
        for name, first, count, status in TRAJECTORIES:
            writer.add_trajectory(
                "CH3N",
                methanimine(first, count),
                name=name,
                dt=0.5,
                status=status if name else "complete",
                source=f"runs/{name}.dat" if name else "",
                source_sha256=f"{first:064x}",
                checks={"force_slope": 1.0 + first} if name else None,
            )
        writer.add_trajectory("H2O", water(4), name="tröpfchen")
        writer.add_report(["t1: ends after frame 2 of 9", "tröpfchen: looks odd"])
        writer.add_split("trajectory", {"train": [0, 1, 2, 3], "val": [4, 5, 6], "test": []}, kind="trajectory", seed=7)
        writer.add_split(
            "random", {"train": [9, 11, 0], "val": [2], "test": [12]}, kind="random", fractions=(0.6, 0.2, 0.2)
        )


if __name__ == "__main__":
    main(sys.argv[1])
