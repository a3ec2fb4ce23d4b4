"""Newton-X CS runs (2.2, 2.6): a folder with ``RESULTS/dyn.out``, and ``en.dat``, ``nx.log``, ``moldyn.log`` if there.

The active state is that of the end of the step, which ``en.dat`` tells; ``dyn.out`` shows a hop one frame later. Forces
are of the active state: from the log, else (2.6) mass times the acceleration, which is all zeros on the frame of a hop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mlff.data.importers.newtonx.job import electronic_structure
from mlff.data.importers.newtonx.log import LogFrames, lower_triangle, read_log
from mlff.data.importers.newtonx.raw import DynFrames, EnFrames, matching, read_dyn, read_en
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
from mlff.units import ATOMIC_VELOCITY, BOHR, ELECTRON_MASS, HARTREE

_SAME_ENERGY = 3e-6  # hartree: the last of six decimals, of a difference


def matches(path: Path) -> bool:
    """A folder that Newton-X ran in, or was to run in, or its RESULTS."""
    if not path.is_dir():
        return False
    ran = (path / "RESULTS" / "dyn.out").is_file() or all((path / each).is_file() for each in ("dyn.out", "en.dat"))
    return ran or all((path / each).is_file() for each in ("control.dyn", "geom", "veloc"))


def read_newtonx(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The trajectory of each run."""
    for path in paths:
        yield _trajectory(path)


def _trajectory(path: Path) -> ImportedTrajectory:
    results = path / "RESULTS" if (path / "RESULTS" / "dyn.out").is_file() else path
    if not (results / "dyn.out").is_file():
        raise ValueError("this run of Newton-X has no RESULTS/dyn.out; it wrote no frame")
    folder = results.parent if results.resolve().name == "RESULTS" else results
    name = folder.resolve().name
    dyn = read_dyn(results / "dyn.out")
    num_frames, num_states = dyn.energy.shape
    problems = list(dyn.problems)
    energies = _energies(results, dyn, problems)
    control = _control(folder / "control.dyn")
    active = _active(dyn, energies, problems)
    logs = []
    for each in (results / "nx.log", results / "moldyn.log", folder / "nx.log", folder / "moldyn.log"):
        if each.is_file() and (folder != results or each.parent == results):
            logs.append(read_log(each, len(dyn.masses), num_states))
            problems += logs[-1].problems
    time = _sharpened(dyn.time, control.get("dt", dyn.dt))
    columns = {
        "positions": dyn.positions * BOHR,
        "velocities": dyn.velocities * ATOMIC_VELOCITY,
        "energy": dyn.energy * HARTREE,
        "kinetic_energy": dyn.kinetic * HARTREE,
        "time": time,
        "active_state": active,
        "hop": _hops(active, dyn),
    }
    if np.isfinite(step := control.get("dt", dyn.dt)):
        columns["step"] = np.rint(time / step).astype(np.int64)
    if dyn.coefficients is not None:
        columns["coefficients"] = dyn.coefficients
    forces, notes = _forces(dyn, active, logs, problems)
    if forces is not None:
        columns["forces"] = forces
    pairs = tuple((i, j) for i in range(num_states) for j in range(i + 1, num_states))
    nac, tracked = _couplings(dyn.time, pairs, logs, problems)
    if nac is not None:
        columns["nac"] = nac
    job = electronic_structure(folder, num_states)
    facts = SystemFacts(
        dyn.atomic_numbers,
        num_states=num_states,
        masses=dyn.masses,
        charge=job.charge,
        multiplicity=job.multiplicity,
        spin_states=tuple((state, 0) for state in range(num_states)),
        nac_pairs=pairs,
        level_of_theory=job.level_of_theory,
        program="Newton-X",
        phase="tracked" if tracked else "raw",
    )
    status = _status(time, dyn, control, logs, problems, notes)
    version = next((".".join(map(str, log.version)) for log in logs if log.version), "of unknown version")
    found = ", ".join(each for each in columns if each not in ("positions", "time", "step", "hop"))
    return ImportedTrajectory(
        facts,
        columns,
        name,
        dt=spacing(time),
        status=status,
        source=str(results / "dyn.out"),
        sha256=sha256(results / "dyn.out"),
        problems=[f"{name}: {problem}" for problem in problems],
        notes=[f"{name}: Newton-X {version}, {num_frames} frames, {found}", *(f"{name}: {note}" for note in notes)],
        group=folder.resolve().parent.name,
    )


