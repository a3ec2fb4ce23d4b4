"""Upgrade: what brings a native file of an older schema version to the next one, a function a version.

A file is upgraded when it is rewritten (on appending, on adding a split, by ``mlff data finalize``): the functions get
the new copy, open for writing, before anything else is added to it. Reading never changes a file. Files of the versions
in ``READ_AS_THEY_ARE`` (mlff.data.schema) are read as they stand; if an upgrade ever changes what a number means, the
versions before it leave that set, and then such a file is refused with the command that upgrades it.
"""

from __future__ import annotations

from collections.abc import Callable

import h5py

from mlff.data.schema import LABEL_LENGTH, SCHEMA_VERSION


def upgrade(file: h5py.File, version: int) -> None:
    """Bring a copy of a file of ``version``, open for writing, to the current version."""
    for each in range(version, SCHEMA_VERSION):
        UPGRADES[each](file)
    file.attrs["schema_version"] = SCHEMA_VERSION


def _to_2(file: h5py.File) -> None:
    """Version 2 added quantities, which need nothing, and says that the labels of states are UTF-8."""
    for group in file["systems"].values():
        labels = group["states/label"][:]
        del group["states/label"]
        text = h5py.string_dtype("utf-8", LABEL_LENGTH)
        group["states"].create_dataset("label", data=labels.astype(text), dtype=text)


UPGRADES: dict[int, Callable[[h5py.File], None]] = {1: _to_2}  #: version -> what makes it the next one
