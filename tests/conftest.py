"""Fixtures of the whole suite: the data that ships with the package, and the shared data where they exist."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from mlff.data import HDF5Dataset

# Searches find new examples on every run of a developer; where a failure would be nobody's change they are the same each time.
settings.register_profile("repeatable", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("repeatable")

# What a developer compiled before must not take part: the calculator uses compiled code where there is any.
_no_code = tempfile.TemporaryDirectory(prefix="mlff-tests-")
os.environ["MLFF_CACHE"] = _no_code.name


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared data: $MLFF_TEST_DATA, else ../shared/data beside the repository; skips where neither is."""
    named = os.environ.get("MLFF_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data are not at {folder}; set MLFF_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def azobenzene() -> HDF5Dataset:
    """The embedded data set."""
    from mlff.datasets import azobenzene

    return azobenzene()
