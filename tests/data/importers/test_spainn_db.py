"""SPaiNN and SchNarc databases: layouts, encodings, units and signs are told apart, and every whole row is read."""

import json
import shutil
import sqlite3
from base64 import b64encode
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.data.importers.spainn_db.database import SPAINN_DB, read_spainn_db
from mlff.data.importers.trajectory import ImportOptions
from mlff.units import BOHR, HARTREE

PAIRS = [(0, 1), (0, 2), (1, 2)]
SPAINN = {
    "_distance_unit": "Bohr",
    "_property_unit_dict": {"energy": "Hartree", "forces": "Hartree/Bohr", "nacs": "1", "smooth_nacs": "1"},
    "states": "S S S",
    "ReferenceMethod": "CASSCF",
}
SCHNARC = {"n_singlets": 3, "n_triplets": 0, "states": "S S S ", "ReferenceMethod": "CASSCF"}


def molecule(row, symbols, net_zero=True):
    """A made-up molecule in atomic units: positions, energies, forces (N,S,3), nacs (N,P,3), dipoles (Q,3)."""
    random = np.random.default_rng(row)
    positions = np.arange(len(symbols))[:, None] * np.array([1.0, 0.5, 0.3]) * 1.8 + random.normal(
        0, 0.05, (len(symbols), 3)
    )
    energy = np.array([-94.6, -94.3, -94.25]) + random.normal(0, 0.01, 3)
    forces = random.normal(0, 0.1, (len(symbols), 3, 3))
    if net_zero:
        forces -= forces.mean(axis=0)
    return positions, energy, forces, random.normal(0, 1, (len(symbols), 3, 3)), random.normal(0, 1, (6, 3))


def base64_values(values):
    """As SchNetPack 0.2 wrote them."""
    data = {}
    for key, value in values.items():
        data[key] = b64encode(np.asarray(value).tobytes()).decode()
        data[f"_shape_{key}"], data[f"_dtype_{key}"] = np.asarray(value).shape, str(np.asarray(value).dtype)
    return data


def written(path, *, layout="spainn", symbols="CNHHHH", rows=12, metadata=None, encode=dict, change=None, **options):
    """A database in the layout of one of the programs."""
    with ase.db.connect(str(path), append=False) as database:
        for row in range(rows):
            positions, energy, forces, nacs, dipoles = molecule(row, symbols, **options)
            gaps = np.array([energy[i] - energy[j] for i, j in PAIRS])
            values = {"energy": energy[None], "forces": forces, "nacs": nacs, "dipoles": dipoles}
            values["smooth_nacs"] = nacs * gaps[:, None]
            if layout == "schnarc":
                del values["smooth_nacs"]
                values |= {"energy": energy, "socs": np.zeros(6)}
                values |= {"forces": forces.transpose(1, 0, 2), "nacs": nacs.transpose(1, 0, 2)}
            if change is not None:
                positions, values = change(row, positions, values)
            database.write(Atoms(symbols, positions=positions), data=encode(values))
    database.metadata = metadata if metadata is not None else (SPAINN if layout == "spainn" else SCHNARC)
    return path


def read(path, **options):
    """All columns of a database, its system, its problems."""
    trajectories = list(read_spainn_db([path], ImportOptions(**options)))
    held = [each for each in trajectories if each.num_frames]
    columns = {name: np.concatenate([each.columns[name] for each in held]) for name in held[0].columns}
    problems = [problem for each in trajectories for problem in each.problems]
    return columns, held[0].system, problems, [note for each in trajectories for note in each.notes]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", ["spainn", "schnarc"])
@pytest.mark.parametrize("encode", [dict, base64_values])
def test_both_layouts_and_encodings_give_the_same_numbers_in_our_units(tmp_path, layout, encode):
    path = written(tmp_path / "a.db", layout=layout, encode=encode)
    assert SPAINN_DB.matches(path)
    columns, system, problems, _ = read(path)
    assert not problems and system.multiplicity == (1, 1, 1) and system.label == ("S0", "S1", "S2")
    assert system.atomic_numbers == (6, 7, 1, 1, 1, 1) and system.level_of_theory == "CASSCF" and system.charge is None
    for row in range(12):
        positions, energy, forces, nacs, dipoles = molecule(row, "CNHHHH")
        close(columns["positions"][row], positions * BOHR)
        close(columns["energy"][row], energy * HARTREE)
        close(columns["forces"][row], forces * HARTREE / BOHR)
        close(columns["nac"][row], nacs / BOHR)
        close(columns["dipole"][row], dipoles * BOHR)
        if layout == "spainn":  # <i|dH/dR|j> = nac (E_j - E_i), the other sign of smooth_nacs
            for pair, (i, j) in enumerate(PAIRS):
                coupling = columns["nac"][row, :, pair] * (columns["energy"][row, j] - columns["energy"][row, i])
                close(columns["interstate_coupling"][row, :, pair], coupling)
    assert system.nac_pairs == tuple(PAIRS)
    assert system.dipole_pairs == ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@pytest.mark.parametrize("layout", ["spainn", "schnarc"])
