"""What an importer is, and what it yields: one trajectory at a time, in the package's units, with what was wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

Status = Literal["complete", "crashed", "truncated"]


@dataclass(frozen=True)
class SystemFacts:
    """What the frames of a system share. Trajectories with equal facts become one system of the native file.

    States are roots, 0-based and in one order for every quantity; pairs are states i < j (dipoles i <= j).
    """

    atomic_numbers: tuple[int, ...]
    num_states: int = 1
    masses: tuple[float, ...] | None = None  #: amu; None: the standard ones
    charge: float | None = None  #: e, total; None where the source does not say
    multiplicity: tuple[int, ...] = ()  #: 2S+1 of each state; empty: not known
    root: tuple[int, ...] = ()  #: within its multiplicity, from 0; empty: 0, 1, ...
    label: tuple[str, ...] = ()  #: such as S0, T1; empty: made from multiplicity and root where these are known
    spin_states: tuple[tuple[int, int], ...] = ()  #: (state, 2 M_S) of each spin component, where resolved
    nac_pairs: tuple[tuple[int, int], ...] = ()  #: of `nac` and `interstate_coupling`
    dipole_pairs: tuple[tuple[int, int], ...] = ()
    soc_pairs: tuple[tuple[int, int], ...] = ()  #: of `soc_magnitude`
    level_of_theory: str = ""
    program: str = ""
    phase: Literal["raw", "tracked", "aligned"] = "raw"

    def __post_init__(self) -> None:
        if self.masses is not None:  # versions of one program differ in the ninth digit
            object.__setattr__(self, "masses", tuple(round(float(mass), 6) for mass in self.masses))
        if not self.label and self.multiplicity:
            root = self.root or tuple(range(self.num_states))
            object.__setattr__(self, "label", state_labels(self.multiplicity, root))


@dataclass
class ImportedTrajectory:
    """One trajectory as an importer read it: every whole frame, and a sentence for whatever was lost.

    ``columns`` are arrays ``[F, ...]`` with the names, shapes, units and signs of mlff.properties. What is missing is
    NaN, which becomes masked (give ``<name>_valid`` too where NaN cannot say it). Without columns nothing is written
    and the sentences are reported.
    """

    system: SystemFacts
    columns: dict[str, np.ndarray]
    name: str | None  #: None: frames whose source does not say which trajectory they are of
    dt: float = float("nan")  #: fs between frames; NaN uneven or unknown
    status: Status = "complete"
    source: str = ""  #: the files that were read, for people
    sha256: str = ""  #: hash of the file with the frames, or of the hashes of several (joint_sha256)
    problems: list[str] = field(default_factory=list)  #: dropped, masked, doubtful: one sentence each
    notes: list[str] = field(default_factory=list)  #: what was read, one line each
    parts: tuple[str | None, ...] = ()  #: train, val or test of each frame, where the names of the files say it
    checks: dict[str, float] = field(default_factory=dict)  #: figures of mlff.data.checks; made by the import itself
    group: str = ""  #: told before the name where two trajectories have one name

    @property
    def num_frames(self) -> int:
        """Number of frames, F."""
        return len(self.columns["positions"]) if self.columns else 0


@dataclass(frozen=True)
class ImportOptions:
    """What the user chose. An importer applies what it names in ``Importer.options``; the others are refused."""

    energy_key: str | None = None
    forces_key: str | None = None
    every: int = 1
    scratch: Path | None = None  #: folder for frames that wait on disk; the system's own for such files if None
    workers: int = 1  #: processes that may be used by an importer that reads its sources together
    progress: Callable[[float], None] | None = None  #: to be called by it with the part that has been read, 0 to 1


@dataclass(frozen=True)
class Importer:
    """One format. ``matches`` looks at a path (names and first bytes only), ``read`` yields its trajectories.

    ``read`` raises ValueError or OSError where a source cannot be read at all; the others are read nevertheless.
    """

    matches: Callable[[Path], bool]
    read: Callable[[Sequence[Path], ImportOptions], Iterator[ImportedTrajectory]]
    options: tuple[str, ...] = ()  #: fields of ImportOptions that it takes
    together: bool = False  #: sources are read in one call (parts of one set), not one by one; it strides by itself
    description: str = ""  #: a few words, for the sentence that lists the formats


def state_labels(multiplicity: Sequence[int], root: Sequence[int]) -> tuple[str, ...]:
    """Names of states: S0, S1, D0, T1, ...; triplets and above count from 1, as spectroscopists do."""
    letters = {1: "S", 2: "D", 3: "T", 4: "Q", 5: "Quin"}
    return tuple(f"{letters.get(m, f'M{m}_')}{r + (m > 2)}" for m, r in zip(multiplicity, root, strict=True))


def hops(active_state: np.ndarray) -> np.ndarray:
    """``hop`` u8[F] from the active states: 1 on the first frame whose state differs from the (known) one before."""
    active = np.asarray(active_state)
    result = np.zeros(len(active), dtype=np.uint8)
    result[1:] = (active[1:] != active[:-1]) & (active[1:] >= 0) & (active[:-1] >= 0)
    return result


def spacing(time: np.ndarray) -> float:
    """fs between frames where it is one number, else NaN."""
    gaps = np.diff(time)
    return float(gaps[0]) if len(gaps) and np.allclose(gaps, gaps[0], rtol=1e-6, atol=1e-6) else float("nan")


def stride(trajectory: ImportedTrajectory, every: int) -> ImportedTrajectory:
    """Every ``every``-th frame; a hop between two kept frames is on the second of them."""
    if every == 1 or not trajectory.num_frames:
        return trajectory
    columns = {name: values[::every] for name, values in trajectory.columns.items()}
    if "hop" in columns and "active_state" in columns:
        columns["hop"] = np.where(columns["hop"] == 2, 2, hops(columns["active_state"])).astype(np.uint8)
    return replace(trajectory, columns=columns, dt=trajectory.dt * every, parts=trajectory.parts[::every])


def sha256(path: Path) -> str:
    """Hash of a source file, kept with its trajectories."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def joint_sha256(digests: Collection[str]) -> str:
    """One hash for frames that come from several files: that of their hashes, sorted and joined; of one file its own."""
    if len(digests) == 1:
        return next(iter(digests))
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
