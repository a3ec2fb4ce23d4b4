"""Writes databases as SPaiNN and SchNarc do, with numbers of our own, and reads them."""

from base64 import b64encode

import ase.db
import numpy as np
from ase import Atoms

from mlff.data.importers.spainn_db.database import read_spainn_db
from mlff.data.importers.trajectory import ImportOptions

PAIRS = [(0, 1), (0, 2), (1, 2)]
SPAINN = {
    "_distance_unit": "Bohr",
    "_property_unit_dict": {"energy": "Hartree", "forces": "Hartree/Bohr", "nacs": "1", "smooth_nacs": "1"},
    "states": "S S S",
    "ReferenceMethod": "CASSCF",
}
SCHNARC = {"n_singlets": 3, "n_triplets": 0, "states": "S S S ", "ReferenceMethod": "CASSCF"}


def molecule(row, symbols, net_zero=True):
    """A made-up molecule in atomic units: positions, energies, forces (N,S,3), nacs (N,P,3), dipoles (Q,3)."""
    random = np.random.default_rng(row)
    positions = np.arange(len(symbols))[:, None] * np.array([1.0, 0.5, 0.3]) * 1.8 + random.normal(
        0, 0.05, (len(symbols), 3)
    )
    energy = np.array([-94.6, -94.3, -94.25]) + random.normal(0, 0.01, 3)
    forces = random.normal(0, 0.1, (len(symbols), 3, 3))
    if net_zero:
        forces -= forces.mean(axis=0)
    return positions, energy, forces, random.normal(0, 1, (len(symbols), 3, 3)), random.normal(0, 1, (6, 3))


def base64_values(values):
    """As SchNetPack 0.2 wrote them."""
    data = {}
    for key, value in values.items():
        data[key] = b64encode(np.asarray(value).tobytes()).decode()
        data[f"_shape_{key}"], data[f"_dtype_{key}"] = np.asarray(value).shape, str(np.asarray(value).dtype)
    return data


def written(path, *, layout="spainn", symbols="CNHHHH", rows=12, metadata=None, encode=dict, change=None, **options):
    """A database in the layout of one of the programs."""
    with ase.db.connect(str(path), append=False) as database:
        for row in range(rows):
            positions, energy, forces, nacs, dipoles = molecule(row, symbols, **options)
            gaps = np.array([energy[i] - energy[j] for i, j in PAIRS])
            values = {"energy": energy[None], "forces": forces, "nacs": nacs, "dipoles": dipoles}
            values["smooth_nacs"] = nacs * gaps[:, None]
            if layout == "schnarc":
                del values["smooth_nacs"]
                values |= {"energy": energy, "socs": np.zeros(6)}
                values |= {"forces": forces.transpose(1, 0, 2), "nacs": nacs.transpose(1, 0, 2)}
            if change is not None:
                positions, values = change(row, positions, values)
            database.write(Atoms(symbols, positions=positions), data=encode(values))
    database.metadata = metadata if metadata is not None else (SPAINN if layout == "spainn" else SCHNARC)
    return path


def read(path, **options):
    """All columns of a database, its system, its problems."""
    trajectories = list(read_spainn_db([path], ImportOptions(**options)))
    held = [each for each in trajectories if each.num_frames]
    columns = {name: np.concatenate([each.columns[name] for each in held]) for name in held[0].columns}
    problems = [problem for each in trajectories for problem in each.problems]
    return columns, held[0].system, problems, [note for each in trajectories for note in each.notes]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
