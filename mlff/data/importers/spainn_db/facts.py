"""What holds for all rows of a SPaiNN or SchNarc database: layout, units, signs, states, as found or as it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mlff.data.importers.sharc.states import SpinStates
from mlff.data.importers.spainn_db.rows import DatabaseRow, Layout, bond_ratio, find_layout
from mlff.data.importers.trajectory import ImportedTrajectory
from mlff.units import BOHR, DEBYE, HARTREE, KCAL_PER_MOL

Pairs = tuple[tuple[int, int], ...]

_LENGTHS = {"bohr": BOHR, "a0": BOHR, "au": BOHR, "ang": 1.0, "angstrom": 1.0, "a": 1.0, "nm": 10.0}
_ENERGIES = {"hartree": HARTREE, "ha": HARTREE, "eh": HARTREE, "au": HARTREE, "ev": 1.0, "kcal/mol": KCAL_PER_MOL}
_DIPOLES = {"debye": DEBYE, "d": DEBYE, "au": BOHR, "e bohr": BOHR, "eangstrom": 1.0, "e ang": 1.0, "eang": 1.0}
_MULTIPLICITIES = {"S": 1, "D": 2, "T": 3, "Q": 4}


@dataclass(frozen=True)
class DatabaseFacts:
    """What holds for all rows of one database; factors turn its values into our units."""

    layout: Layout
    length: float  # angstrom
    energy: float  # eV
    forces: float  # eV/angstrom
    nac: float  # 1/angstrom
    smooth: float  # eV/angstrom, with the sign that turns smooth_nacs into our interstate coupling
    dipole: float  # e angstrom
    soc: float  # eV
    multiplicity: tuple[int, ...]
    spins: SpinStates | None  # the components that socs are between, in SHARC's order
    has_soc: bool  # whether any row of the sample has couplings between these components
    nac_pairs: dict[int, Pairs]  # by the number of states
    dipole_pairs: dict[int, Pairs]
    level_of_theory: str
    program: str
    phase: Literal["raw", "aligned"]


def find_facts(
    metadata: Mapping[str, Any], sample: list[DatabaseRow], where: str, said: ImportedTrajectory
) -> DatabaseFacts:
    given = metadata.get("_property_unit_dict")
    units = {key: str(unit) for key, unit in given.items()} if isinstance(given, Mapping) else {}
    says_spainn = isinstance(given, Mapping) or "_distance_unit" in metadata
    layout, how, doubts = find_layout(sample, says_spainn=says_spainn, where=where)
    said.notes.append(f"{where}: forces {layout}, {how}")
    said.problems += [f"{where}: {doubt}" for doubt in doubts]
    num_states = sample[0].num_states
    every = tuple(_count(metadata, f"n_{name}") for name in ("singlets", "doublets", "triplets", "quartets"))
    counts = (every[0], every[2])
    multiplicity = _multiplicity(metadata, every, num_states)
    if not multiplicity:
        said.problems.append(f"{where}: the multiplicities of its {num_states} states are not known, none was stored")
    spins = SpinStates.of(every) if sum(every) == num_states else None
    facts = DatabaseFacts(
        layout,
        length=_length(metadata, sample, where, said),
        energy=_unit(units.get("energy", "Hartree"), _ENERGIES, "energy", where),
        forces=_quotient(units.get("forces", "Hartree/Bohr"), "forces", where),
        nac=1 / BOHR if units.get("nacs", "1") in ("1", "au") else _inverse(units["nacs"], where),
        smooth=-(HARTREE / BOHR if units.get("smooth_nacs", "1") in ("1", "au") else 1.0),
        dipole=_unit(units.get("dipoles", "au").replace("1", "au"), _DIPOLES, "dipoles", where),
        soc=_unit(units.get("socs", "au").replace("1", "au"), _ENERGIES, "socs", where),
        multiplicity=multiplicity,
        spins=spins,
        has_soc=spins is not None and any(_is_soc(row, len(spins.components)) for row in sample),
        nac_pairs=_pairs_of_rows(sample, counts, ("nacs", "smooth_nacs"), layout),
        dipole_pairs=_pairs_of_rows(sample, counts, ("dipoles",), layout),
        level_of_theory=str(metadata.get("ReferenceMethod", "")),
        program="SPaiNN" if layout == "atom first" else "SchNarc",
        phase="aligned" if metadata.get("phasecorrected") is True else "raw",
    )
    if units.get("smooth_nacs", "1") not in ("1", "au"):
        facts = replace(facts, smooth=-_quotient(units["smooth_nacs"], "smooth_nacs", where))
    return _smooth_sign(facts, sample, where, said)


def _smooth_sign(
    facts: DatabaseFacts, sample: list[DatabaseRow], where: str, said: ImportedTrajectory
) -> DatabaseFacts:
    """Compare the smooth couplings with nac (E_i - E_j), where a database holds both."""
    product = square = other = 0.0
    for row in sample:
        pairs = facts.nac_pairs.get(row.num_states, ())
        stored = [row.values.get(key, np.empty(0)) for key in ("nacs", "smooth_nacs")]
        if not pairs or any(each.shape != stored[0].shape or each.ndim != 3 for each in stored):
            continue
        nac, found = (each if facts.layout == "atom first" else each.transpose(1, 0, 2) for each in stored)
        if nac.shape[1] != len(pairs):
            continue
        nac, found = nac * facts.nac, found * facts.smooth
        energy, (i, j) = row.values["energy"] * facts.energy, np.array(pairs).T
        expected = nac * (energy[j] - energy[i])[:, None]
        with np.errstate(over="ignore"):  # a damaged row
            product += float((expected * found).sum())
            square, other = square + float((expected**2).sum()), other + float((found**2).sum())
    if not square or not other or not np.isfinite(product * square * other):
        return facts
    slope, fit = product / square, product / np.sqrt(square * other)
    if abs(fit) < 0.95 or not 0.9 < abs(slope) < 1.1:
        said.problems.append(
            f"{where}: smooth_nacs are {slope:.3g} times nacs (E_i - E_j) (correlation {fit:.2f}); 1 was expected"
        )
    elif slope < 0:
        said.problems.append(f"{where}: smooth_nacs are nacs (E_j - E_i), the opposite of SPaiNN's sign: corrected")
        return replace(facts, smooth=-facts.smooth)
    return facts


def _length(metadata: Mapping[str, Any], sample: list[DatabaseRow], where: str, said: ImportedTrajectory) -> float:
    ratio = bond_ratio(sample)
    near = min((BOHR, 1.0), key=lambda factor: abs(np.log(max(ratio, 1e-9) * factor))) if ratio == ratio else BOHR
    if "_distance_unit" not in metadata:
        unit = "bohr" if near == BOHR else "angstrom"
        said.notes.append(
            f"{where}: positions in {unit}, as the nearest atoms are {ratio * near:.2f} bond lengths away"
        )
        return near
    factor = _unit(str(metadata["_distance_unit"]), _LENGTHS, "_distance_unit", where)
    if ratio == ratio and factor in (BOHR, 1.0) and near != factor:
        said.problems.append(
            f"{where}: positions in {metadata['_distance_unit']}, as the metadata say, put the nearest atoms "
            f"{ratio * factor:.2f} bond lengths away; check the unit"
        )
    return factor


def _unit(given: str, known: Mapping[str, float], what: str, where: str) -> float:
    key = given.strip().lower().replace("a.u.", "au").replace("*", " ")
    if key not in known:
        raise ValueError(
            f"{where}: the unit {given!r} of `{what}` is not known; one of {', '.join(known)} was expected"
        )
    return known[key]


def _quotient(given: str, what: str, where: str) -> float:
    energy, slash, length = given.rpartition("/")
    if not slash:
        energy, length = ("au", "au") if given.strip().lower() in ("au", "a.u.", "1") else (given, "?")
    return _unit(energy, _ENERGIES, what, where) / _unit(length, _LENGTHS, what, where)


def _inverse(given: str, where: str) -> float:
    return 1 / _unit(given.removeprefix("1/"), _LENGTHS, "nacs", where)


def _count(metadata: Mapping[str, Any], key: str) -> int:
    value = metadata.get(key, 0)
    return int(value) if isinstance(value, int | float | str) and str(value).strip().isdigit() else 0


def _is_soc(row: DatabaseRow, num_components: int) -> bool:
    """Whether the row has a real and an imaginary part for each pair of components, not all zero."""
    values = row.values.get("socs", np.empty(0))
    return values.size == num_components * (num_components - 1) and bool(np.any(values))


def _multiplicity(metadata: Mapping[str, Any], every: tuple[int, ...], num_states: int) -> tuple[int, ...]:
    """2S+1 of each state, from the letters in ``states`` or the numbers of singlets, doublets, ...; empty: unknown."""
    letters = str(metadata.get("states", "")).split()
    if len(letters) == num_states and all(letter in _MULTIPLICITIES for letter in letters):
        return tuple(_MULTIPLICITIES[letter] for letter in letters)
    said = tuple(mult for mult, count in enumerate(every, start=1) for _ in range(count))
    return said if len(said) == num_states else ()


def _pairs_of_rows(
    sample: list[DatabaseRow], counts: tuple[int, int], keys: tuple[str, ...], layout: Layout
) -> dict[int, Pairs]:
    """The pairs that the values are of, for each number of states: what most of the rows that hold them have."""
    sizes: dict[int, Counter[int]] = {}
    for row in sample:
        for key in keys:
            values = row.values.get(key)
            if values is None or not values.size or values.ndim != (2 if key == "dipoles" else 3):
                continue
            size = values.shape[1 if layout == "atom first" and values.ndim == 3 else 0]
            sizes.setdefault(row.num_states, Counter())[size] += 1
    found = {
        num: _pairs(each.most_common(1)[0][0], num, counts, diagonal=keys == ("dipoles",))
        for num, each in sizes.items()
    }
    return {num: pairs for num, pairs in found.items() if pairs}


def _pairs(size: int, num_states: int, counts: tuple[int, int], diagonal: bool) -> Pairs:
    """All i < j (``diagonal``: i <= j), or those within the singlets and within the triplets; (): neither fits."""
    offset = 0 if diagonal else 1

    def upper(first: int, count: int) -> list[tuple[int, int]]:
        return [(first + int(i), first + int(j)) for i, j in zip(*np.triu_indices(count, offset), strict=True)]

    every = upper(0, num_states)
    within = upper(0, counts[0]) + upper(counts[0], counts[1]) if sum(counts) == num_states else every
    return tuple(next((pairs for pairs in (every, within) if len(pairs) == size), []))
