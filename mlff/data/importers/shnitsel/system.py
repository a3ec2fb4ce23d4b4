"""What the frames of a SHNITSEL trajectory share: atoms, states, charge, and the pairs of its couplings."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import atomic_numbers as numbers_of

from mlff.data.importers.shnitsel.netcdf import TrajectoryGroup, attribute
from mlff.data.importers.trajectory import SystemFacts

_PROGRAMS = {"newtonx": "Newton-X", "sharc": "SHARC", "pyrai2md": "PyRAI2MD"}


def whole_number(value: float) -> int:
    """An integer that was read as a float; -1 where it is none."""
    return int(value) if np.isfinite(value) and float(value).is_integer() else -1


def state_pairs(parts: TrajectoryGroup, labels: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Pairs i < j of the state combinations, with -1 where the file has j < i (NACs are antisymmetric)."""
    ends = [parts.read(name, ("statecomb",)) if name in parts.group else None for name in ("from", "to")]
    if any(end is None for end in ends):
        first, second = np.triu_indices(len(labels), 1)
        return list(zip(first.tolist(), second.tolist(), strict=True)), [1] * len(first)
    pairs, signs = [], []
    for a, b in zip(*[[whole_number(value) for value in end] for end in ends if end is not None], strict=True):
        if a not in labels or b not in labels or a == b:
            raise ValueError(f"a state combination is of the states {a} and {b}; there are {labels}")
        i, j = labels.index(a), labels.index(b)
        pairs.append((min(i, j), max(i, j)))
        signs.append(1 if i < j else -1)
    return pairs, signs


def system_facts(
    parts: TrajectoryGroup,
    num_atoms: int,
    num_states: int,
    nac_pairs: tuple[tuple[int, int], ...],
    dipole_pairs: tuple[tuple[int, int], ...],
) -> SystemFacts:
    """The facts, from the attributes and coordinates of its group; ValueError where the elements are not known."""
    numbers = parts.read("atNums", ("atom",)) if "atNums" in parts.group else None
    if numbers is None:
        symbols = parts.texts("atNames") or []
        numbers = np.array([numbers_of.get(symbol, 0) for symbol in symbols], dtype=np.float64)
    if len(numbers) != num_atoms or not all(0 < whole_number(number) < 119 for number in numbers):
        raise ValueError("the elements of its atoms are not known")
    types = parts.read("state_types", ("state",)) if "state_types" in parts.group else None
    multiplicity = tuple(whole_number(value) for value in types) if types is not None else ()
    if len(multiplicity) != num_states or not all(0 < m < 10 for m in multiplicity):
        multiplicity = ()
        parts.problems.append(f"{parts.label}: the multiplicities of its states are not known, none was stored")
    triplets = parts.said("num_triplets")
    if isinstance(triplets, int) and triplets > 0 and multiplicity.count(3) == 3 * triplets:
        multiplicity = ()
        parts.problems.append(
            f"{parts.label}: its states are spin components, stored one by one without multiplicities"
        )
    charges = parts.read("state_charges", ("state",)) if "state_charges" in parts.group else None
    same = charges is not None and len(charges) and np.isfinite(charges).all() and (charges == charges[0]).all()
    method: Any = [attribute(parts.group, key) for key in ("est_level", "theory_basis_set")]
    program = str(attribute(parts.group, "input_format") or "")
    version = attribute(parts.group, "input_format_version")
    return SystemFacts(
        tuple(whole_number(number) for number in numbers),
        num_states,
        charge=float(charges[0]) if charges is not None and same else None,
        multiplicity=multiplicity,
        root=tuple(multiplicity[:k].count(m) for k, m in enumerate(multiplicity)),
        nac_pairs=nac_pairs,
        dipole_pairs=dipole_pairs,
        level_of_theory="/".join(str(each) for each in method if each and str(each).lower() != "unknown"),
        program=f"{_PROGRAMS.get(program, program)} {version or ''}".strip() or "SHNITSEL",
    )
