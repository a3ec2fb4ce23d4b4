"""Split group: a division into train, val and test as the native file stores it, (system, row) pairs."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np

from mlff.data.schema import SPLIT_PARTS


def split_pairs(name: str, parts: Mapping[str, np.ndarray], counts: np.ndarray) -> dict[str, np.ndarray]:
    """The parts as i64 ``[n,2]`` pairs (system, row), checked against the number of frames of every system.

    A part is global frame indices ``[n]``, which count the frames of the systems in their order, or such pairs. Raises
    ValueError where a frame does not exist or is there twice.
    """
    if set(parts) - set(SPLIT_PARTS) or not parts:
        raise ValueError(f"the parts of split {name!r} are {sorted(parts)}; {', '.join(SPLIT_PARTS)} were expected")
    ends = np.cumsum(counts)
    num_frames = int(ends[-1]) if len(ends) else 0
    pairs: dict[str, np.ndarray] = {}
    for part in SPLIT_PARTS:
        values = np.asarray(parts.get(part, ()), dtype=np.int64)
        if values.ndim != 2:
            if values.size and (values.min() < 0 or values.max() >= num_frames):
                raise ValueError(f"split {name!r}, {part}: an index is outside the {num_frames} frames of the file")
            owner = np.searchsorted(ends, values, side="right")
            values = (
                np.stack([owner, values - (ends - counts)[owner]], axis=1) if values.size else np.zeros((0, 2), int)
            )
        elif len(values) and not (
            (values >= 0).all() and (values[:, 0] < len(counts)).all() and (values[:, 1] < counts[values[:, 0]]).all()
        ):
            raise ValueError(f"split {name!r}, {part}: a (system, row) pair is outside the file")
        pairs[part] = values.astype(np.int64).reshape(-1, 2)
    everything = np.concatenate(list(pairs.values()))
    if len(np.unique(everything, axis=0)) != len(everything):
        raise ValueError(f"split {name!r} holds a frame more than once; train, val and test must not overlap")
    return pairs


def store_split(file: h5py.File, name: str, pairs: Mapping[str, np.ndarray], attrs: Mapping[str, object]) -> None:
    """Write the split, in place of one of the same name."""
    if name in file["splits"]:
        del file["splits"][name]
    group = file["splits"].create_group(name)
    group.attrs.update(attrs)
    for part, values in pairs.items():
        group.create_dataset(part, data=values)
