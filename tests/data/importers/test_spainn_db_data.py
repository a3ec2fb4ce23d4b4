"""SPaiNN and SchNarc databases: the shared ones, in both layouts."""

import json
import shutil
from pathlib import Path

import ase.db
import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.units import BOHR, HARTREE

from .spainn_files import close, read


def folder(shared_data: Path) -> Path:
    return shared_data / "surface_hopping" / "spainn_schnarc_db"


def test_shared_ch2nh2_in_both_layouts(shared_data):
    spainn, system, problems, _ = read(folder(shared_data) / "spainn_ch2nh2+.db")
    schnarc, _, _, notes = read(folder(shared_data) / "schnarc_ch2nh2+.db")
    assert not problems and len(spainn["positions"]) == len(schnarc["positions"]) == 99
    assert system.atomic_numbers == (6, 7, 1, 1, 1, 1) and system.multiplicity == (1, 1, 1)
    for name in ("positions", "energy", "forces", "nac", "dipole"):
        np.testing.assert_allclose(spainn[name], schnarc[name], rtol=1e-12)
    close(spainn["energy"][0], np.array([-94.66686484, -94.37029080, -94.32309568]) * HARTREE)
    close(spainn["forces"][0, 0, 0], np.array([-0.141413, -0.00419326, 0.0365943]) * HARTREE / BOHR)
    np.testing.assert_allclose(
        np.linalg.norm(spainn["positions"][0, 0] - spainn["positions"][0, 1]) / BOHR, 0.683, atol=5e-4
    )
    assert any("positions in bohr" in note for note in notes)


def test_shared_ch2nh2_forces_are_true_forces_in_bohr(shared_data):
    columns = read(folder(shared_data) / "spainn_ch2nh2+.db")[0]
    moved = np.diff(columns["positions"][10:], axis=0)
    for state in range(3):
        change = np.diff(columns["energy"][10:, state])
        mean = (columns["forces"][11:, :, state] + columns["forces"][10:-1, :, state]) / 2
        expected = -(mean * moved).sum(axis=(1, 2))
        assert change @ expected / (expected @ expected) == pytest.approx(1, abs=0.01)


def test_shared_ch2nh2_smooth_couplings_become_interstate_couplings(shared_data):
    columns, system, _, _ = read(folder(shared_data) / "spainn_ch2nh2+.db")
    for pair, (i, j) in enumerate(system.nac_pairs):
        gap = columns["energy"][:, j] - columns["energy"][:, i]
        expected = columns["nac"][:, :, pair] * gap[:, None, None]
        np.testing.assert_allclose(columns["interstate_coupling"][:, :, pair], expected, atol=1e-6)


def test_shared_ch2nh2_broken_rows_are_flagged_on_import(shared_data, tmp_path):
    for name in ("spainn", "schnarc"):
        report = import_sources([folder(shared_data) / f"{name}_ch2nh2+.db"], tmp_path / f"{name}.h5")
        near = [problem for problem in report.problems if "closer than" in problem or "distance" in problem]
        assert near and "10 frames" in near[0] and "frame 0" in near[0]
        positions = HDF5Dataset(tmp_path / f"{name}.h5").systems[0].read("positions")
        distances = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1) + 9 * np.eye(6)
        assert np.flatnonzero(distances.min(axis=(1, 2)) < 0.5).tolist() == list(range(10))


def test_shared_butene(shared_data, tmp_path):
    path = folder(shared_data) / "3Sing_cis-butene.db"
    columns, system, problems, _ = read(path)
    assert not problems and len(columns["positions"]) == 101 and system.level_of_theory == "SA3-CASSCF(2,2)"
    assert system.atomic_numbers == (6,) * 4 + (1,) * 8
    close(columns["energy"][0], np.array([-156.0784261, -155.736694, -155.5177781]) * HARTREE)
    force = np.array([0.02942736, -0.07421177, -0.0259835]) * HARTREE / BOHR
    np.testing.assert_allclose(columns["forces"][0, 0, 0], force, atol=2e-7)  # eight digits are given
    gap = np.diff(columns["energy"], axis=1)[:, 0].min()
    assert gap / HARTREE == pytest.approx(0.2799535, abs=1e-9)
    assert not import_sources([path], tmp_path / "a.h5", strict=True).problems


def test_shared_databases_are_left_as_they_are(shared_data, tmp_path):
    source = folder(shared_data) / "spainn_ch2nh2+.db"
    path = tmp_path / source.name
    shutil.copyfile(source, path)
    path.chmod(0o444)
    before = path.read_bytes()
    read(path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == [path.name]
    assert json.dumps(ase.db.connect(str(path)).metadata)
