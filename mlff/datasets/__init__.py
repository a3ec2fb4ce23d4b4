"""Data sets that ship inside the package, so that demo, tests and examples need no download."""

from __future__ import annotations

from pathlib import Path

from mlff.data.dataset import HDF5Dataset

__all__ = ["azobenzene"]


def azobenzene() -> HDF5Dataset:
    """Azobenzene on the GFN2-xTB ground state: 2,194 frames of 50 photoisomerisation-like trajectories, 24 atoms.

    Every fourth frame of each part of the split by time: train 0-247.5 fs (1,250), val 250-372.5 fs (625), test 375-500
    fs (319), as the splits "time" and "trajectory" (whole trajectories held out). Energies in eV are absolute, forces
    in eV/angstrom. docs/formats.md has the two commands that made it from the full set.
    """
    return HDF5Dataset(Path(__file__).with_name("azobenzene.h5"))
