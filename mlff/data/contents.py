"""Contents: what a native file says of itself when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mlff.data.rewrite import committed_counts
from mlff.data.schema import DAMAGE, ROOT_ATTRIBUTES, SPLIT_PARTS, TRAJECTORY_COLUMNS, decode, open_checked
from mlff.data.system import OpenFile, System, Trajectory


@dataclass(frozen=True)
class Contents:
    """The tables of a file (or of several, joined), without its frames."""

    systems: tuple[System, ...]
    trajectories: tuple[Trajectory, ...]
    splits: dict[str, dict[str, np.ndarray]]  #: name -> part -> i64, global indices
    split_attrs: dict[str, dict[str, object]]
    report: tuple[str, ...]  #: what was dropped, masked or doubtful on import
    checks: dict[str, np.ndarray]  #: figure of mlff.data.checks -> f8, a value a trajectory, NaN unknown
    attrs: dict[str, object]  #: schema_version, created, program_version, finalized, ...

    @property
    def num_frames(self) -> int:
        """Number of frames of all systems."""
        return sum(system.num_frames for system in self.systems)


def read_contents(path: Path) -> Contents:
    """What the file holds, up to the last trajectory that was committed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no native file, a newer one, or a damaged one.
    """
    with open_checked(path) as file:
        try:
            return _read(path, file)
        except DAMAGE as error:
            raise ValueError(f"{path} is damaged: {error}; make it again with `mlff data import`") from error


def _read(path: Path, file: h5py.File) -> Contents:
    table = file["trajectories"]
    num, committed = committed_counts(file)
    columns = {name: table[name][:num] for name in TRAJECTORY_COLUMNS}
    columns |= {name: decode(columns[name]) for name in ("name", "status", "source", "source_sha256")}
    trajectories = tuple(
        Trajectory(
            columns["name"][k] or None,
            int(columns["system"][k]),
            int(columns["first"][k]),
            int(columns["count"][k]),
            float(columns["dt"][k]),
            columns["status"][k],
            columns["source"][k],
            columns["source_sha256"][k],
        )
        for k in range(num)
    )
    groups = sorted(file["systems"].values(), key=lambda group: int(group.attrs["index"]))
    opened = OpenFile(path)
    systems, firsts, first = [], [], 0
    for group, count in zip(groups, committed.tolist(), strict=True):
        systems.append(System(opened, group, count, first))
        firsts.append(first)
        first += count
    starts = np.array(firsts, dtype=np.int64)
    splits = {
        name: {part: starts[group[part][:, 0]] + group[part][:, 1] for part in SPLIT_PARTS}
        for name, group in file["splits"].items()
    }
    report = file.get("report")
    if missing := set(ROOT_ATTRIBUTES) - set(file.attrs):
        raise ValueError(f"it lacks the attributes {', '.join(sorted(missing))}")
    return Contents(
        systems=tuple(systems),
        trajectories=trajectories,
        splits=splits,
        split_attrs={name: _plain(group.attrs) for name, group in file["splits"].items()},
        report=() if report is None else tuple(decode(report["problems"][:])),
        checks={} if report is None else {name: held[:] for name, held in report["checks"].items()},
        attrs=_plain(file.attrs),
    )


def _plain(attrs: h5py.AttributeManager) -> dict[str, object]:
    """Attributes as plain Python values."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in attrs.items()}
