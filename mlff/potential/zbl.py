"""Short-range repulsion: the screened nuclear repulsion of Ziegler, Biersack and Littmark, switched off before bonds.

    V(r) = k_e Z_i Z_j / r * phi(r / a) * s(r),      a = 0.8854 a_0 / (Z_i^0.23 + Z_j^0.23),
    phi(x) = 0.18175 exp(-3.19980 x) + 0.50986 exp(-0.94229 x) + 0.28022 exp(-0.40290 x) + 0.02817 exp(-0.20162 x)

(Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids, 1985.) The switch s falls from 1 at 0.35 to 0 at
0.70 of the sum of the covalent radii (Cordero et al., Dalton Trans. 2008, 2832), a quintic whose first and second
derivatives vanish at both ends. 0.70 lies below the shortest common bonds (N2 0.78, CO 0.79, C-H 1.02 of their sums),
so that equilibrium bonds feel exactly nothing, and above the distances at which colliding atoms would leave the data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..graph.covalent_radii import COVALENT_RADII

COULOMB_CONSTANT = 14.399645478  # eV angstrom / e^2
SCREENING_LENGTH = 0.8854 * 0.529177210903  # angstrom
SWITCH_START = 0.35
SWITCH_END = 0.70
REACH = tuple(SWITCH_END * radius for radius in COVALENT_RADII)
"""Å, by atomic number: the repulsion of two atoms ends at the sum of theirs."""


def zbl_outer_radius(species: tuple[int, ...]) -> float:
    """Largest distance, in angstrom, at which any pair of these elements repels; a cutoff must not be smaller."""
    return 2 * max((_reach(number) for number in species), default=0.0)


def zbl_pair_energy(distances: Tensor, numbers_i: Tensor, numbers_j: Tensor) -> Tensor:
    """Repulsion of each pair in eV: ``[P]`` float64, from distances in angstrom and atomic numbers ``[P]``."""
    distances = distances.double()
    radii = torch.tensor(COVALENT_RADII, dtype=torch.float64, device=distances.device)
    charges_i, charges_j = numbers_i.double(), numbers_j.double()
    x = distances * (charges_i**0.23 + charges_j**0.23) / SCREENING_LENGTH
    screening = (
        0.18175 * torch.exp(-3.19980 * x)
        + 0.50986 * torch.exp(-0.94229 * x)
        + 0.28022 * torch.exp(-0.40290 * x)
        + 0.02817 * torch.exp(-0.20162 * x)
    )
    reach = radii[numbers_i] + radii[numbers_j]
    t = ((distances / reach - SWITCH_START) / (SWITCH_END - SWITCH_START)).clamp(0.0, 1.0)
    switch = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
    return COULOMB_CONSTANT * charges_i * charges_j / distances * screening * switch


def _reach(number: int) -> float:
    if not 1 <= number < len(REACH):
        raise ValueError(f"the ZBL prior knows the elements 1 to {len(REACH) - 1}, not {number}; leave the prior out "
                         f"(`potential.zbl: false` in a training configuration)")
    return REACH[number]
