"""Folders that the tests of several importers, or several tests of one, read."""

import pytest


@pytest.fixture(scope="session")
def surface_hopping(shared_data):
    """The shared data of surface hopping."""
    folder = shared_data / "surface_hopping"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    return folder


@pytest.fixture
def run_folder(tmp_path):
    """Makes the folder of a SHARC run with this output.dat."""

    def make(text, name="TRAJ_00001"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "output.dat").write_text(text)
        return folder

    return make
