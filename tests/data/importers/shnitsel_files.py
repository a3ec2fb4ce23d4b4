"""Writes SHNITSEL files with numbers of our own, a group a trajectory or several in one, and reads them."""

import json

import h5py
import numpy as np

from mlff.data.importers.shnitsel.file import read_file
from mlff.units import ATOMIC_TIME

NUMBERS = [8, 1, 1]
STIFFNESS = np.array([0.3, 0.5, 0.2])
OFFSETS = np.array([-76.0, -75.7, -75.6])
DT = 0.25  # fs
REST = np.array([[0.0, 0.0, 0.0], [0.0, 1.5, 1.1], [0.0, -1.5, 1.1]])


def motion(num_frames, seed=0):
    """Atoms that swing about their places on three harmonic surfaces, all in atomic units."""
    random = np.random.default_rng(seed)
    frequency, phase = random.uniform(0.01, 0.03, (3, 3)), random.uniform(0, 6, (3, 3))
    time = np.arange(num_frames) * DT / ATOMIC_TIME
    angle = frequency * time[:, None, None] + phase
    shift, velocities = 0.2 * np.sin(angle), 0.2 * frequency * np.cos(angle)
    energy = OFFSETS + STIFFNESS / 2 * (shift**2).sum(axis=(1, 2))[:, None]
    forces = -STIFFNESS[:, None, None] * shift[:, None]  # (time, state, atom, xyz)
    return REST + shift, velocities, energy, forces


