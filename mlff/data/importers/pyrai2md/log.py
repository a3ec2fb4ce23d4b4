"""PyRAI2MD runs: the log of nonadiabatic dynamics, ``TITLE.log``, in the folder of a run.

The first frame is labelled one time step, as the program does. On the frame of a hop the gradient is the old state's
and the kinetic energy is that before the velocities, which are printed rescaled, were; it is computed from them.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from ase.data import atomic_masses

from mlff.data.importers.pyrai2md.log_raw import START, Log, LogStep, read_log
from mlff.data.importers.trajectory import (
    ImportedTrajectory,
    Importer,
    ImportOptions,
    Status,
    SystemFacts,
    hops,
    sha256,
    spacing,
)
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, HARTREE, INVERSE_CM, KINETIC

_T = TypeVar("_T")


def logs_of(path: Path) -> list[Path]:
    """The logs of dynamics in a folder, or the file itself if it is one."""
    candidates = sorted(path.glob("*.log")) if path.is_dir() else [path] if path.suffix == ".log" else []
    return [each for each in candidates if each.is_file() and _begins(each)]


def matches(path: Path) -> bool:
    """A folder with the log of a PyRAI2MD run, or that log."""
    return bool(logs_of(path))


def _begins(path: Path) -> bool:
    with path.open("rb") as stream:
        return START in stream.read(4096)


def read_pyrai2md_log(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectory of each log."""
    for path in paths:
        logs = logs_of(path)
        if not logs:
            raise ValueError("no log of a PyRAI2MD run was found; a file TITLE.log was expected")
        unread: list[str] = []
        for each in logs:
            folder = each.resolve().parent
            alone = path.is_dir() and len(logs) == 1
            try:
                yield _trajectory(each, folder.name if alone else each.stem, (folder.parent if alone else folder).name)
            except ValueError as error:
                unread.append(str(error))
        if unread:
            raise ValueError("; ".join(unread))


def _trajectory(path: Path, name: str, group: str) -> ImportedTrajectory:
    log = read_log(path)
    steps, problems = log.steps, list(log.problems)
    number = np.array([step.number for step in steps], dtype=np.int64)
    time = number * log.header.dt * ATOMIC_TIME
    if not np.isfinite(log.header.dt):
        problems.append("the log does not say its time step; times are unknown")
    num_states = len(steps[0].energy)
    active = np.array([step.state - 1 for step in steps])
    told = np.array([step.state != step.state_before for step in steps])
    hop = hops(active)
    if (told[1:] != (hop[1:] == 1)).any():
        problems.append(
            f"the active state changes where the log tells no hop, or not, {int((told != hop)[1:].sum())} times"
        )
    hop[[step.frustrated for step in steps]] = 2
    velocities = np.stack([step.velocities for step in steps]) * ATOMIC_VELOCITY
    masses = atomic_masses[list(steps[0].atoms)]
    rescaled = KINETIC / 2 * (masses[:, None] * velocities**2).sum(axis=(1, 2))
    columns = {
        "positions": np.stack([step.positions for step in steps]),
        "velocities": velocities,
        "energy": np.stack([step.energy for step in steps]) * HARTREE,
        "kinetic_energy": np.where(told, rescaled, np.array([step.kinetic for step in steps]) * HARTREE),
        "forces": _forces(steps),
        "population": np.stack([step.population for step in steps]),
        "time": time,
        "step": number,
        "active_state": active,
        "hop": hop,
    }
    notes = [f"no place for: {', '.join(log.header.without_place)}"] if log.header.without_place else []
    if told.any():
        notes.append(f"kinetic energy of {int(told.sum())} frames with a hop computed from the velocities")
    nac_pairs, soc_pairs = _pairs([step.couplings for step in steps]), _pairs([step.soc for step in steps])
    if any(each is not None for step in steps for each in step.couplings.values()):
        columns["interstate_coupling"] = _couplings(steps, nac_pairs)
    if any(np.isfinite(each) for step in steps for each in step.soc.values()):
        columns["soc_magnitude"] = np.array([
            [_either(step.soc, pair, np.nan) for pair in soc_pairs] for step in steps
        ]) * INVERSE_CM  # fmt: skip
    multiplicity = log.header.multiplicity if len(log.header.multiplicity) == num_states else ()
    charge, level = _openqp(path.with_suffix(".openqp"))
    facts = SystemFacts(
        steps[0].atoms,
        num_states=num_states,
        charge=charge,
        multiplicity=multiplicity,
        root=tuple(multiplicity[:k].count(each) for k, each in enumerate(multiplicity)),
        nac_pairs=tuple(nac_pairs),
        soc_pairs=tuple(soc_pairs),
        level_of_theory=level,
        program=f"PyRAI2MD {log.header.version}".strip(),
        phase="tracked" if log.header.phases_tracked else "raw",
    )
    status = _status(log, problems)
    found = ", ".join(each for each in columns if each not in ("positions", "time", "step", "hop"))
    return ImportedTrajectory(
        facts,
        columns,
        name,
        dt=spacing(time),
        status=status,
        source=str(path),
        sha256=sha256(path),
        problems=[f"{name}: {problem}" for problem in problems],
        notes=[f"{name}: {len(steps)} frames, {found}", *(f"{name}: {note}" for note in notes)],
        group=group,
    )


