"""Append: what a native file held before an import adds to it: its systems, names, source files and splits."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_masses

from mlff.data.dataset import HDF5Dataset
from mlff.data.importers.reading import short
from mlff.data.importers.trajectory import ImportedTrajectory, SystemFacts
from mlff.data.schema import SPLIT_PARTS
from mlff.data.system import System

_EQUAL = ("program", "phase", "spin_states", "nac_pairs", "dipole_pairs", "soc_pairs")


class Earlier:
    """A file as it was before the import; without one there is nothing yet."""

    def __init__(self, dataset: HDF5Dataset | None = None) -> None:
        self.dataset = dataset
        self.systems: tuple[System, ...] = () if dataset is None else dataset.systems
        trajectories = () if dataset is None else dataset.trajectories
        self.names = {each.name for each in trajectories if each.name is not None}
        self._files = {each.source_sha256: each.name for each in trajectories if each.source_sha256}
        self._told: set[str] = set()

    def has(self, trajectory: ImportedTrajectory) -> bool:
        """Whether the file with its frames, known by its hash, is in there already."""
        return trajectory.sha256 in self._files

    def told(self, trajectory: ImportedTrajectory) -> list[str]:
        """What to say of a trajectory that is in there already: a sentence, once for each source file."""
        if trajectory.sha256 in self._told:
            return []
        self._told.add(trajectory.sha256)
        name = self._files[trajectory.sha256]
        where = f" (trajectory {name})" if name else ""
        said = trajectory.name or short(trajectory.source)
        return [f"{said}: the same file is in the output already{where}, it was not added again"]

    def system(self, facts: SystemFacts, charge: float | None, level_of_theory: str) -> System | None:
        """The system to which frames with these facts belong; a charge or level that nobody says is that of the one
        system that fits otherwise."""
        alike = [system for system in self.systems if _alike(facts, system)]
        for system in alike:
            if system.charge == (charge or 0.0) and system.level_of_theory == level_of_theory:
                return system
        fitting = [s for s in alike if charge in (None, s.charge) and level_of_theory in ("", s.level_of_theory)]
        return fitting[0] if len(fitting) == 1 else None

    def joined(self, name: str, split: dict[str, np.ndarray], kind: str) -> tuple[dict[str, np.ndarray], str, bool]:
        """A given split, (system, row) pairs, after that of this name in the file; its kind, and whether there was one."""
        if self.dataset is None or name not in self.dataset.splits:
            return split, kind, False
        held = self.dataset.split(name)
        both = {
            part: np.concatenate([np.stack(self.dataset.locate(held[part]), axis=1), split[part]])
            for part in SPLIT_PARTS
        }
        return both, kind if self.dataset.split_attrs(name)["kind"] == kind else "given", True

    def notes(self, added: int, joined: str | None) -> list[str]:
        """What to say at the end: in which splits the ``added`` frames are not."""
        others = () if self.dataset is None else tuple(name for name in self.dataset.splits if name != joined)
        if not others:
            return []
        return [
            f"the {added:,} frames added are in none of the splits that the file had ({', '.join(others)}): "
            f"make them again with `mlff data split FILE --by ... --overwrite`"
        ]


def _alike(facts: SystemFacts, system: System) -> bool:
    """Whether all is equal but charge and level of theory."""
    masses = atomic_masses[list(facts.atomic_numbers)] if facts.masses is None else facts.masses
    return (
        tuple(system.atomic_numbers.tolist()) == facts.atomic_numbers
        and system.num_states == facts.num_states
        and np.allclose(system.masses, masses, rtol=0, atol=1e-6)
        and system.multiplicities == (facts.multiplicity or (0,) * facts.num_states)
        and system.roots == (facts.root or tuple(range(facts.num_states)))
        and system.state_labels == (facts.label or ("",) * facts.num_states)
        and all(getattr(system, name) == getattr(facts, name) for name in _EQUAL)
    )
