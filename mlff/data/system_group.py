"""System group: what the frames of a system share, checked and as the native file stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from mlff.data.schema import LABEL_LENGTH, LARGEST_INTEGER

_LARGEST = 118  # atomic number, of an element that has been seen


def system_arrays(
    name: str,
    atomic_numbers: Sequence[int] | np.ndarray,
    num_states: int,
    masses: Sequence[float] | np.ndarray | None,
    by_state: Mapping[str, Sequence[int] | Sequence[str] | None],
    spin_states: Sequence[tuple[int, int]],
    pairs: Mapping[str, Sequence[tuple[int, int]]],
) -> dict[str, np.ndarray]:
    """Datasets of the group of system ``name``: path below it -> values. Raises ValueError where facts are no facts.

    ``by_state`` are multiplicity, root and label; ``pairs`` are of nac, dipole and soc.
    """
    numbers = np.asarray(atomic_numbers)
    if numbers.ndim != 1 or not len(numbers) or numbers.dtype.kind not in "iu" or numbers.min() < 1:
        raise ValueError(f"`atomic_numbers` of system {name!r} must be a list of at least one positive number")
    if numbers.max() > _LARGEST:
        raise ValueError(f"`atomic_numbers` of system {name!r} hold {numbers.max()}; the elements end at {_LARGEST}")
    if num_states < 1:
        raise ValueError(f"`num_states` of system {name!r} is {num_states}; at least 1 was expected")
    if masses is None:
        from ase.data import atomic_masses

        masses = atomic_masses[numbers]
    if np.shape(masses) != numbers.shape:
        raise ValueError(f"`masses` of system {name!r} have shape {np.shape(masses)}; {numbers.shape} was expected")
    labels = [str(each).encode() for each in by_state["label"] or [""] * num_states]
    given: dict[str, Sequence] = {
        "multiplicity": by_state["multiplicity"] or [0] * num_states,
        "root": by_state["root"] or list(range(num_states)),
        "label": labels,
    }
    for key, values in given.items():
        if len(values) != num_states:
            raise ValueError(f"`{key}` of system {name!r} has {len(values)} values for {num_states} states")
        if key != "label" and not all(0 <= each <= LARGEST_INTEGER for each in values):
            raise ValueError(f"`{key}` of system {name!r} is {list(values)}; numbers from 0 to {LARGEST_INTEGER} were expected")
    if any(len(each) > LABEL_LENGTH for each in labels):
        raise ValueError(f"a state's label of system {name!r} is longer than {LABEL_LENGTH} bytes")
    arrays: dict[str, np.ndarray] = {
        "atomic_numbers": numbers.astype(np.int16),
        "masses": np.asarray(masses, dtype=np.float64),
        "states/multiplicity": np.asarray(given["multiplicity"], dtype=np.int16),
        "states/root": np.asarray(given["root"], dtype=np.int16),
        "states/label": np.array(labels, dtype=h5py.string_dtype("utf-8", LABEL_LENGTH)),
        "states/parity": np.zeros(num_states, dtype=np.int8),
    }
    for key, held in pairs.items():
        arrays[f"pairs/{key}"] = _pairs(name, key, held, num_states)
    if len(spin_states):
        components = np.asarray(spin_states, dtype=np.int16)
        if components.ndim != 2 or components.shape[1] != 2 or not _within(components[:, 0], num_states):
            raise ValueError(
                f"`spin_states` of system {name!r} must be (state, 2 M_S) of its {num_states} states, counted from 0"
            )
        arrays["spin_states/state"], arrays["spin_states/twice_ms"] = components.T
    return arrays


def store_system(file: h5py.File, name: str, attrs: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> None:
    """Make the group of a system, the last in order, without frames."""
    group = file["systems"].create_group(name)
    group.attrs.update({**attrs, "index": len(file["systems"]) - 1})
    group.create_group("frames")
    for key, values in arrays.items():
        group.create_dataset(key, data=values, dtype=values.dtype)
    group["masses"].attrs["unit"] = "amu"
    if "spin_states" in group:
        group["spin_states"].attrs["basis"] = "mch"


def axis_lengths(group: h5py.Group) -> dict[str, int]:
    """Lengths of the axes of the frames of a system: N, S, P, Q, R, M (mlff.properties)."""
    pairs = group["pairs"]
    return {
        "N": len(group["atomic_numbers"]),
        "S": len(group["states/root"]),
        "P": len(pairs["nac"]),
        "Q": len(pairs["dipole"]),
        "R": len(pairs["soc"]),
        "M": len(group["spin_states/state"]) if "spin_states" in group else 0,
    }


def _pairs(name: str, key: str, values: Sequence[tuple[int, int]], num_states: int) -> np.ndarray:
    result = np.asarray(values, dtype=np.int16).reshape(-1, 2)
    ordered = result[:, 0] <= result[:, 1] if key == "dipole" else result[:, 0] < result[:, 1]
    if not (_within(result, num_states) and ordered.all() and len(np.unique(result, axis=0)) == len(result)):
        sign = "<=" if key == "dipole" else "<"
        raise ValueError(
            f"`{key}_pairs` of system {name!r} are {result.tolist()}; pairs i {sign} j of its {num_states} states, "
            f"counted from 0 and each of them once, were expected"
        )
    return result


def _within(states: np.ndarray, num_states: int) -> bool:
    return bool((states >= 0).all() and (states < num_states).all())