def test_as_many_atoms_as_states_are_told_apart_by_the_sum_of_forces(tmp_path, layout):
    columns, _, problems, notes = read(written(tmp_path / "a.db", layout=layout, symbols="CNH"))
    assert not problems and "add up to zero" in notes[0]
    close(columns["forces"][3], molecule(3, "CNH")[2] * HARTREE / BOHR)
    close(columns["nac"][3], molecule(3, "CNH")[3] / BOHR)


def test_where_the_forces_do_not_tell_the_metadata_do_or_the_database_is_refused(tmp_path):
    columns, _, _, notes = read(written(tmp_path / "a.db", symbols="CNH", net_zero=False))
    assert "as the metadata say" in notes[0]
    close(columns["forces"][3], molecule(3, "CNH", False)[2] * HARTREE / BOHR)
    with pytest.raises(ValueError, match="3 atoms and as many states.*neither"):
        read(written(tmp_path / "b.db", layout="schnarc", symbols="CNH", net_zero=False))


def test_metadata_that_the_forces_contradict_are_a_problem(tmp_path):
    columns, _, problems, _ = read(written(tmp_path / "a.db", layout="schnarc", symbols="CNH", metadata=SPAINN))
    assert any("not as the metadata say" in problem for problem in problems)
    close(columns["forces"][3], molecule(3, "CNH")[2] * HARTREE / BOHR)


def test_smooth_couplings_of_the_other_sign_are_corrected_and_of_another_size_reported(tmp_path):
    def times(factor):
        return lambda row, positions, values: (
            positions,
            values | {"smooth_nacs": values["smooth_nacs"] * factor},
        )

    right = read(written(tmp_path / "a.db"))[0]["interstate_coupling"]
    columns, _, problems, _ = read(written(tmp_path / "b.db", change=times(-1)))
    close(columns["interstate_coupling"], right)
    assert any("opposite" in problem for problem in problems)
    assert any("3 times nacs" in problem for problem in read(written(tmp_path / "c.db", change=times(3)))[2])


def test_units_of_the_metadata_are_used_and_unknown_ones_refused(tmp_path):
    units = {"energy": "eV", "forces": "eV/Ang", "smooth_nacs": "eV/Ang", "nacs": "1/Ang", "dipoles": "Debye"}

    def converted(row, positions, values):
        values = dict(values)
        values["energy"] = values["energy"] * HARTREE
        values["forces"] = values["forces"] * HARTREE / BOHR
        values["smooth_nacs"] = values["smooth_nacs"] * HARTREE / BOHR
        values["nacs"] = values["nacs"] / BOHR
        return positions * BOHR, values

    metadata = SPAINN | {"_distance_unit": "Ang", "_property_unit_dict": units}
    columns, _, problems, _ = read(written(tmp_path / "a.db", metadata=metadata, change=converted))
    assert not problems
    expected = read(written(tmp_path / "b.db"))[0]
    for name in ("positions", "energy", "forces", "nac", "interstate_coupling"):
        close(columns[name], expected[name])
    wrong = SPAINN | {"_property_unit_dict": {"forces": "Hartree/furlong"}}
    with pytest.raises(ValueError, match="the unit 'furlong' of `forces` is not known"):
        read(written(tmp_path / "c.db", metadata=wrong))
    problems = read(written(tmp_path / "d.db", metadata=SPAINN | {"_distance_unit": "Angstrom"}))[2]
    assert any("check the unit" in problem for problem in problems)


def test_angstrom_positions_without_a_unit_are_recognised_by_the_bond_lengths(tmp_path):
    change = lambda row, positions, values: (positions * BOHR, values)  # noqa: E731
    columns, _, _, notes = read(written(tmp_path / "a.db", layout="schnarc", change=change))
    assert any("positions in angstrom" in note for note in notes)
    close(columns["positions"][2], molecule(2, "CNHHHH")[0] * BOHR)


def test_triplets_take_their_pairs_within_a_multiplicity_and_unread_couplings_are_reported(tmp_path):
    def change(row, positions, values):
        values = {"energy": values["energy"], "forces": values["forces"], "nacs": values["nacs"][:, :1]}
        return positions, values | {"socs": np.ones(12)}

    metadata = SPAINN | {"states": "S S T", "n_singlets": 2, "n_triplets": 1}
    columns, system, problems, _ = read(written(tmp_path / "a.db", metadata=metadata, change=change))
    assert system.multiplicity == (1, 1, 3) and system.root == (0, 1, 0) and system.nac_pairs == ((0, 1),)
    assert columns["nac"].shape == (12, 6, 1, 3)
    assert problems == ["a.db: `socs` of 12 rows not read: its order of states is not documented"]


