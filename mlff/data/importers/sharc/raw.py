"""What SHARC wrote, as it wrote it: header and frames in atomic units and in the spin-resolved MCH basis."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class SharcHeader:
    """The settings and atoms before the first frame of ``output.dat`` (or of the ``input`` of a run without one)."""

    version: str
    states_per_multiplicity: tuple[int, ...]  #: number of roots of singlets, doublets, ...
    atomic_numbers: tuple[int, ...]
    masses: tuple[float, ...]  #: electron masses
    dtstep: float  #: atomic units of time
    nsteps: int
    ezero: float  #: hartree, which the frames' Hamiltonians are relative to
    written: frozenset[str] = frozenset()  #: write_grad, write_nacdr, write_overlap where they are on

    @property
    def num_spin_states(self) -> int:
        """Number of spin components, M."""
        return sum(count * (k + 1) for k, count in enumerate(self.states_per_multiplicity))


@dataclass
class SharcFrames:
    """F frames of N atoms and M spin components, in atomic units; None where the run did not write it."""

    step: np.ndarray  #: i64 [F]
    time: np.ndarray  #: f8 [F]
    positions: np.ndarray  #: f8 [F,N,3] bohr
    hamiltonian: np.ndarray | None = None  #: c16 [F,M,M], MCH; relative to ezero
    dipole: np.ndarray | None = None  #: c16 [F,3,M,M], MCH
    overlap: np.ndarray | None = None  #: c16 [F,M,M], MCH
    transformation: np.ndarray | None = None  #: c16 [F,M,M], U: columns are the diagonal states in the MCH basis
    coefficients: np.ndarray | None = None  #: c16 [F,M], of the diagonal states
    hopping_probability: np.ndarray | None = None  #: f8 [F,M], from the diagonal state active before into each
    kinetic_energy: np.ndarray | None = None  #: f8 [F]
    diagonal_state: np.ndarray | None = None  #: i64 [F], from 1, among the M
    mch_state: np.ndarray | None = None  #: i64 [F], from 1, among the M
    velocities: np.ndarray | None = None  #: f8 [F,N,3]
    gradients: np.ndarray | None = None  #: f8 [F,M,N,3], +dE/dR; zeros: not computed
    nac: np.ndarray | None = None  #: f8 [F,M,M,N,3], <a|d/dR|b>; zeros: not computed
    without_place: tuple[str, ...] = ()  #: what the run wrote that frames have no place for
    problems: list[str] = field(default_factory=list)
    cut: bool = False  #: whether the file ends within a frame


def parse_header(text: str, where: str) -> SharcHeader:
    """The header of ``output.dat``, by the keys present: versions 2, 3 and 4 differ in them."""
    settings, _, arrays = text.partition("End of settings")
    keys: dict[str, list[str]] = {}
    for line in settings.splitlines():
        words = line.split()
        if words:
            keys.setdefault(words[0], words[1:])
    missing = [key for key in ("nstates_m", "natom", "dtstep") if not keys.get(key)]
    if missing or not arrays:
        raise ValueError(f"{where} has no whole SHARC header ({', '.join(missing) or 'End of settings'} is missing)")
    try:
        blocks = {block.split("\n", 1)[0].strip(): block.split("\n")[1:] for block in arrays.split("!")[1:]}
        num_atoms = int(keys["natom"][0])

        def column(name: str) -> list[float]:
            lines = next((held for title, held in blocks.items() if title.startswith(name)), [])
            values = [float(line.split()[0].replace("D", "E")) for line in lines[:num_atoms]]
            if len(values) != num_atoms:
                raise ValueError(f"{len(values)} of {num_atoms} {name.lower()}")
            return values

        return SharcHeader(
            version=keys.get("SHARC_version", ["unknown"])[0],
            states_per_multiplicity=tuple(int(word) for word in keys["nstates_m"]),
            atomic_numbers=tuple(round(number) for number in column("Atomic numbers")),
            masses=tuple(column("Atomic masses")),
            dtstep=float(keys["dtstep"][0]),
            nsteps=int(keys.get("nsteps", ["-1"])[0]),
            ezero=float(keys.get("ezero", ["0"])[0]),
            written=frozenset(key for key, words in keys.items() if key.startswith("write_") and words[:1] == ["1"]),
        )
    except (ValueError, IndexError) as error:
        raise ValueError(f"the SHARC header of {where} cannot be read: {error}") from error


def in_order(frames: SharcFrames) -> SharcFrames:
    """One frame a step: a restarted run writes some steps again, and the later ones are the ones it went on from.

    Steps that are missing between the others are said; strides are not.
    """
    keep: list[int] = []
    for k, step in enumerate(frames.step):
        while keep and frames.step[keep[-1]] >= step:
            keep.pop()
        keep.append(k)
    problems = list(frames.problems)
    if dropped := len(frames.step) - len(keep):
        problems.append(f"{dropped} frames dropped whose steps the restarted run wrote again")
    steps = frames.step[keep]
    gaps = np.diff(steps)
    if steps[0] != 0:
        problems.append(f"the first frame is step {steps[0]}")
    if len(gaps) and (gaps != np.bincount(gaps).argmax()).any():
        at = int(np.flatnonzero(gaps != np.bincount(gaps).argmax())[0])
        problems.append(f"steps are missing, first between {steps[at]} and {steps[at + 1]}")
    elif len(gaps) == 1 and gaps[0] > 1:
        problems.append(f"there are two frames only, of the steps {steps[0]} and {steps[1]}")
    if problems == frames.problems:
        return frames
    chosen = {name: values[keep] for name, values in vars(frames).items() if isinstance(values, np.ndarray)}
    return replace(frames, problems=problems, **chosen)  # type: ignore[arg-type]
