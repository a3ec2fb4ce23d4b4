"""Checks: defects that the numbers of a trajectory betray by themselves, whichever source they came from.

Each check gives a figure for the table of trajectories, and a sentence where the figure cannot be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlff.data.distances import nearest
from mlff.units import KINETIC

SHORTEST = 0.5  #: angstrom, below which two atoms are on top of each other
_FEWEST = 10  # frames, below which a trajectory's slopes say nothing

FIGURES: dict[str, tuple[str, str]] = {
    "smallest_distance": ("angstrom", "between the two nearest atoms of any frame"),
    "force_slope": ("", "dE over -F.dx from frame to frame, least squares over all states: 1 expected, -1 gradients"),
    "force_fit": ("", "correlation of dE with -F.dx"),
    "kinetic_ratio": ("", "kinetic energy over sum of 1/2 m v^2, median: 1 expected"),
    "velocity_slope": ("", "dx/dt over velocity, least squares: 1 expected"),
    "velocity_fit": ("", "correlation of dx/dt with velocity"),
    "nac_net": ("", "norm of the sum of the couplings over the atoms, over the sum of norms, median"),
    "coupling_slope": ("", "interstate coupling over nac (E_j - E_i), least squares: 1 expected, -1 pairs turned"),
    "soc_asymmetry": ("", "largest difference of soc and its conjugate transpose, over the largest soc: 0 expected"),
    "hop_mismatch": ("", "frames where `hop` and the change of `active_state` disagree"),
    "num_hops": ("", "hops of the active state"),
    "total_energy_span": ("eV", "largest less smallest kinetic energy + energy of the active state"),
}  #: figure -> (unit, what it is); NaN where a trajectory lacks what it needs


@dataclass
class Checked:
    """The figures of one trajectory, and a sentence for each that cannot be right."""

    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_trajectory(
    columns: Mapping[str, np.ndarray],
    masses: np.ndarray,
    *,
    name: str | None,
    owner: str,
    labels: Sequence[str] = (),
    pairs: Sequence[tuple[int, int]] = (),
) -> Checked:
    """Check the columns (native names and units) of one trajectory, or, without ``name``, of unordered frames.

    ``owner`` begins the sentences; ``masses`` are amu, ``pairs`` the states of the couplings.
    """
    result = Checked()
    _check_distances(columns, owner, result)
    _check_kinetic_energy(columns, masses, owner, result)
    _check_couplings(columns, pairs, owner, result)
    _check_spin_orbit_couplings(columns, owner, result)
    if name is not None:
        moved = _displacements(columns)
        _check_forces(columns, moved, labels, owner, result)
        _check_velocities(columns, moved, owner, result)
        _check_hops(columns, owner, result)
        _total_energy(columns, result)
    return result


def _check_distances(columns: Mapping[str, np.ndarray], owner: str, result: Checked) -> None:
    near = nearest(columns["positions"], columns.get("pbc"), columns.get("cell"))
    if np.isfinite(near).any():
        result.figures["smallest_distance"] = float(near.min())
    bad = np.flatnonzero(near < SHORTEST)
    if len(bad):
        result.problems.append(
            f"{owner}: atoms closer than {SHORTEST} angstrom in {len(bad)} frames, first in frame "
            f"{bad[0]} ({near[bad[0]]:.2f} angstrom)"
        )


def _displacements(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Ways of the atoms from frame to frame ``[F-1,N,3]``, the shortest among periodic images; NaN where the cell
    changes, which moves atoms and changes the energy by itself."""
    moved = np.diff(columns["positions"], axis=0)
    pbc = np.asarray(columns.get("pbc", False))
    if not pbc.any():
        return moved
    cell = np.asarray(columns.get("cell", np.zeros((len(columns["positions"]), 3, 3))))
    turns = np.round(moved @ np.linalg.pinv(cell[1:])) * pbc[1:, None, :]
    fixed = np.isclose(cell[1:], cell[:-1], rtol=0, atol=1e-6).all(axis=(1, 2))
    return np.where(fixed[:, None, None], moved - turns @ cell[1:], np.nan)


