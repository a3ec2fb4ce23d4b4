"""PyRAI2MD training data (.json): natom, nstate, nnac, nsoc and the lists xyz, energy, grad, nac, soc, one entry a geometry.

Positions are angstrom, energies hartree, ``grad`` +dE/dR in hartree/bohr, ``nac`` the interstate couplings <i|dH/dR|j> in
hartree/bohr, ``soc`` magnitudes in 1/cm. Multiplicities and the pairs of the couplings are only in the program's input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers as numbers_of

from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts, sha256
from mlff.units import BOHR, HARTREE, INVERSE_CM

_LISTS = ("xyz", "energy", "grad", "nac", "soc")
_COUNTS = ("natom", "nstate", "nnac", "nsoc")
_SPACE = re.compile(r"[\s,]*")
_SYMBOL = re.compile(r"([A-Z][a-z]?)[_\d]*\Z")  # `C_` occurs


@dataclass
class _Contents:
    """What was read before the end of the file, or before the place where it is damaged."""

    counts: dict[str, int] = field(default_factory=dict)
    lists: dict[str, list[Any]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    damage: str | None = None


def read_pyrai2md_json(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The geometries of each file, which are no trajectories."""
    for path in paths:
        yield from _read(path)


def _read(path: Path) -> Iterator[ImportedTrajectory]:
    contents = _parse(path.read_text(encoding="utf-8", errors="replace"))
    said = ImportedTrajectory(SystemFacts(()), {}, None, source=str(path))
    if contents.damage is not None:
        read = ", ".join(f"{len(values)} of {name}" for name, values in contents.lists.items())
        said.problems.append(f"{path.name}: {contents.damage}; read before it: {read or 'nothing'}")
    if not contents.lists.get("xyz") or not contents.lists.get("energy"):
        raise ValueError(
            f"{path.name} holds no geometry with energies" + (f": {contents.damage}" if contents.damage else "")
        )
    said.problems += [f"{path.name}: `{name}` is not read: not a quantity of PyRAI2MD" for name in contents.others]
    xyz, energies = contents.lists["xyz"], contents.lists["energy"]
    num_states = contents.counts.get("nstate") or len(np.atleast_1d(energies[0]))
    num_frames = max(len(values) for values in contents.lists.values())
    lost: dict[str, list[int]] = {}
    groups: dict[bytes, list[tuple[int, np.ndarray]]] = {}
    for row in range(num_frames):
        try:
            numbers, positions = _geometry(xyz[row] if row < len(xyz) else None)
            _numbers_in(energies[row] if row < len(energies) else None, (num_states,), "energies")
        except ValueError as error:
            lost.setdefault(str(error), []).append(row)
            continue
        groups.setdefault(numbers.tobytes(), []).append((row, positions))
    said.problems += [f"{path.name}: {_rows(rows)} dropped: {reason}" for reason, rows in lost.items()]
    soc_pairs = _soc_pairs(num_states, contents, path.name, said)
    nac_pairs = _nac_pairs(num_states, contents, path.name, said)
    digest = sha256(path)
    odd: dict[str, list[int]] = {}
    for key, rows in groups.items():
        numbers = np.frombuffer(key, dtype=np.int16)
        at = [row for row, _ in rows]
        columns = {"positions": np.stack([positions for _, positions in rows])}
        for name, source, shape, factor in (
            ("energy", "energy", (num_states,), HARTREE),
            ("forces", "grad", (num_states, len(numbers), 3), -HARTREE / BOHR),
            ("interstate_coupling", "nac", (len(nac_pairs), len(numbers), 3), HARTREE / BOHR),
            ("soc_magnitude", "soc", (len(soc_pairs),), INVERSE_CM),
        ):
            held = contents.lists.get(source, [])
            if shape[0] and any(np.size(value) for value in held[:1]):
                columns[name] = _column(held, at, shape, source, odd) * factor
        for name in ("forces", "interstate_coupling"):  # of the state or pair, atoms first
            if name in columns:
                values = columns[name].transpose(0, 2, 1, 3)
                if len(numbers) > 1:
                    values = np.where((values == 0).all(axis=(1, 3), keepdims=True), np.nan, values)  # not computed
                columns[name] = values
        facts = SystemFacts(
            tuple(numbers.tolist()), num_states, nac_pairs=nac_pairs, soc_pairs=soc_pairs, program="PyRAI2MD"
        )
        yield ImportedTrajectory(facts, columns, None, source=str(path), sha256=digest)
    said.problems += [f"{path.name}: {_rows(rows)} without {reason}" for reason, rows in odd.items()]
    kept = sum(len(rows) for rows in groups.values())
    said.notes.append(
        f"{path.name}: {kept} geometries, {num_states} states in the order of the file; their multiplicities are not in it"
    )
    yield said


