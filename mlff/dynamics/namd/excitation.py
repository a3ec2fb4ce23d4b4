"""Start states of trajectories: picked by oscillator strength among vertical excitations in an energy window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlff.units import BOHR, HARTREE

Floats = NDArray[np.float64]


def oscillator_strengths(gaps: Floats, dipoles: Floats) -> Floats:
    """f = 2/3 dE |mu|^2 (in atomic units), without a unit.

    From gaps in eV ``[...]`` and transition dipoles in e angstrom ``[..., 3]``.
    """
    return 2 / 3 * (np.asarray(gaps) / HARTREE) * np.square(np.asarray(dipoles) / BOHR).sum(axis=-1)


def pick_excitations(
    energies: Floats,
    strengths: Floats | None,
    window: tuple[float, float],
    num_picked: int,
    generators: Sequence[np.random.Generator],
    *,
    lower: int = 0,
    upper: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidate and start state of the first excitations that are accepted: two arrays ``[num_picked]``.

    Of each candidate geometry every state whose energy above state ``lower`` is within the window is accepted with the
    probability f / f_max, where f_max is the largest oscillator strength in the window among all candidates (Barbatti et
    al., J. Photochem. Photobiol. A 190, 228, 2007; the procedure of SHARC, Mai, Marquetand and Gonzalez, WIREs Comput. Mol.
    Sci. 8, e1370, 2018). A geometry may start several trajectories, in different states.

    Args:
        energies: eV ``[C, S]`` of C candidates.
        strengths: oscillator strengths from ``lower`` ``[C, S]``; None: all alike, so that the window alone decides.
        window: lowest and highest excitation energy, eV.
        num_picked: how many are wanted.
        generators: one of each candidate.
        lower: state that is excited.
        upper: the only state to start in; None: any above ``lower``.

    Raises:
        ValueError: fewer are accepted than wanted.
    """
    low, high = window
    if not 0 <= low < high:
        raise ValueError(f"the window of excitation energies is {low} to {high} eV; give two energies, the lower one first")
    gaps = energies - energies[:, lower : lower + 1]
    allowed = (gaps >= low) & (gaps <= high)
    allowed[:, lower] = False
    if upper is not None:
        allowed &= np.arange(energies.shape[1]) == upper
    bright = np.where(allowed, 1.0 if strengths is None else np.maximum(strengths, 0.0), 0.0)
    if not bright.any():
        where = "" if upper is None else f" into state {upper}"
        others = np.delete(gaps, lower, axis=1) if upper is None else gaps[:, [upper]]
        reason = "their oscillator strengths are all zero" if allowed.any() else (
            f"they lie from {others.min():.2f} to {others.max():.2f} eV" if others.size else "there is one state only"
        )
        raise ValueError(f"no excitation{where} of {len(energies)} geometries can be picked between {low:g} and {high:g} eV: "
                         f"{reason}")
    drawn = np.stack([each.random(energies.shape[1]) for each in generators])
    candidates, states = np.nonzero(drawn < bright / bright.max())
    if len(candidates) < num_picked:
        raise ValueError(f"{len(candidates)} excitations of {len(energies)} geometries were picked between {low:g} and "
                         f"{high:g} eV, fewer than the {num_picked} trajectories; try more geometries (--candidates) or a "
                         f"wider --window")
    return candidates[:num_picked], states[:num_picked]