def _check_forces(
    columns: Mapping[str, np.ndarray], moved: np.ndarray, labels: Sequence[str], owner: str, result: Checked
) -> None:
    """Compare dE with -F.dx between neighbouring frames, state by state: sign and slope tell what the forces are."""
    if "energy" not in columns or "forces" not in columns or len(columns["positions"]) < _FEWEST:
        return
    changes, expectations = [], []
    for state in range(columns["energy"].shape[1]):
        forces = np.asarray(columns["forces"][:, :, state], dtype=np.float64)
        change = np.diff(columns["energy"][:, state])
        expected = -np.einsum("fax,fax->f", (forces[1:] + forces[:-1]) / 2, moved)
        use = np.isfinite(change) & np.isfinite(expected)
        changes.append(change[use])
        expectations.append(expected[use])
        if use.sum() < _FEWEST - 1 or not change[use].any() or not expected[use].any():
            continue
        slope, fit = _line(change[use], expected[use])
        if abs(fit) > 0.95 and not 0.7 < slope < 1.4:  # a wrong sign or unit is further off, a coarse stride is not
            guess = "; they look like gradients, with the wrong sign" if -1.4 < slope < -0.7 else "; check their unit"
            label = labels[state] if state < len(labels) and labels[state] else f"state {state}"
            where = f", {label}" if columns["energy"].shape[1] > 1 else ""
            result.problems.append(f"{owner}{where}: dE is {slope:.2f} times -F.dx, 1 was expected{guess}")
    change, expected = np.concatenate(changes), np.concatenate(expectations)
    if len(change) >= _FEWEST - 1 and change.any() and expected.any():
        result.figures["force_slope"], result.figures["force_fit"] = _line(change, expected)


def _check_kinetic_energy(columns: Mapping[str, np.ndarray], masses: np.ndarray, owner: str, result: Checked) -> None:
    if "kinetic_energy" not in columns or "velocities" not in columns:
        return
    velocities = np.asarray(columns["velocities"], dtype=np.float64)
    own = 0.5 * KINETIC * np.einsum("a,fax->f", masses, velocities**2)
    use = np.isfinite(own) & np.isfinite(columns["kinetic_energy"]) & (own > 1e-3)
    if not use.any():
        return
    ratio = float(np.median(columns["kinetic_energy"][use] / own[use]))
    result.figures["kinetic_ratio"] = ratio
    if abs(ratio - 1) > 0.02:
        result.problems.append(
            f"{owner}: the kinetic energy is {ratio:.3f} times 1/2 m v^2, 1 was expected; check velocities and masses"
        )


def _check_velocities(columns: Mapping[str, np.ndarray], moved: np.ndarray, owner: str, result: Checked) -> None:
    """Compare the mean velocity of neighbouring frames with the way that the atoms went."""
    if "velocities" not in columns or "time" not in columns or len(columns["positions"]) < _FEWEST:
        return
    velocities = np.asarray(columns["velocities"], dtype=np.float64)
    passed = np.diff(columns["time"])
    with np.errstate(divide="ignore", invalid="ignore"):
        went = moved / passed[:, None, None]
    mean = (velocities[1:] + velocities[:-1]) / 2
    use = np.isfinite(went) & np.isfinite(mean)
    if use.sum() < 3 * (_FEWEST - 1) or not went[use].any() or not mean[use].any():
        return
    slope, fit = _line(went[use], mean[use])
    result.figures["velocity_slope"], result.figures["velocity_fit"] = slope, fit
    if fit < 0.5 or (fit > 0.9 and not 0.8 < slope < 1.25):
        result.problems.append(
            f"{owner}: the atoms do not go where their velocities point: dx/dt is {slope:.2f} times the velocity, "
            f"correlation {fit:.2f}; 1 and 1 were expected"
        )


