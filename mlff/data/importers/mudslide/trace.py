"""Traces of mudslide (github.com/smparker/mudslide): ``NAME.yaml`` with its logs, a trajectory of surface hopping or of MD.

Atomic units, time included; states count from 0. Models of a coordinate or two are no molecules and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_masses

from mlff.data.importers.mudslide.atoms import SAME_MASS, atoms_of
from mlff.data.importers.mudslide.raw import Trace, is_main, read_trace, same_sizes
from mlff.data.importers.newtonx.restart import continued
from mlff.data.importers.trajectory import (
    ImportedTrajectory,
    Importer,
    ImportOptions,
    SystemFacts,
    hops,
    sha256,
    spacing,
)
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, ELECTRON_MASS, HARTREE

_SOON = 1e-6  # atomic units of time


def read_mudslide(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectory of each trace."""
    for path in paths:
        yield _trajectory(path)


def _trajectory(path: Path) -> ImportedTrajectory:
    trace = read_trace(path)
    problems = trace.problems
    num_states, size = same_sizes(trace.snapshots)
    if size % 3:
        raise ValueError(
            f"{path.name} is of a model with {size} degree{'s' * (size > 1)} of freedom, not of a molecule: atoms have "
            "three each"
        )
    whole = [each for each in trace.snapshots if (len(each.energy), len(each.position)) == (num_states, size)]
    if lost := len(trace.snapshots) - len(whole):
        problems.append(f"{lost} snapshots dropped whose atoms or states are not those of the others")
    order, repeated, stray = continued([each.time for each in whole])
    for count, why in ((repeated, "that the restarted run wrote again"), (stray, "whose time stands out of line")):
        if count:
            problems.append(f"{count} snapshots dropped {why}")
    trace.snapshots = [whole[k] for k in order]
    numbers, masses, source = atoms_of(path, trace.snapshots)
    pairs = tuple((i, j) for i in range(num_states) for j in range(i + 1, num_states))
    if masses is not None and not np.allclose(masses, atomic_masses[list(numbers)], rtol=SAME_MASS):
        problems.append(f"the kinetic energies are those of other masses than the atoms of {source} have: isotopes?")
    columns = _columns(trace, np.array(masses or atomic_masses[list(numbers)]), pairs, problems)
    pairs = pairs if "nac" in columns else ()
    facts = SystemFacts(numbers, num_states, masses=masses, nac_pairs=pairs, program="mudslide")
    name, held = path.stem, ", ".join(each for each in columns if each not in ("positions", "time", "hop"))
    return ImportedTrajectory(
        facts,
        columns,
        name,
        dt=spacing(columns["time"]),
        status="truncated" if trace.cut else "complete",
        source=str(path),
        sha256=sha256(trace.log) if trace.log else "",
        problems=[f"{name}: {problem}" for problem in problems],
        notes=[
            f"{name}: {len(order)} snapshots of mudslide, {held}; the atoms are from {source}; no place for: coherences, "
            "random numbers, total hopping probabilities"
        ],
        group=path.resolve().parent.name,
    )


def _columns(
    trace: Trace, masses: np.ndarray, pairs: Sequence[tuple[int, int]], problems: list[str]
) -> dict[str, np.ndarray]:
    """What the snapshots hold, in the package's units; ``masses`` in amu."""
    found = trace.snapshots
    time = np.array([each.time for each in found])
    positions = np.stack([each.position for each in found])
    num, atoms = len(found), positions.shape[1] // 3
    columns = {
        "positions": positions.reshape(num, atoms, 3) * BOHR,
        "time": time * ATOMIC_TIME,
        "energy": np.stack([each.energy for each in found]) * HARTREE,
        "kinetic_energy": np.array([each.kinetic for each in found]) * HARTREE,
        "forces": np.stack([each.forces for each in found]).reshape(num, -1, atoms, 3).transpose(0, 2, 1, 3)
        * (HARTREE / BOHR),
    }
    mass = np.repeat(masses, 3) / ELECTRON_MASS
    moving = [each.motion / mass if each.momenta else each.motion for each in found]
    columns["velocities"] = np.stack(moving).reshape(num, atoms, 3) * ATOMIC_VELOCITY
    if pairs and any(each.couplings is not None for each in found):
        nac = np.full((num, atoms, len(pairs), 3), np.nan)
        for k, each in enumerate(found):
            if each.couplings is not None:
                for p, (i, j) in enumerate(pairs):
                    vector = each.couplings[i, j].reshape(atoms, 3)
                    nac[k, :, p] = vector / BOHR if vector.any() else np.nan  # zeros: not computed
        columns["nac"] = nac
    if any(each.population is not None for each in found):
        unknown = np.full(found[0].energy.shape, np.nan)
        columns["population"] = np.stack([unknown if each.population is None else each.population for each in found])
    columns |= _active(trace, time, columns["energy"].shape[1], problems)
    return columns


def _active(trace: Trace, time: np.ndarray, num_states: int, problems: list[str]) -> dict[str, np.ndarray]:
    """Active states and hops. An event tells the time before its step: the snapshot after it is the first with its state."""
    active = np.array([each.active for each in trace.snapshots])
    if (active < 0).all():
        return {"active_state": np.zeros(len(active), dtype=np.int64)} if num_states == 1 else {}
    if (strange := (active < 0) | (active >= num_states)).any():
        problems.append(
            f"the active state of {int(strange.sum())} snapshots is none of the {num_states}: unknown there"
        )
    active = np.where(strange, -1, active)
    hop = hops(active)
    told = {int(k): after for at, _, after in trace.hops if (k := np.searchsorted(time, at + _SOON)) < len(time)}
    odd = [k for k, after in told.items() if active[k] not in (after, -1)]
    silent = [k for k in np.flatnonzero(hop == 1).tolist() if k not in told] if trace.hops else []
    if odd or silent:
        problems.append(
            f"the hops of the event log and the active states differ in {len(odd) + len(silent)} snapshots, first "
            f"{min(odd + silent)}; the active states are kept"
        )
    for at in trace.frustrated:
        after_step = int(np.searchsorted(time, at + _SOON))
        if after_step < len(hop) and hop[after_step] == 0:
            hop[after_step] = 2
    return {"active_state": active, "hop": hop}


MUDSLIDE = Importer(is_main, read_mudslide, description="a trace of mudslide (NAME.yaml beside its logs)")
