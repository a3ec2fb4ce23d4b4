"""SPaiNN and SchNarc databases: layouts, encodings, units and signs are told apart, and every whole row is read."""

import sqlite3

import ase.db
import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.data.importers.spainn_db.database import SPAINN_DB
from mlff.units import BOHR, HARTREE

from .spainn_files import PAIRS, SCHNARC, SPAINN, base64_values, close, molecule, read, written


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
