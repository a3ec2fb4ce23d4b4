"""Factors that turn a foreign unit into the package's own: eV, angstrom, fs, amu, e.

``value_in_eV = value_in_hartree * HARTREE``. Constants are CODATA 2018; where ASE hands data over, use the ``ASE_*``
factors, which follow ASE's own table so that a round trip through ASE is exact.
"""

from __future__ import annotations

HARTREE = 27.211386245988  #: eV
RYDBERG = HARTREE / 2  #: eV
BOHR = 0.529177210903  #: angstrom
KCAL_PER_MOL = 0.04336410424180094  #: eV (thermochemical calorie, 4.184 J)
KJ_PER_MOL = 0.010364269656262175  #: eV
INVERSE_CM = 1.2398419843320026e-4  #: eV (wavenumber)
GPA = 1 / 160.21766339999999  #: eV/angstrom^3
ELECTRON_MASS = 5.48579909065e-4  #: amu
ATOMIC_TIME = 0.024188843265857  #: fs
ATOMIC_VELOCITY = BOHR / ATOMIC_TIME  #: angstrom/fs
DEBYE = 0.20819433270935603  #: e angstrom
BOLTZMANN = 8.617333262145179e-5  #: eV/K

KINETIC = 103.64269652680503  #: eV in one amu (angstrom/fs)^2, so that E_kin = 1/2 m v^2 * KINETIC

ASE_TIME = 10.180505671156725  #: fs in one ASE unit of time, angstrom sqrt(amu/eV), with ASE's CODATA 2014
ASE_VELOCITY = 1 / ASE_TIME  #: angstrom/fs in one ASE unit of velocity
