"""Join: several native files as if they were one, and the names that tell their systems and trajectories apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from mlff.data.contents import Contents
from mlff.data.schema import SPLIT_PARTS
from mlff.data.system import System, Trajectory


def join(files: Sequence[Contents], labels: Sequence[str]) -> Contents:
    """The contents of all files, one after the other; ``labels`` tell the files apart.

    Splits that all files have are joined part by part; attributes are those on which the files agree.
    """
    if len(files) == 1:
        return files[0]
    system_names = distinct_names([[system.name for system in file.systems] for file in files], labels)
    trajectory_names = distinct_names([[each.name or "" for each in file.trajectories] for file in files], labels)
    firsts = list(accumulate((file.num_frames for file in files), initial=0))[:-1]
    systems: list[System] = []
    trajectories: list[Trajectory] = []
    for file, first, names, called in zip(files, firsts, system_names, trajectory_names, strict=True):
        num_systems, num_trajectories = len(systems), len(trajectories)
        systems += [
            each.placed(name, first + each.first, num_trajectories) for each, name in zip(file.systems, names, strict=True)
        ]
        trajectories += [
            replace(each, name=name or None, system=num_systems + each.system)
            for each, name in zip(file.trajectories, called, strict=True)
        ]
    common = [name for name in files[0].splits if all(name in file.splits for file in files)]
    return Contents(
        systems=tuple(systems),
        trajectories=tuple(trajectories),
        splits={
            name: {
                part: np.concatenate([first + file.splits[name][part] for file, first in zip(files, firsts, strict=True)])
                for part in SPLIT_PARTS
            }
            for name in common
        },
        split_attrs={name: _agreed([file.split_attrs[name] for file in files]) for name in common},
        report=tuple(f"{label}: {line}" for file, label in zip(files, labels, strict=True) for line in file.report),
        checks={
            name: np.concatenate([_figures(file, name) for file in files])
            for name in dict.fromkeys(name for file in files for name in file.checks)
        },
        attrs=_agreed([file.attrs for file in files]),
    )


def file_labels(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, without suffix, that tell them apart: ``a``, or ``run1/frames`` and ``run2/frames``.

    Raises:
        ValueError: a file was given twice.
    """
    if twice := [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]:
        raise ValueError(f"the data file {twice[0]} is given twice; give each file once")
    labels = [path.stem for path in paths]
    for depth in range(2, 1 + max(len(path.parts) for path in paths)):
        same = Counter(labels)
        labels = [
            "/".join(path.with_suffix("").parts[-depth:]) if same[label] > 1 else label
            for path, label in zip(paths, labels, strict=True)
        ]
    return labels if len(set(labels)) == len(labels) else [str(path) for path in paths]


def distinct_names(names: Sequence[Sequence[str]], labels: Sequence[str]) -> list[list[str]]:
    """Names of each file's things; those that several files have are followed by ``@`` and the file's label."""
    same = Counter(name for each in names for name in set(each))

    def told_apart(name: str, label: str) -> str:
        if not name or same[name] == 1:
            return name
        told = f"{name}@{label}"
        while told in same:
            told = f"{told}@{label}"
        return told

    return [
        [told_apart(name, label) for name in each]
        for each, label in zip(names, labels, strict=True)
    ]


def _agreed(tables: Sequence[dict[str, object]]) -> dict[str, object]:
    """The entries that all tables have, with the same value."""
    return {key: value for key, value in tables[0].items() if all(key in each and each[key] == value for each in tables)}


def _figures(file: Contents, name: str) -> np.ndarray:
    """One figure of the checks, a value a trajectory; NaN where the file has none."""
    values = np.full(len(file.trajectories), np.nan)
    held = file.checks.get(name, values[:0])[: len(values)]
    values[: len(held)] = held
    return values