def _energies(results: Path, dyn: DynFrames, problems: list[str]) -> EnFrames | None:
    if not (results / "en.dat").is_file():
        problems.append("en.dat is missing; the active state is read from the energies of dyn.out")
        return None
    energies, wrong = read_en(results / "en.dat", dyn.energy.shape[1])
    problems += wrong
    alone = np.flatnonzero(matching(energies.time, dyn.time) < 0)
    if len(alone):
        problems.append(
            f"{len(alone)} steps of en.dat, the first at {energies.time[alone[0]]:g} fs, have no frame in dyn.out"
        )
    at = matching(dyn.time, energies.time)
    without = at < 0
    if without.any():
        problems.append(
            f"{int(without.sum())} frames, the first at {dyn.time[without][0]:g} fs, have no line in en.dat; "
            "their active state is read from the energies of dyn.out"
        )
    apart = np.abs(energies.energy[at[~without]] - dyn.energy[~without]).max(axis=1) > _SAME_ENERGY
    if apart.any():
        problems.append(f"the energies of {int(apart.sum())} frames differ between dyn.out and en.dat; dyn.out is used")
    return energies


def _active(dyn: DynFrames, energies: EnFrames | None, problems: list[str]) -> np.ndarray:
    """State of each frame from 0, by its energy; where two states have that energy, the one that dyn.out names."""
    wanted = dyn.total - dyn.kinetic
    if energies is not None and len(energies.time):
        at = matching(dyn.time, energies.time)
        wanted = np.where(at >= 0, energies.active_energy[at], wanted)
    off = np.abs(dyn.energy - wanted[:, None])
    active = off.argmin(axis=1)
    named = np.append(dyn.state_before[1:], -1) - 1  # by the next frame
    close = off <= _SAME_ENERGY
    for k in np.flatnonzero(close.sum(axis=1) > 1):
        choices = [state for state in (named[k], dyn.state_before[k] - 1) if 0 <= state < close.shape[1]]
        active[k] = next((state for state in choices if close[k, state]), active[k])
    unknown = ~close.any(axis=1)
    if unknown.any():
        problems.append(f"the active state of {int(unknown.sum())} frames has the energy of no state: unknown there")
    active[unknown] = -1
    follows = np.append(np.diff(dyn.time) < 1.5 * np.median(np.diff(dyn.time)), False) if len(active) > 1 else [False]
    differs = follows & (active >= 0) & (named != active)
    if differs.any():
        problems.append(f"dyn.out names another active state than the energies tell, in {int(differs.sum())} frames")
    return active


def _hops(active: np.ndarray, dyn: DynFrames) -> np.ndarray:
    """Hops, and rejected ones, which dyn.out counts one frame later as it does the hops."""
    result = hops(active)
    rejected = np.append(np.diff(dyn.rejected) > 0, False)
    result[rejected & (result == 0)] = 2
    return result