def _check_couplings(
    columns: Mapping[str, np.ndarray], pairs: Sequence[tuple[int, int]], owner: str, result: Checked
) -> None:
    """Without translation factors couplings do not sum to zero over the atoms, so that is a figure only; both kinds of
    coupling of a pair must go with the gap."""
    held = next((columns[name] for name in ("nac", "interstate_coupling") if name in columns), None)
    if held is None:
        return
    vectors = np.asarray(held, dtype=np.float64)
    total, norms = np.linalg.norm(vectors.sum(axis=1), axis=-1), np.linalg.norm(vectors, axis=-1).sum(axis=1)
    use = np.isfinite(total) & (norms > 0)
    if use.any():
        result.figures["nac_net"] = float(np.median(total[use] / norms[use]))
    if not len(pairs) or any(name not in columns for name in ("nac", "interstate_coupling", "energy")):
        return
    first, second = np.asarray(pairs).T
    gaps = columns["energy"][:, second] - columns["energy"][:, first]
    expected = vectors * gaps[:, None, :, None]
    coupling = np.asarray(columns["interstate_coupling"], dtype=np.float64)
    both = np.isfinite(expected) & np.isfinite(coupling)
    if not expected[both].any() or not coupling[both].any():
        return
    slope, fit = _line(coupling[both], expected[both])
    result.figures["coupling_slope"] = slope
    if not (0.98 < slope < 1.02 and fit > 0.98):
        guess = "; the pairs of one of them are turned" if slope < 0 and fit < -0.98 else ""
        result.problems.append(
            f"{owner}: the interstate coupling is {slope:.2f} times nac (E_j - E_i), correlation {fit:.2f}; "
            f"1 and 1 were expected{guess}"
        )


def _check_spin_orbit_couplings(columns: Mapping[str, np.ndarray], owner: str, result: Checked) -> None:
    if "soc" not in columns:
        return
    soc = columns["soc"][np.isfinite(columns["soc"]).all(axis=(1, 2))]
    largest = np.abs(soc).max(initial=0.0)
    if largest == 0.0:
        return
    result.figures["soc_asymmetry"] = float(np.abs(soc - soc.conj().swapaxes(1, 2)).max() / largest)
    if result.figures["soc_asymmetry"] > 1e-4:
        result.problems.append(
            f"{owner}: the spin-orbit couplings are not hermitian, by {result.figures['soc_asymmetry']:.1e} of the largest"
        )


def _check_hops(columns: Mapping[str, np.ndarray], owner: str, result: Checked) -> None:
    if "active_state" not in columns:
        return
    active = np.asarray(columns["active_state"])
    changed = np.zeros(len(active), dtype=bool)
    changed[1:] = (active[1:] != active[:-1]) & (active[1:] >= 0) & (active[:-1] >= 0)
    result.figures["num_hops"] = float(changed.sum())
    if "hop" in columns:
        wrong = np.flatnonzero((np.asarray(columns["hop"]) == 1) != changed)
        result.figures["hop_mismatch"] = float(len(wrong))
        if len(wrong):
            result.problems.append(
                f"{owner}: hops and active states disagree in {len(wrong)} frames, first in frame {wrong[0]}"
            )


def _total_energy(columns: Mapping[str, np.ndarray], result: Checked) -> None:
    if not all(name in columns for name in ("energy", "kinetic_energy", "active_state")):
        return
    active = np.asarray(columns["active_state"]).astype(np.int64)
    energy = columns["energy"][np.arange(len(active)), np.maximum(active, 0)]
    total = np.where(active >= 0, energy + columns["kinetic_energy"], np.nan)
    if np.isfinite(total).sum() > 1:
        result.figures["total_energy_span"] = float(np.nanmax(total) - np.nanmin(total))


def _line(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Slope of y over x through the origin, and their correlation about it."""
    product = float(np.vdot(x, y))
    return product / float(np.vdot(x, x)), product / float(np.sqrt(np.vdot(x, x) * np.vdot(y, y)))
