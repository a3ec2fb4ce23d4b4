"""Native files of random numbers for round trips, and the comparison of two native files."""

from __future__ import annotations

import numpy as np

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.properties import PROPERTIES

SIZES = {"N": 4, "S": 3, "P": 2, "Q": 4, "R": 1, "M": 5}
STATES = {
    "num_states": 3,
    "multiplicity": [1, 1, 3],
    "root": [0, 1, 0],
    "label": ["S0", "S1", "T1"],
    "spin_states": [(0, 0), (1, 0), (2, -2), (2, 0), (2, 2)],
    "nac_pairs": [(0, 1), (1, 2)],
    "dipole_pairs": [(0, 0), (0, 1), (1, 1), (2, 2)],
    "soc_pairs": [(0, 2)],
    "charge": 1.0,
    "level_of_theory": "MR-CI / aug-cc-pVDZ",
    "program": "SHARC 2.0",
    "phase": "aligned",
}
COUNTED = {"active_state": 3, "active_spin_state": 5, "active_diagonal_state": 5, "hop": 3, "step": 10**6}
PLACES = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.0, 1.1, 0.0], [0.0, 0.0, 1.1]])


def random_columns(rng, num_frames, sizes, names, *, missing=0.2):
    """Every quantity of ``names`` with random numbers, some of them missing, some frames without any of it."""
    columns = {}
    for name in names:
        each, shape = PROPERTIES[name], (num_frames, *PROPERTIES[name].shape(sizes))
        if name in COUNTED:
            values = rng.integers(0, COUNTED[name], shape)
            columns[name] = values if name in ("hop", "step") else np.where(rng.random(shape) < missing, -1, values)
            continue
        if name == "pbc":
            columns[name] = np.tile(rng.integers(0, 2, 3).astype(bool), (num_frames, 1))
            continue
        if name == "cell":
            columns[name] = 8 * np.eye(3) + rng.normal(0, 0.5, shape)
            continue
        if name == "positions":
            columns[name] = PLACES[: sizes["N"]] + rng.normal(0, 0.05, shape)
            continue
        if name == "time":
            columns[name] = np.sort(rng.uniform(0, 100, num_frames))
            continue
        values = rng.normal(0, 10.0 ** rng.integers(-6, 4), shape)
        if each.dtype == "c16":
            values = values + 1j * rng.normal(size=shape)
        gone = np.zeros(shape, bool)
        if each.mask_axes:  # some of the states or pairs
            letters = [axis in each.mask_axes for axis in each.axes]
            some = rng.random([num_frames, *(n if on else 1 for n, on in zip(shape[1:], letters))]) < missing
            gone |= some
        gone |= (rng.random(num_frames) < missing).reshape(-1, *[1] * (len(shape) - 1))
        columns[name] = np.where(gone, np.nan, values)
    return columns


def written(path, rng, *, trajectories=3, missing=0.2, only=None):
    """A finalized file: a molecule with three states and everything, a crystal with one, loose frames, two splits.

    ``only`` leaves out the other system (and, of the molecule, the loose frames).
    """
    single = ["positions", "velocities", "cell", "pbc", "energy", "forces", "stress", "kinetic_energy", "time", "step"]
    names = [name for name in PROPERTIES if name not in ("trajectory", "cell", "pbc")]
    with HDF5Writer(path, overwrite=True, durable=False) as writer:
        if only != "NaCl":
            writer.add_system("CH3+", [6, 1, 1, 1], masses=[12.0, 2.014, 1.007825, 1.007825], **STATES)
        if only != "CH3+":
            writer.add_system("NaCl", [11, 17], masses=[22.98976928, 35.45], level_of_theory="PBE")
        total = 0
        for k in range(trajectories):
            for system, sizes, held in (("CH3+", SIZES, names), ("NaCl", {"N": 2, "S": 1}, single)):
                if only not in (None, system):
                    continue
                num = int(rng.integers(1, 9))
                columns = random_columns(rng, num, sizes, held, missing=missing)
                status = ("complete", "crashed", "truncated")[k % 3]
                writer.add_trajectory(
                    system, columns, name=f"{system} run/{k}", dt=0.5, status=status, source=f"runs/{k}"
                )
                total += num
        if only != "CH3+":
            held = [name for name in single if name not in ("time", "step")]
            writer.add_trajectory("NaCl", random_columns(rng, 3, {"N": 2, "S": 1}, held, missing=missing))
            total += 3
        shuffled = rng.permutation(total)
        cut = total // 3
        writer.add_split("loose", {"train": shuffled[:cut], "val": shuffled[cut : 2 * cut]}, kind="random", seed=1)
        writer.add_split("given", {"test": shuffled[:cut], "train": shuffled[cut:]}, kind="given")
    return HDF5Dataset(path)


def compare(original, copy, names, *, rtol=0.0):
    """Every named trajectory has the same numbers of ``names`` in both files; what is missing is missing in both."""
    assert {each.name for each in original.trajectories} == {each.name for each in copy.trajectories}
    for each in original.trajectories:
        other = next(found for found in copy.trajectories if found.name == each.name)
        assert other.count == each.count
        a, b = original.systems[each.system], copy.systems[other.system]
        assert a.atomic_numbers.tolist() == b.atomic_numbers.tolist()
        for name in names:
            x, y = (
                system.read(name, slice(at.first, at.first + at.count)) if system.has(name) else None
                for system, at in ((a, each), (b, other))
            )
            if x is None or y is None:
                assert all(known_nowhere(name, values) for values in (x, y)), (each.name, name)
                continue
            if {"P", "Q", "R"} & set(PROPERTIES[name].axes):
                x, y = by_pair(a, x, name), by_pair(b, y, name)
                assert all(np.isnan(y[pair]).all() for pair in set(y) - set(x))
                for pair in x:
                    np.testing.assert_allclose(y[pair], x[pair], rtol=rtol, err_msg=f"{each.name} {name} {pair}")
            else:
                np.testing.assert_allclose(y, x, rtol=rtol, err_msg=f"{each.name} {name}")


def by_pair(system, values, name):
    """Values of each pair of states; files may have the pairs in another order, and more of them."""
    pairs = {"dipole": system.dipole_pairs, "soc_magnitude": system.soc_pairs}.get(name, system.nac_pairs)
    axis = values.ndim - (1 if name == "soc_magnitude" else 2)
    return {pair: values.take(k, axis) for k, pair in enumerate(pairs)}


def known_nowhere(name, values):
    if values is None:
        return True
    kind = values.dtype.kind
    return bool(np.isnan(values).all() if kind in "fc" else (values == -1).all() if kind == "i" else not values.any())
