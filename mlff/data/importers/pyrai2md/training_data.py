"""PyRAI2MD training data (.json): natom, nstate, nnac, nsoc and the lists xyz, energy, grad, nac, soc, one entry a geometry.

Positions are angstrom, energies hartree, ``grad`` +dE/dR in hartree/bohr, ``nac`` the interstate couplings <i|dH/dR|j> in
hartree/bohr, ``soc`` magnitudes in 1/cm. Multiplicities and the pairs of the couplings are only in the program's input,
which is read where it lies beside the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mlff.data.importers.pyrai2md.input import InputStates, states_beside
from mlff.data.importers.pyrai2md.training_data_raw import Contents, read_contents
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts, sha256
from mlff.units import BOHR, HARTREE, INVERSE_CM

_Pairs = tuple[tuple[int, int], ...]


def read_pyrai2md_json(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The geometries of each file, which are no trajectories."""
    for path in paths:
        yield from _read(path)


def _read(path: Path) -> Iterator[ImportedTrajectory]:
    contents = read_contents(path)
    said = ImportedTrajectory(SystemFacts(()), {}, None, source=str(path))
    if contents.damage is not None:
        read = ", ".join(f"{count} of {name}" for name, count in contents.num_entries.items())
        said.problems.append(f"{path.name}: {contents.damage}; read before it: {read or 'nothing'}")
    if not contents.geometries or not contents.lists.get("energy"):
        raise ValueError(
            f"{path.name} holds no geometry with energies" + (f": {contents.damage}" if contents.damage else "")
        )
    said.problems += [f"{path.name}: `{name}` is not read: not a quantity of PyRAI2MD" for name in contents.others]
    energies = contents.lists["energy"]
    num_states = contents.counts.get("nstate") or np.size(energies[0] if energies[0] is not None else 0.0)
    lost: dict[str, list[int]] = {}
    groups: dict[bytes, list[int]] = {}
    for row in range(max(contents.num_entries.values())):
        geometry = contents.geometries[row] if row < len(contents.geometries) else None
        if geometry is None:
            lost.setdefault("no whole geometry", []).append(row)
        elif _whole(energies, row, (num_states,)) is None:
            lost.setdefault("no whole energies", []).append(row)
        else:
            groups.setdefault(geometry[0].tobytes(), []).append(row)
    said.problems += [f"{path.name}: {_rows(rows)} dropped: {reason}" for reason, rows in lost.items()]
    states = _states(path, num_states, contents, said)
    nac_pairs = states.nac_pairs if states else _nac_pairs(num_states, contents, path.name, said)
    soc_pairs = states.soc_pairs if states else _soc_pairs(num_states, contents, path.name, said)
    digest = sha256(path)
    odd: dict[str, list[int]] = {}
    for key, rows in groups.items():
        numbers = np.frombuffer(key, dtype=np.int16)
        columns = {"positions": np.stack([each[1] for row in rows if (each := contents.geometries[row]) is not None])}
        for name, source, shape, factor in (
            ("energy", "energy", (num_states,), HARTREE),
            ("forces", "grad", (num_states, len(numbers), 3), -HARTREE / BOHR),
            ("interstate_coupling", "nac", (len(nac_pairs), len(numbers), 3), HARTREE / BOHR),
            ("soc_magnitude", "soc", (len(soc_pairs),), INVERSE_CM),
        ):
            held = contents.lists.get(source, [])
            if shape[0] and any(value is None or value.size for value in held[:1]):
                columns[name] = _column(held, rows, shape, source, odd) * factor
        for name in ("forces", "interstate_coupling"):  # of the state or pair, atoms first
            if name in columns:
                values = columns[name].transpose(0, 2, 1, 3)
                if len(numbers) > 1:
                    values = np.where((values == 0).all(axis=(1, 3), keepdims=True), np.nan, values)  # not computed
                columns[name] = values
        facts = SystemFacts(
            tuple(numbers.tolist()),
            num_states,
            multiplicity=states.multiplicity if states else (),
            root=states.root if states else (),
            nac_pairs=nac_pairs,
            soc_pairs=soc_pairs,
            program="PyRAI2MD",
        )
        yield ImportedTrajectory(facts, columns, None, source=str(path), sha256=digest)
    said.problems += [f"{path.name}: {_rows(rows)} without {reason}" for reason, rows in odd.items()]
    kept = sum(len(rows) for rows in groups.values())
    unknown = "" if states else "; their multiplicities are not in it"
    said.notes.append(f"{path.name}: {kept} geometries, {num_states} states in the order of the file{unknown}")
    yield said