def written(path, *, num_frames=40, trajectories=1, sign=1, change=None, units=None, attributes=None, order=None):
    """A file such as SHNITSEL 1.2 writes; ``change(values, attributes)`` alters what a trajectory holds."""
    axes = {
        "atXYZ": ("time", "atom", "direction"),
        "velocities": ("time", "atom", "direction"),
        "energy": ("time", "state"),
        "forces": ("time", "state", "atom", "direction"),
        "nacs": ("time", "statecomb", "atom", "direction"),
        "dip_perm": ("time", "state", "direction"),
        "dip_trans": ("time", "statecomb", "direction"),
        "astate": ("time",),
        "from": ("statecomb",),
        "to": ("statecomb",),
        "state_types": ("state",),
        "state_charges": ("state",),
        "atNums": ("atom",),
    } | (order or {})
    unit = {"atXYZ": "Bohr", "velocities": "au", "energy": "Hartree", "forces": "Hartree/Bohr", "nacs": "1/Bohr"}
    unit |= {"time": "fs", "dip_perm": "au", "dip_trans": "au"} | (units or {})
    with h5py.File(path, "w") as file:
        file.attrs["__shnitsel_format_version"], file.attrs["DataTree_Level"] = "v1.2", json.dumps("ShnitselDBRoot")
        for number in range(trajectories):
            positions, velocities, energy, forces = motion(num_frames, seed=number)
            random = np.random.default_rng(number)
            active = np.where(np.arange(num_frames) < num_frames // 2, 2, 1)
            computed = np.arange(3) == active[:, None] - 1
            values = {
                "atXYZ": positions,
                "velocities": velocities,
                "energy": energy,
                "forces": sign * np.where(computed[:, :, None, None], forces, 0.0),
                "nacs": random.normal(size=(num_frames, 3, 3, 3)),
                "dip_perm": random.normal(size=(num_frames, 3, 3)),
                "dip_trans": random.normal(size=(num_frames, 3, 3)),
                "astate": active,
                "from": np.array([1, 1, 2]),
                "to": np.array([2, 3, 3]),
                "state_types": np.array([1, 1, 3], dtype="i1"),
                "state_charges": np.array([1.0, 1.0, 1.0]),
                "atNums": np.array(NUMBERS),
                "time": np.arange(num_frames) * DT,
                "state": np.array([1, 2, 3]),
            }
            values["nacs"][:, 2] = 0.0
            held = {"input_format": "newtonx", "input_format_version": "2.2", "completed": True, "delta_t": DT}
            held |= {"max_ts": num_frames, "trajectory_input_path": f"runs/TRAJ{number + 1}", "trajid": number + 1}
            held |= {"num_triplets": 1} | (attributes or {})
            if change is not None:
                change(values, held)
            group = file.create_group(f"water/{number}")
            for key, value in held.items():
                group.attrs[key] = json.dumps(value)
            for name, length in (("atom", 3), ("direction", 3), ("statecomb", 3)):
                group[name] = np.arange(length)
            for name in ("time", "state"):
                group[name] = values.pop(name)
            for name in ("time", "state", "atom", "direction", "statecomb"):
                group[name].make_scale(name)
            for name, value in values.items():
                standard = {"forces": "tsad", "nacs": "tcad"}.get(name)
                if standard and name in (order or {}):
                    letter = {"time": "t", "state": "s", "statecomb": "c", "atom": "a", "direction": "d"}
                    value = value.transpose([standard.index(letter[axis]) for axis in axes[name]])
                group.create_dataset(name, data=value, chunks=True if np.ndim(value) > 1 else None)
                for k, axis in enumerate(axes[name]):
                    group[name].dims[k].attach_scale(group[axis])
            for name, text in unit.items():
                if name in group and text is not None:
                    group[name].attrs["units"] = json.dumps(text)
    return path


def read(path):
    """The trajectories with frames, and all problems."""
    found = list(read_file(path))
    return [each for each in found if each.num_frames], [problem for each in found for problem in each.problems]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


LENGTHS = (40, 25)


def together(path, layout, *, change=None):
    """Two trajectories of different length in one group, as SHNITSEL stacks them along ``frame`` or layers them."""
    runs = [motion(length, seed=k) for k, length in enumerate(LENGTHS)]
    time = [np.arange(length) * DT for length in LENGTHS]
    names = {"atXYZ": ("atom", "direction"), "velocities": ("atom", "direction"), "energy": ("state",)}
    names |= {"forces": ("state", "atom", "direction")}
    values = {name: [run[k] for run in runs] for k, name in enumerate(names)}
    values |= {"time": time, "astate": [np.full(length, 2) for length in LENGTHS]}
    names |= {"time": (), "astate": ()}
    leading = ("frame",) if layout == "stacked" else ("trajectory", "time")
    held = {}
    for name, each in values.items():
        if layout == "stacked":
            held[name] = (np.concatenate(each), (*leading, *names[name]))
        elif name == "time":
            held[name] = (time[0], ("time",))
        else:
            array = np.full((2, LENGTHS[0], *each[0].shape[1:]), -1 if name == "astate" else np.nan)
            array[0], array[1, : LENGTHS[1]] = each
            held[name] = (array, (*leading, *names[name]))
    if layout == "stacked":  # xarray puts the stacked axis last
        held |= {
            name: (np.moveaxis(array, 0, -1), (*axes[1:], axes[0])) for name, (array, axes) in held.items() if axes[1:]
        }
        held["atrajectory"] = (np.repeat([7, 3], LENGTHS), ("frame",))
    held |= {"trajectory": (np.array([7, 3]), ("trajectory",)), "completed": (np.array([1, 0], "i1"), ("trajectory",))}
    held |= {"max_ts": (np.array([40, 40]), ("trajectory",)), "delta_t": (np.full(2, DT), ("trajectory",))}
    held |= {"state_types": (np.array([1, 1, 3]), ("state",)), "atNums": (np.array(NUMBERS), ("atom",))}
    if change is not None:
        change(held)
    units = {"atXYZ": "Bohr", "velocities": "au", "energy": "Hartree", "forces": "Hartree/Bohr", "time": "fs"}
    with h5py.File(path, "w") as file:
        file.attrs["__shnitsel_format_version"] = "v1.2"
        file.attrs["input_format"] = json.dumps("sharc")
        sizes = {axis: n for array, axes in held.values() for axis, n in zip(axes, np.shape(array), strict=True)}
        for axis, size in sizes.items():
            if axis not in held:
                file[axis] = np.arange(1, size + 1) if axis == "state" else np.zeros(size, ">f4")
                file[axis].make_scale(axis)
        for name, (array, axes) in held.items():
            file[name] = array
            if axes == (name,):
                file[name].make_scale(name)
        for name, (_, axes) in held.items():
            for k, axis in enumerate(axes):
                if axes != (name,):
                    file[name].dims[k].attach_scale(file[axis])
            if name in units:
                file[name].attrs["units"] = json.dumps(units[name])
    return path