def _forces(steps: list[LogStep]) -> np.ndarray:
    """``[F,N,S,3]`` eV/angstrom; NaN where the gradient of a state was not computed."""
    forces = np.full((len(steps), len(steps[0].atoms), len(steps[0].energy), 3), np.nan)
    for k, step in enumerate(steps):
        for state, gradient in step.gradients.items():
            forces[k, :, state - 1] = -gradient * (HARTREE / BOHR)
    return forces


def _pairs(found: Sequence[Mapping[tuple[int, int], object]]) -> list[tuple[int, int]]:
    return sorted({(min(pair) - 1, max(pair) - 1) for each in found for pair in each if pair[0] != pair[1]})


def _either(held: Mapping[tuple[int, int], _T], pair: tuple[int, int], absent: _T) -> _T:
    """The value of a pair (from 0) among pairs from 1 in either order."""
    i, j = pair[0] + 1, pair[1] + 1
    return held.get((i, j), held.get((j, i), absent))


def _couplings(steps: list[LogStep], pairs: list[tuple[int, int]]) -> np.ndarray:
    """``[F,N,P,3]`` eV/angstrom, <i|dH/dR|j>, NaN where not computed; symmetric, so the order of a pair says nothing."""
    result = np.full((len(steps), len(steps[0].atoms), len(pairs), 3), np.nan)
    for k, step in enumerate(steps):
        for column, pair in enumerate(pairs):
            vectors = _either(step.couplings, pair, None)
            if vectors is not None:
                result[k, :, column] = vectors * (HARTREE / BOHR)
    return result


def _openqp(path: Path) -> tuple[float | None, str]:
    """Total charge and level of theory of the OpenQP input beside the log, where there is one."""
    if not path.is_file():
        return None, ""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
        charge = parser.getfloat("input", "charge", fallback=None)
    except (configparser.Error, ValueError):
        return None, ""
    kind = parser.get("tdhf", "type", fallback="")
    functional, basis = (parser.get("input", key, fallback="") for key in ("functional", "basis"))
    method = "-".join(each.upper() for each in (kind, "TDDFT" if kind and functional else "") if each)
    level = "/".join(each for each in (functional.upper(), basis) if each)
    return charge, " ".join(each for each in (method, level) if each)


def _status(log: Log, problems: list[str]) -> Status:
    numbers = [step.number for step in log.steps]
    if log.warning:
        problems.append(log.warning)
        return "crashed"
    if log.cut:
        return "truncated"
    if not log.ended:
        planned = f" of {log.header.num_steps}" if log.header.num_steps > 0 else ""
        problems.append(f"ends after step {numbers[-1]}{planned}")
        return "crashed"
    return "complete"


PYRAI2MD_LOG = Importer(matches=matches, read=read_pyrai2md_log, description="a PyRAI2MD run, a folder with TITLE.log")