def _parse(text: str) -> _Contents:
    """Key by key and entry by entry, so that what stands before a damage is read."""
    contents, decoder = _Contents(), json.JSONDecoder()
    at = _skip(text, 0)
    try:
        if text[at : at + 1] != "{":
            raise ValueError("it does not begin with `{`")
        at = _skip(text, at + 1)
        while text[at : at + 1] != "}":
            key, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            if not isinstance(key, str) or text[at : at + 1] != ":":
                raise ValueError("a name was expected")
            at = _skip(text, at + 1)
            if key in _LISTS and text[at : at + 1] == "[":
                values = contents.lists.setdefault(key, [])
                at = _skip(text, at + 1)
                while text[at : at + 1] != "]":
                    value, at = decoder.raw_decode(text, at)
                    values.append(value)
                    at = _skip(text, at)
                at = _skip(text, at + 1)
                continue
            value, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            if key in _COUNTS and isinstance(value, int):
                contents.counts[key] = value
            else:
                contents.others.append(key)
    except (ValueError, RecursionError) as error:
        contents.damage = f"the file is damaged at character {at} of {len(text)} ({error})"
    return contents


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _geometry(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and positions of one geometry, rows of (symbol, x, y, z)."""
    try:
        symbols = [_SYMBOL.match(str(row[0]).strip()) for row in rows]
        numbers = np.array([numbers_of[match[1]] if match else 0 for match in symbols], dtype=np.int16)
        positions = np.array([[float(x) for x in row[1:]] for row in rows], dtype=np.float64)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ValueError("no whole geometry") from error
    if (
        not len(numbers)
        or not numbers.all()
        or positions.shape != (len(numbers), 3)
        or not np.isfinite(positions).all()
    ):
        raise ValueError("no whole geometry")
    return numbers, positions


def _numbers_in(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        values = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"no whole {what}") from error
    if values.shape != shape or not np.isfinite(values).any():
        raise ValueError(f"no whole {what}")
    return values


def _column(held: list[Any], at: list[int], shape: tuple[int, ...], what: str, odd: dict[str, list[int]]) -> np.ndarray:
    """The values of the rows ``at``; NaN, and told in ``odd``, where they are not whole."""
    result = np.full((len(at), *shape), np.nan)
    for k, row in enumerate(at):
        try:
            result[k] = _numbers_in(held[row] if row < len(held) else None, shape, f"`{what}`")
        except ValueError:
            odd.setdefault(f"whole `{what}`", []).append(row)
    return result


def _nac_pairs(
    num_states: int, contents: _Contents, where: str, said: ImportedTrajectory
) -> tuple[tuple[int, int], ...]:
    """The pair of two states; with more states their order is the input's, which the file does not hold."""
    count = _entries(contents, "nac", "nnac")
    if count == 1 and num_states == 2:
        return ((0, 1),)
    if count:
        said.problems.append(
            f"{where}: {count} couplings a geometry are not stored: which of the {num_states} states each joins is only "
            "in the program's input"
        )
    return ()


def _soc_pairs(
    num_states: int, contents: _Contents, where: str, said: ImportedTrajectory
) -> tuple[tuple[int, int], ...]:
    """Those between the first and the second half of the states, where only two equal halves give as many."""
    count = _entries(contents, "soc", "nsoc")
    half = num_states // 2
    if count and num_states == 2 * half and count == half * half:
        said.notes.append(
            f"{where}: `soc` taken as between the first {half} and the last {half} states, in their order"
        )
        return tuple((i, half + j) for i in range(half) for j in range(half))
    if count:
        said.problems.append(
            f"{where}: {count} spin-orbit couplings a geometry are not stored: which of the {num_states} states each joins "
            "is only in the program's input"
        )
    return ()


def _entries(contents: _Contents, name: str, count: str) -> int:
    held = contents.lists.get(name)
    return len(held[0]) if held and isinstance(held[0], list) else contents.counts.get(count, 0) if held else 0


def _rows(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} geometries ({shown}, from 0)"


def _is_pyrai2md(path: Path) -> bool:
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return re.match(rb'\s*\{\s*"(natom|nstate|nnac|nsoc)"', stream.read(200)) is not None


PYRAI2MD_JSON = Importer(_is_pyrai2md, read_pyrai2md_json, ("every",), description="training data of PyRAI2MD (.json)")
