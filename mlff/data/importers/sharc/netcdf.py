"""SHARC ``output.dat.nc`` (netCDF 3): the frames of a run whose ``output.dat`` holds the header alone.

Its arrays are Fortran's memory as it stood, so axes are the reverse of what the netCDF dimensions say: the geometry is
``buffer.reshape(3, natoms).T``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

from mlff.data.importers.sharc.ascii import read_header
from mlff.data.importers.sharc.raw import SharcFrames, SharcHeader


def read_netcdf(folder: Path) -> tuple[SharcHeader, SharcFrames]:
    """Header (output.dat) and frames (output.dat.nc) of a run."""
    header = read_header(folder / "output.dat")
    num, atoms = header.num_spin_states, len(header.atomic_numbers)
    path = folder / "output.dat.nc"
    try:
        with netcdf_file(path, "r", mmap=False) as file:
            held = {name: np.array(each.data) for name, each in file.variables.items()}
    except (TypeError, ValueError, AssertionError, IndexError, KeyError) as error:
        raise ValueError(f"{path.name} is not a whole netCDF 3 file ({error})") from error
    missing = [name for name in ("H_MCH", "geom", "time_step", "state_MCH") if name not in held]
    if missing:
        raise ValueError(f"{path.name} has no {', '.join(missing)}; the output of SHARC was expected")
    count = min(len(values) for values in held.values())
    problems = []
    longest = max(len(values) for values in held.values())
    if count < longest:
        problems.append(f"{longest - count} frames dropped that some of the arrays lack")

    def buffer(name: str, size: int) -> np.ndarray | None:
        if name not in held:
            return None
        values = held[name][:count].reshape(count, -1).astype(np.float64)
        if values.shape[1] != size:
            raise ValueError(f"{path.name}: {name} has {values.shape[1]} numbers a frame, {size} were expected")
        return values

    def matrices(name: str, leading: int = 1) -> np.ndarray | None:
        values = buffer(name, leading * num * num * 2)
        if values is None:
            return None
        return values.view(np.complex128).reshape(count, leading, num, num).swapaxes(2, 3)

    def vectors(name: str) -> np.ndarray | None:
        values = buffer(name, atoms * 3)
        return None if values is None else values.reshape(count, 3, atoms).swapaxes(1, 2)

    positions, coefficients, energy = vectors("geom"), buffer("coeff_diag", 2 * num), buffer("Energy", 3)
    assert positions is not None
    hamiltonian, transformation, overlap = (matrices(name) for name in ("H_MCH", "U", "Ovlap"))
    diagonal = held["state_diag"][:count].ravel().astype(np.int64) if "state_diag" in held else None
    step = held["time_step"][:count].ravel().astype(np.int64)
    return header, SharcFrames(
        step=step,
        time=step * header.dtstep,
        positions=positions,
        hamiltonian=None if hamiltonian is None else hamiltonian[:, 0],
        transformation=None if transformation is None else transformation[:, 0],
        dipole=matrices("DM", 3),
        overlap=None if overlap is None else overlap[:, 0],
        coefficients=None if coefficients is None else coefficients.view(np.complex128),
        hopping_probability=buffer("hopprob", num),
        kinetic_energy=None if energy is None else energy[:, 2],
        diagonal_state=diagonal,
        mch_state=held["state_MCH"][:count].ravel().astype(np.int64),
        velocities=vectors("veloc"),
        without_place=("random numbers",) if "randnum" in held else (),
        problems=problems,
    )
