"""Every quantity that frames carry: its name, shape, type, unit and sign, said once for the whole package.

Shapes use the package's letters: F frames, N atoms, S electronic states, P state pairs, Q dipole pairs, R spin-orbit
pairs, M spin components; atoms lead and states follow, so that a batch of frames is a concatenation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """One quantity of a frame.

    ``axes`` are the axes after the frame axis: a letter is an axis whose length belongs to the system, a digit a fixed
    length. ``mask_axes`` are the axes, after the frame axis, of ``<name>_valid`` (None where there is no mask).
    """

    name: str
    axes: tuple[str, ...]
    dtype: str
    unit: str
    convention: str = ""
    mask_axes: tuple[str, ...] | None = None

    @property
    def mask(self) -> str | None:
        """Name of the mask, true where the value exists, or None where the quantity has none."""
        return None if self.mask_axes is None else f"{self.name}_valid"

    def shape(self, sizes: dict[str, int]) -> tuple[int, ...]:
        """Shape of one frame's value, given the length of every letter axis."""
        return tuple(sizes[axis] if axis in sizes else int(axis) for axis in self.axes)

    def mask_shape(self, sizes: dict[str, int]) -> tuple[int, ...]:
        """Shape of one frame's mask, given the length of every letter axis."""
        return tuple(sizes[axis] for axis in self.mask_axes or ())


_ALL = (
    Property("positions", ("N", "3"), "f8", "angstrom"),
    Property("velocities", ("N", "3"), "f4", "angstrom/fs", mask_axes=()),
    Property("cell", ("3", "3"), "f8", "angstrom", "rows are the cell vectors; all zero: no cell"),
    Property("pbc", ("3",), "?", ""),
    Property("energy", ("S",), "f8", "eV", "absolute total energy", mask_axes=("S",)),
    Property("forces", ("N", "S", "3"), "f4", "eV/angstrom", "-dE/dR", mask_axes=("S",)),
    Property("stress", ("S", "6"), "f4", "eV/angstrom^3", "dE/dstrain/V, Voigt xx yy zz yz xz xy", mask_axes=()),
    Property("nac", ("N", "P", "3"), "f4", "1/angstrom", "<i|d/dR|j>, antisymmetric in the pair", mask_axes=("P",)),
    Property(
        "interstate_coupling", ("N", "P", "3"), "f4", "eV/angstrom", "<i|dH/dR|j> = nac (E_j - E_i)", mask_axes=("P",)
    ),
    Property("dipole", ("Q", "3"), "f4", "e angstrom", "<i|mu|j>, i = j: of the state, nuclei included", mask_axes=("Q",)),
    Property("soc_magnitude", ("R",), "f8", "eV", "root of the sum of |soc|^2 over the pair's spin components"),
    Property("soc", ("M", "M"), "c16", "eV", "hermitian; the diagonal, which is the energy, is zero", mask_axes=()),
    Property("overlap", ("M", "M"), "c16", "", "<a(frame before)|b(this frame)>; NaN unknown"),
    Property("coefficients", ("M",), "c16", "", "in the basis of spin_states; NaN unknown"),
    Property("hopping_probability", ("M",), "f8", "", "of a hop from the active into each diagonal state; NaN unknown"),
    Property("population", ("S",), "f8", "", "quantum population of each state; NaN unknown"),
    Property("active_state", (), "i2", "", "0-based, -1 unknown"),
    Property("active_spin_state", (), "i2", "", "0-based in spin_states, -1 unknown"),
    Property("active_diagonal_state", (), "i2", "", "0-based among the M diagonal states, by energy; -1 unknown"),
    Property("hop", (), "u1", "", "1 first frame after a hop, 2 frustrated hop, else 0"),
    Property("trajectory", (), "i4", "", "row of /trajectories"),
    Property("step", (), "i8", "", "-1 unknown"),
    Property("time", (), "f8", "fs", "NaN unknown"),
    Property("kinetic_energy", (), "f8", "eV", "NaN unknown"),
)

PROPERTIES: dict[str, Property] = {each.name: each for each in _ALL}  #: name -> Property