def _whole(held: Sequence[np.ndarray | None], row: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """The values of a row, if it has them all and any is a number."""
    values = held[row] if row < len(held) else None
    return values if values is not None and values.shape == shape and np.isfinite(values).any() else None


def _column(
    held: Sequence[np.ndarray | None], at: list[int], shape: tuple[int, ...], what: str, odd: dict[str, list[int]]
) -> np.ndarray:
    """The values of the rows ``at``; NaN, and told in ``odd``, where they are not whole."""
    result = np.full((len(at), *shape), np.nan)
    for k, row in enumerate(at):
        values = _whole(held, row, shape)
        if values is None:
            odd.setdefault(f"whole `{what}`", []).append(row)
        else:
            result[k] = values
    return result


def _states(path: Path, num_states: int, contents: Contents, said: ImportedTrajectory) -> InputStates | None:
    """What the input beside the file says, where one fits the file and no other says something else."""
    found, problems = states_beside(path)
    said.problems += [f"{path.name}: {problem}" for problem in problems]
    entries = {"nac": _entries(contents, "nac", "nnac"), "soc": _entries(contents, "soc", "nsoc")}
    fitting = [
        states
        for states in found
        if len(states.multiplicity) == num_states
        and entries["nac"] in (0, len(states.nac_pairs))
        and entries["soc"] in (0, len(states.soc_pairs))
    ]
    for states, names in found.items():
        told = ", ".join(names)
        if states not in fitting:
            said.problems.append(
                f"{path.name}: {told} is not its input: it has {len(states.multiplicity)} states and {len(states.nac_pairs)} "
                f"and {len(states.soc_pairs)} pairs for `nac` and `soc`, the file {num_states}, {entries['nac']} and "
                f"{entries['soc']}"
            )
        elif len(fitting) > 1:
            said.problems.append(f"{path.name}: {told} is one of {len(fitting)} inputs that say different states")
        else:
            said.notes.append(f"{path.name}: multiplicities and pairs are those of {told}")
    return fitting[0] if len(fitting) == 1 else None


def _nac_pairs(num_states: int, contents: Contents, where: str, said: ImportedTrajectory) -> _Pairs:
    """The pair of two states; with more states their order is the input's, which the file does not hold."""
    count = _entries(contents, "nac", "nnac")
    if count == 1 and num_states == 2:
        return ((0, 1),)
    if count:
        said.problems.append(
            f"{where}: {count} couplings a geometry are not stored: which of the {num_states} states each joins is only "
            "in the program's input; put it beside the file"
        )
    return ()


def _soc_pairs(num_states: int, contents: Contents, where: str, said: ImportedTrajectory) -> _Pairs:
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
            "is only in the program's input; put it beside the file"
        )
    return ()


def _entries(contents: Contents, name: str, count: str) -> int:
    held = contents.lists.get(name)
    if not held:
        return 0
    return len(held[0]) if held[0] is not None and held[0].ndim else contents.counts.get(count, 0)


def _rows(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} geometries ({shown}, from 0)"


def _is_pyrai2md(path: Path) -> bool:
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return re.match(rb'\s*\{\s*"(natom|nstate|nnac|nsoc)"', stream.read(200)) is not None


PYRAI2MD_JSON = Importer(_is_pyrai2md, read_pyrai2md_json, ("every",), description="training data of PyRAI2MD (.json)")
