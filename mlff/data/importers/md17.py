"""MD17 and revised MD17 (.npz): geometries of one molecule with energies and forces, in kcal/mol and angstrom.

Revised MD17 (Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020)) has nuclear_charges, coords,
energies, forces, and of the first set old_indices, old_energies and old_forces, which are not read. MD17 (Chmiela et al.,
Sci. Adv. 3, e1603015 (2017)) and sGDML's sets have z, R, E, F, and may name other units (e_unit, r_unit). The frames of
either are no trajectory: those of the revised set were drawn at random from one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts, sha256
from mlff.units import BOHR, HARTREE, KCAL_PER_MOL

_KEYS = (("nuclear_charges", "coords", "energies", "forces"), ("z", "R", "E", "F"))
_ENERGY_UNITS = {"kcal/mol": KCAL_PER_MOL, "ev": 1.0, "hartree": HARTREE, "ha": HARTREE}
_LENGTH_UNITS = {"ang": 1.0, "angstrom": 1.0, "bohr": BOHR}


def read_md17(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The frames of each file."""
    for path in paths:
        yield _read(path)


def _read(path: Path) -> ImportedTrajectory:
    keys = _keys(path)
    if keys is None:
        raise ValueError(f"{path.name} has not the arrays {', '.join(_KEYS[0])} of rMD17, nor {', '.join(_KEYS[1])} of MD17")
    try:
        with np.load(path, allow_pickle=False) as file:
            numbers, positions, energies, forces = (np.asarray(file[key]) for key in keys)
            energy = _unit(file, "e_unit", _ENERGY_UNITS, "kcal/mol", path.name)
            length = _unit(file, "r_unit", _LENGTH_UNITS, "Ang", path.name)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    num_atoms = numbers.size
    num_frames = len(positions) if positions.ndim else 0
    shapes = {keys[1]: (num_frames, num_atoms, 3), keys[3]: (num_frames, num_atoms, 3)}
    for key, array in ((keys[1], positions), (keys[3], forces)):
        if array.shape != shapes[key]:
            raise ValueError(f"{path.name}: `{key}` has the shape {array.shape}; {shapes[key]} (frames, atoms, 3) was expected")
    if energies.size != num_frames:
        raise ValueError(f"{path.name}: `{keys[2]}` has {energies.size} values for {num_frames} frames")
    positions = positions.astype(np.float64) * length
    forces = forces.astype(np.float64)[:, :, None, :] * (energy / length)
    whole = np.isfinite(positions).all(axis=(1, 2))
    problems = [f"{path.name}: {np.count_nonzero(~whole)} frames dropped: no whole geometry"] if not whole.all() else []
    columns = {"positions": positions, "energy": energies.reshape(-1, 1).astype(np.float64) * energy, "forces": forces}
    revised = keys is _KEYS[0]
    facts = SystemFacts(tuple(int(z) for z in numbers.ravel()), level_of_theory="PBE/def2-SVP" if revised else "")
    called = "revised MD17" if revised else "MD17"
    return ImportedTrajectory(
        facts, {name: values[whole] for name, values in columns.items()}, None, source=str(path), sha256=sha256(path),
        problems=problems, notes=[f"{path.name}: {np.count_nonzero(whole)} geometries of {called}, which are no trajectory"],
    )  # fmt: skip


def _unit(file: np.lib.npyio.NpzFile, key: str, known: dict[str, float], usual: str, where: str) -> float:
    """The factor to eV or angstrom of the unit that the file names, or of the usual one."""
    name = str(np.asarray(file[key]).item()) if key in file.files else usual
    if name.lower() not in known:
        raise ValueError(f"{where}: its `{key}` is {name!r}; one of {', '.join(known)} was expected")
    return known[name.lower()]


def _keys(path: Path) -> tuple[str, ...] | None:
    """The names of the arrays, by those that the file has."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        return None
    return next((keys for keys in _KEYS if held.issuperset(keys)), None)


def _is_md17(path: Path) -> bool:
    return path.suffix == ".npz" and path.is_file() and _keys(path) is not None


MD17 = Importer(_is_md17, read_md17, description="geometries of MD17 or revised MD17 (.npz)")