@pytest.mark.parametrize("layout", ["spainn", "schnarc"])
def test_spin_orbit_couplings_are_between_the_components_in_the_order_of_sharc(tmp_path, layout):
    random = np.random.default_rng(1)
    num = 5  # S0 S1 | T1(-1) T1(0) T1(+1)
    matrices = 1e-4 * (random.normal(size=(12, num, num)) + 1j * random.normal(size=(12, num, num)))
    upper = np.triu_indices(num, 1)

    def change(row, positions, values):
        couplings = matrices[row][upper].view(np.float64) if row != 4 else np.zeros(num * (num - 1))
        return positions, values | {"socs": couplings if row != 7 else np.ones(3)}

    metadata = (SPAINN if layout == "spainn" else SCHNARC) | {"states": "S S T", "n_singlets": 2, "n_triplets": 1}
    path = written(tmp_path / "a.db", layout=layout, metadata=metadata, change=change)
    columns, system, problems, _ = read(path)
    assert system.spin_states == ((0, 0), (1, 0), (2, -2), (2, 0), (2, 2)) and system.soc_pairs == ((0, 2), (1, 2))
    assert problems == ["a.db: 1 rows (7, from 0) without `socs` of size 3, 20 was expected"]
    for row in set(range(12)) - {4, 7}:
        matrix = np.triu(matrices[row], 1) * HARTREE
        close(columns["soc"][row], matrix + matrix.conj().T)
        close(columns["soc_magnitude"][row], np.linalg.norm(columns["soc"][row][:2, 2:], axis=1))
    assert np.isnan(columns["soc"][[4, 7]]).all() and np.isnan(columns["soc_magnitude"][[4, 7]]).all()
    import_sources([path], tmp_path / "out.h5")
    assert HDF5Dataset(tmp_path / "out.h5")[0].soc.shape == (num, num)


def test_rows_that_are_not_whole_are_dropped_with_a_line_and_odd_values_masked_with_one(tmp_path):
    def change(row, positions, values):
        if row == 2:
            positions = positions * np.nan
        if row == 4:
            values = {key: value for key, value in values.items() if key != "forces"}
        if row == 5:
            values = values | {"forces": values["forces"][:3]}
        if row == 6:
            values = values | {"nacs": values["nacs"][:, :2]}
        if row == 7:
            values = values | {"has_forces": np.zeros(1)}
        return positions, values

    columns, _, problems, _ = read(written(tmp_path / "a.db", change=change))
    text = "\n".join(problems)
    assert len(columns["positions"]) == 9
    assert "1 rows (2, from 0) dropped: positions are not whole" in text
    assert "1 rows (4, from 0) dropped: no forces" in text and "(5, from 0) dropped: forces have shape" in text
    assert "1 rows (6, from 0) without `nacs` of shape (6, 2, 3)" in text
    kept = [0, 1, 3, 6, 7, 8, 9, 10, 11]
    assert np.isnan(columns["nac"]).all(axis=(1, 2, 3)).tolist() == [row == 6 for row in kept]
    assert np.isnan(columns["forces"]).all(axis=(1, 2, 3)).tolist() == [row == 7 for row in kept]


def test_other_databases_are_not_taken_for_one(tmp_path):
    with ase.db.connect(str(tmp_path / "plain.db")) as database:
        database.write(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]]), data={"energy": 1.0})
    (tmp_path / "text.db").write_text("no database")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE a (b)")
    assert not any(SPAINN_DB.matches(tmp_path / f"{name}.db") for name in ("plain", "text", "other", "absent"))
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(ValueError, match="holds no row"):
        read(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_blocks_keep_the_order_and_a_stride_goes_on_from_block_to_block(tmp_path, monkeypatch):
    monkeypatch.setattr("mlff.data.importers.spainn_db.database._BLOCK", 4)
    path = written(tmp_path / "a.db")
    close(read(path)[0]["energy"][:, 0], [molecule(row, "CNHHHH")[1][0] * HARTREE for row in range(12)])
    import_sources([path], tmp_path / "a.h5", every=5)
    energies = HDF5Dataset(tmp_path / "a.h5").systems[0].read("energy")[:, 0]
    close(energies, [molecule(row, "CNHHHH")[1][0] * HARTREE for row in (0, 5, 10)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("whole") / "whole.db", rows=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutilated_databases_give_what_is_whole_and_a_line_for_the_rest(tmp_path, whole, data):
    path = tmp_path / "a.db"
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + 300] = data.draw(st.binary(min_size=300, max_size=300))
    path.write_bytes(content)
    SPAINN_DB.matches(path)
    try:
        columns, _, problems, _ = read(path)
    except (ValueError, OSError):
        return
    assert len(columns["positions"]) == 30 or problems


def test_a_truncated_database_of_many_pages_still_gives_rows(tmp_path):
    path = written(tmp_path / "a.db", rows=60)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    columns, _, problems, _ = read(path)
    assert 10 < len(columns["positions"]) < 60 and problems


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
