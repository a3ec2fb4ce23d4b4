"""A trace of mudslide as it was written (YAMLTrace): snapshot by snapshot, in atomic units.

The main file ``NAME.yaml`` lists the logs, which hold a snapshot after another, each a list item that begins in the first
column; so a damaged snapshot is lost alone. Logs may be packed (gzip, bz2, xz).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is 10 times faster
_PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_KEY = re.compile(rb"^(?:- |  )(\w+):", re.MULTILINE)  # of an item of the list


@dataclass
class Snapshot:
    """One geometry of D degrees of freedom and S states, in atomic units; None where the trace does not hold it."""

    time: float
    position: np.ndarray  #: [D] bohr
    motion: np.ndarray  #: [D], velocities, or momenta, which older versions write
    momenta: bool  #: whether the motion is given by momenta
    kinetic: float
    energy: np.ndarray  #: [S]
    forces: np.ndarray  #: [S,D], -dE/dR; NaN: not computed
    couplings: np.ndarray | None  #: [S,S,D], <i|d/dR|j>
    population: np.ndarray | None  #: [S]
    active: int  #: from 0, -1 where the run is of one surface and does not say it


@dataclass
class Trace:
    """The snapshots of one trajectory and its events."""

    snapshots: list[Snapshot]
    hops: list[tuple[float, int, int]] = field(default_factory=list)  #: time before the step, from, to
    frustrated: list[float] = field(default_factory=list)  #: times before the step
    problems: list[str] = field(default_factory=list)
    cut: bool = False  #: whether the last log ends within a snapshot
    log: Path | None = None  #: the first log that is there


def is_main(path: Path) -> bool:
    """Whether a file is the main file of a trace."""
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    return all(any(line.startswith(key) for line in head.splitlines()) for key in (b"logfiles:", b"log_pitch:"))


def read_trace(path: Path) -> Trace:
    """Every whole snapshot of a trace, and a sentence for what is not there."""
    try:
        main = yaml.load(path.read_bytes(), Loader=_SafeLoader)
        logs = [Path(str(name)).name for name in main["logfiles"]]
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not a whole main file of mudslide: {_reason(error)}") from error
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path.name} is not a whole main file of mudslide: it has no list `logfiles`") from error
    trace = Trace([])
    for number, name in enumerate(logs):
        trace.cut = False
        place = _place(path.parent / name)
        trace.log = trace.log or place
        for k, text in enumerate(_items(path.parent / name, trace.problems)):
            snapshot = _snapshot(text)
            if isinstance(snapshot, str):
                trace.problems.append(f"{name}, snapshot {k + 1}: dropped, {snapshot}")
                trace.cut = number == len(logs) - 1
            else:
                trace.snapshots.append(snapshot)
                trace.cut = False
    if not trace.snapshots:
        raise ValueError(f"{path.name} has no whole snapshot" + (f": {trace.problems[0]}" if trace.problems else ""))
    kinds = main.get("event_logs") if isinstance(main.get("event_logs"), dict) else {}
    for each in (main.get("hop_log"), main.get("event_log"), *kinds.values()):
        if each:
            _read_events(path.parent / Path(str(each)).name, trace)
    return trace


def _place(path: Path) -> Path | None:
    """The log, packed or not: a run that was killed while it packed one had not yet listed the new name."""
    return next((p for suffix in ("", *_PACKED) if (p := path.with_name(path.name + suffix)).is_file()), None)


def _items(path: Path, problems: list[str]) -> Iterator[bytes]:
    """The text of each item of a list whose items begin in the first column."""
    place = _place(path)
    if place is None:
        problems.append(f"{path.name} is not there: its contents are lost")
        return
    held: list[bytes] = []
    try:
        with _PACKED.get(place.suffix, open)(place, "rb") as stream:
            for line in stream:
                if line.startswith(b"- ") and held:
                    yield b"".join(held)
                    held = []
                held.append(line)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        problems.append(f"{place.name} is damaged ({error}); what could be unpacked was read")
    if any(line.strip() for line in held):
        if not held[-1].endswith(b"\n"):
            held.append(b" ]")  # the last number may have lost digits: no YAML
        yield b"".join(held)


def _snapshot(text: bytes) -> Snapshot | str:
    """One snapshot, or why it is not whole."""
    keys = _KEY.findall(text)
    if len(set(keys)) < len(keys):  # YAML would take the last of each
        return "it runs into another snapshot"
    try:
        held = yaml.load(text, Loader=_SafeLoader)[0]
        electronics = held["electronics"]
        size = len(held["position"])
        energy = np.diagonal(np.atleast_2d(_array(electronics["hamiltonian"]))).copy()
        states = len(energy)
        forces = _array(electronics["force"]).reshape(states, size)
        known = electronics.get("forces_available", [True] * states)
        forces[~np.array(known, dtype=bool) | ~forces.any(axis=1)] = np.nan
        rho, coupling = held.get("density_matrix"), electronics.get("derivative_coupling")
        snapshot = Snapshot(
            time=float(held["time"]),
            position=_array(held["position"]),
            motion=_array(held["momentum" if "momentum" in held else "velocity"]).reshape(size),
            momenta="momentum" in held,
            kinetic=float(held["kinetic"]),
            energy=energy,
            forces=forces,
            couplings=None if coupling is None else _array(coupling).reshape(states, states, size),
            population=None if rho is None else np.diagonal(_array(rho).reshape(states, states, 2)[..., 0]).copy(),
            active=int(held.get("active", -1)),
        )
    except KeyError as error:
        return f"it has no {error.args[0]!r}"
    except (yaml.YAMLError, TypeError, ValueError, IndexError, AttributeError) as error:
        return f"it cannot be read ({_reason(error)})"
    if not (np.isfinite(snapshot.time) and np.isfinite(snapshot.position).all()):
        return "its time or positions are no numbers"
    return snapshot


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def _read_events(path: Path, trace: Trace) -> None:
    """Add the hops and frustrated hops of an event log, which is empty where there were none."""
    told: list[str] = []
    bad = 0
    for text in _items(path, told):
        try:
            (event,) = yaml.load(text, Loader=_SafeLoader)
            time, kind = float(event["time"]), str(event.get("event", "hop"))
            if kind == "hop":
                trace.hops.append((time, int(event["from"]), int(event["to"])))
            elif kind == "frustrated_hop":
                trace.frustrated.append(time)
        except (yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError):
            bad += 1
    trace.problems += told
    if bad:
        trace.problems.append(f"{path.name}: {bad} events dropped that cannot be read")


def _reason(error: Exception) -> str:
    """The first line of an error, for people."""
    return str(getattr(error, "problem", None) or error or type(error).__name__).splitlines()[0]


def same_sizes(snapshots: Sequence[Snapshot]) -> tuple[int, int]:
    """(states, degrees of freedom) that most snapshots have."""
    sizes = [(len(each.energy), len(each.position)) for each in snapshots]
    return max(sorted(set(sizes)), key=sizes.count)