def _forces(
    dyn: DynFrames, active: np.ndarray, logs: list[LogFrames], problems: list[str]
) -> tuple[np.ndarray | None, list[str]]:
    """``[F,N,S,3]`` eV/angstrom, of the active state, NaN elsewhere; and where they came from."""
    num_frames, num_states = dyn.energy.shape
    forces = np.full((num_frames, len(dyn.masses), num_states, 3), np.nan)
    known = np.flatnonzero(active >= 0)
    notes = []
    version = next((log.version for log in logs if log.version), None)
    if dyn.acceleration is not None and version is not None and version < (2, 6):
        problems.append(
            "the accelerations of dyn.out are not read: before version 2.6 they were not checked to be forces"
        )
    elif dyn.acceleration is not None:
        use = known[dyn.acceleration[known].any(axis=(1, 2))]
        masses = np.array(dyn.masses)[:, None] / ELECTRON_MASS
        forces[use, :, active[use]] = dyn.acceleration[use] * masses * (HARTREE / BOHR)
        step = np.array(dyn.masses).max() / ELECTRON_MASS * 1e-8 * HARTREE / BOHR
        notes.append(f"forces of {len(use)} frames are mass times acceleration, in steps of {step:.3f} eV/angstrom")
    hopped = hops(active)
    unclear = 0
    for log in logs:
        if log.gradient is None:
            continue
        at = matching(dyn.time, log.time)
        with_gradient = [k for k in known if at[k] >= 0 and np.isfinite(log.gradient[at[k]]).all()]
        use = np.array([k for k in with_gradient if not hopped[k]], dtype=np.int64)
        unclear += len(with_gradient) - len(use)
        forces[use, :, active[use]] = -log.gradient[at[use]] * (HARTREE / BOHR)
        if len(use):
            notes.append(f"forces of {len(use)} frames from the log")
    if unclear:
        problems.append(
            f"the gradient of {unclear} frames with a hop left out: the log does not say of which state it is"
        )
    return (forces if np.isfinite(forces).any() else None), notes


def _couplings(
    times: np.ndarray, pairs: tuple[tuple[int, int], ...], logs: list[LogFrames], problems: list[str]
) -> tuple[np.ndarray | None, bool]:
    """``[F,N,P,3]`` 1/angstrom, and whether their signs were tracked; the log holds <a|d/dR|b> with a > b."""
    held = [log for log in logs if log.nac is not None and np.isfinite(log.nac).any()]
    if not held:
        return None, True  # nothing to be of another phase than the runs with couplings
    tracked = all(log.tracked for log in held)
    result: np.ndarray | None = None
    for log in held:
        assert log.nac is not None
        at = matching(times, log.time)
        if result is None:
            result = np.full((len(times), log.nac.shape[2], len(pairs), 3), np.nan)
        lower = lower_triangle(1 + max(j for _, j in pairs))
        for column, (i, j) in enumerate(pairs):
            result[at >= 0, :, column] = -log.nac[at[at >= 0], lower.index((j, i))] / BOHR
        alone = int((matching(log.time, times) < 0).sum())
        if alone:
            problems.append(f"{alone} steps of the log have no frame in dyn.out")
    return result, tracked


def _control(path: Path) -> dict[str, float]:
    """dt between printed frames and tmax (fs) of ``control.dyn``, where it says them."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    found = {
        key: float(value) for key, value in re.findall(r"(?m)^\s*(dt|kt|tmax)\s*=\s*(\d{1,9}(?:\.\d*)?)\s*,?\s*$", text)
    }
    result = {}
    if found.get("dt"):
        result["dt"] = found["dt"] * (found.get("kt") or 1.0)
    if "tmax" in found:
        result["tmax"] = found["tmax"]
    return result


def _sharpened(time: np.ndarray, dt: float) -> np.ndarray:
    """Times with the digits that printing cut off: multiples of dt, where these are what was printed."""
    if not np.isfinite(dt):
        return time
    exact = np.rint(time / dt) * dt
    return np.where(np.abs(exact - time) <= 0.0051, exact, time)


def _status(
    time: np.ndarray,
    dyn: DynFrames,
    control: dict[str, float],
    logs: list[LogFrames],
    problems: list[str],
    notes: list[str],
) -> Status:
    gaps = np.diff(time)
    dt = control.get("dt", dyn.dt)
    if np.isfinite(dt) and (gaps > 1.5 * dt).any():
        first = int(np.flatnonzero(gaps > 1.5 * dt)[0])
        problems.append(f"{int((gaps > 1.5 * dt).sum())} gaps in time, the first after {time[first]:g} fs")
    if dyn.cut:
        return "truncated"
    if "tmax" in control and time[-1] < control["tmax"] - 0.0051:
        where = f"ends at {time[-1]:g} fs of {control['tmax']:g} fs"
        if not any(log.ended for log in logs):
            problems.append(where)
            return "crashed"
        notes.append(f"{where}, where the log says that Newton-X ended by itself")
    return "complete"


NEWTON_X = Importer(
    matches=matches, read=read_newtonx, description="a run of Newton-X CS, a folder with RESULTS/dyn.out"
)
