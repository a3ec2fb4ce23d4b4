"""Which atoms a trace of mudslide is of: the trace names none, but its kinetic energies weigh them.

Sources, the first that is there: ``NAME.xyz`` beside the trace, ``coord`` of Turbomole beside it or in its folder
``run_turbomole*``, else the masses that make 1/2 sum m v^2 the kinetic energy of every snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mlff.data.importers.mudslide.raw import Snapshot
from mlff.units import ELECTRON_MASS

SAME_MASS = 0.02  #: relative: of an isotope and its element's average, but of neighbours in the table no more
_SAME_KINETIC = 1e-6  # relative: the trace has 16 digits


def atoms_of(path: Path, snapshots: Sequence[Snapshot]) -> tuple[tuple[int, ...], tuple[float, ...] | None, str]:
    """Atomic numbers, masses in amu where the kinetic energies tell them, and where the atoms are from."""
    count = len(snapshots[0].position) // 3
    masses = _masses(snapshots)
    for source in (
        path.with_suffix(".xyz"),
        path.with_name("coord"),
        *sorted(path.parent.glob("run_turbomole*/coord")),
    ):
        if source.is_file():
            numbers = _named(source)
            if len(numbers) != count or 0 in numbers:
                raise ValueError(f"{source.name} has not the {count} atoms of {path.name}")
            return numbers, masses, source.name
    if masses is None:
        raise ValueError(
            f"{path.name} does not say which atoms it is of, and {len(snapshots)} kinetic energies do not tell; put the "
            f"molecule beside it as {path.stem}.xyz, in the order of its {count} atoms"
        )
    numbers = tuple(int(np.abs(atomic_masses[1:] / mass - 1).argmin()) + 1 for mass in masses)
    off = [mass for z, mass in zip(numbers, masses, strict=True) if abs(atomic_masses[z] / mass - 1) > SAME_MASS]
    if off:
        raise ValueError(
            f"{path.name} is of a model, not of a molecule: particles of {', '.join(f'{each:.4g}' for each in off[:3])} amu "
            "are no atoms"
        )
    return numbers, masses, "the kinetic energies"


def _named(path: Path) -> tuple[int, ...]:
    """Atomic numbers of an xyz file or of Turbomole's ``coord``; 0 for a name that is no element."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if path.suffix == ".xyz":
        try:
            names = [line.split()[0] for line in lines[2 : 2 + int(lines[0])]]
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path.name} is no xyz file ({error})") from error
    else:
        begin = next((k for k, line in enumerate(lines) if line.strip().startswith("$coord")), -1)
        rows = (line.split() for line in lines[begin + 1 :])
        names = []
        for words in rows:
            if words and words[0].startswith("$"):
                break
            names += [words[3]] if len(words) > 3 else []
    return tuple(atomic_numbers.get(name.capitalize(), 0) for name in names)


def _masses(snapshots: Sequence[Snapshot]) -> tuple[float, ...] | None:
    """amu, from kinetic energies and velocities (or momenta); None where they do not tell every atom's."""
    kinetic = np.array([each.kinetic for each in snapshots])
    momenta = snapshots[0].momenta
    if any(each.momenta != momenta for each in snapshots):
        return None
    squares = (np.stack([each.motion for each in snapshots]).reshape(len(kinetic), -1, 3) ** 2).sum(axis=2) / 2  # [F,N]
    if not (np.isfinite(squares).all() and np.isfinite(kinetic).all()) or not squares.any(axis=0).all():
        return None
    scale = squares.max(axis=0)
    scaled, _, rank, _ = np.linalg.lstsq(squares / scale, kinetic, rcond=1e-10)
    found = scaled / scale
    if rank < squares.shape[1] or (found <= 0).any():
        return None
    if not np.allclose(squares @ found, kinetic, rtol=_SAME_KINETIC, atol=0):
        return None
    masses = 1 / found if momenta else found
    return tuple(float(mass) for mass in masses * ELECTRON_MASS)
