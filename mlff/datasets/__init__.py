"""Data sets that ship inside the package, so that demo, tests and examples need no download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlff.data.dataset import HDF5Dataset

__all__ = ["EMBEDDED", "azobenzene", "ch2nh2", "chno"]


def azobenzene() -> HDF5Dataset:
    """Azobenzene on the GFN2-xTB ground state: 2,194 frames of 50 photoisomerisation-like trajectories, 24 atoms.

    Every fourth frame of each part of the split by time: train 0-247.5 fs (1,250), val 250-372.5 fs (625), test 375-500
    fs (319), as the splits "time" and "trajectory" (whole trajectories held out). Energies in eV are absolute, forces
    in eV/angstrom. docs/formats.md has the two commands that made it from the full set.
    """
    return HDF5Dataset(Path(__file__).with_name("azobenzene.h5"))


def ch2nh2() -> HDF5Dataset:
    """Surface hopping of CH2NH2+ on three singlets, SA3-CASSCF(6,5)/6-31G*: ten trajectories of the bright state's decay.

    Every 0.5 fs energies of all states, forces of the active one (the others are masked), couplings of all pairs, transition
    dipoles, velocities, amplitudes, hops. The split "trajectory" holds whole trajectories out. docs/ch2nh2.md is its card;
    `examples/casscf_hopping.py` made it.
    """
    return HDF5Dataset(Path(__file__).with_name("ch2nh2.h5"))


def chno() -> HDF5Dataset:
    """Small molecules of C, H, N and O on the GFN2-xTB ground state, nine heavy atoms at most, azobenzene not among them.

    A trajectory is a molecule, called by its SMILES: one or two relaxed conformers (those whose `max_force` is below 0.05
    eV/angstrom), then two hot frames. Isomers share a system, their atoms sorted by element. The split "trajectory" holds
    whole molecules out. Energies in eV are absolute, forces in eV/angstrom. `examples/make_corpus.py` made it;
    docs/labelling.md has the figures.
    """
    return HDF5Dataset(Path(__file__).with_name("chno.h5"))


EMBEDDED: dict[str, Callable[[], HDF5Dataset]] = {"azobenzene": azobenzene, "ch2nh2": ch2nh2, "chno": chno}
"""The words that stand for these sets where a data file is expected."""
