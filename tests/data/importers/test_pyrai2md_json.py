"""PyRAI2MD training data: gradients become forces, nothing is claimed that the file does not say, damage is told."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.data.importers.pyrai2md import training_data_raw
from mlff.data.importers.pyrai2md.training_data import PYRAI2MD_JSON, read_pyrai2md_json
from mlff.data.importers.trajectory import ImportOptions
from mlff.units import BOHR, HARTREE, INVERSE_CM


def made(num_frames=6, num_states=2, num_nac=1, num_soc=1, symbols=("C_", "H", "Cl1")):
    """What the program would write, as a table."""
    random, num_atoms = np.random.default_rng(1), len(symbols)
    positions = random.normal(size=(num_frames, num_atoms, 3)) + 2 * np.arange(num_atoms)[:, None]
    return {
        "natom": num_atoms,
        "nstate": num_states,
        "nnac": num_nac,
        "nsoc": num_soc,
        "xyz": [[[s, *(f"{x:.8f}" for x in p)] for s, p in zip(symbols, frame, strict=True)] for frame in positions],
        "energy": (random.normal(size=(num_frames, num_states)) - 100).tolist(),
        "grad": random.normal(size=(num_frames, num_states, num_atoms, 3)).tolist(),
        "nac": random.normal(size=(num_frames, num_nac, num_atoms, 3)).tolist(),
        "soc": random.uniform(size=(num_frames, num_soc)).tolist(),
    }


def written(path, table):
    path.write_text(json.dumps(table))
    return path


def read(path):
    found = list(read_pyrai2md_json([path], ImportOptions()))
    return [each for each in found if each.num_frames], [problem for each in found for problem in each.problems]


def test_values_get_our_units_and_signs(tmp_path):
    table = made()
    path = written(tmp_path / "a.json", table)
    assert PYRAI2MD_JSON.matches(path)
    (each,), problems = read(path)
    assert not problems and each.system.atomic_numbers == (6, 1, 17)
    assert each.system.multiplicity == () and each.system.label == () and each.system.charge is None
    np.testing.assert_allclose(each.columns["energy"], np.array(table["energy"]) * HARTREE)
    positions = [[[float(x) for x in row[1:]] for row in frame] for frame in table["xyz"]]
    np.testing.assert_allclose(each.columns["positions"], positions)
    forces = -np.array(table["grad"]).transpose(0, 2, 1, 3) * HARTREE / BOHR
    np.testing.assert_allclose(each.columns["forces"], forces)
    coupling = np.array(table["nac"]).transpose(0, 2, 1, 3) * HARTREE / BOHR
    np.testing.assert_allclose(each.columns["interstate_coupling"], coupling)
    np.testing.assert_allclose(each.columns["soc_magnitude"], np.array(table["soc"]) * INVERSE_CM)
    assert each.system.nac_pairs == ((0, 1),) and each.system.soc_pairs == ((0, 1),) and "nac" not in each.columns


def test_couplings_whose_states_are_unknown_are_not_stored_and_told(tmp_path):
    (each,), problems = read(written(tmp_path / "a.json", made(num_states=3, num_nac=3, num_soc=2)))
    assert "interstate_coupling" not in each.columns and "soc_magnitude" not in each.columns
    assert "3 couplings a geometry are not stored" in "\n".join(problems)
    assert "2 spin-orbit couplings a geometry are not stored" in "\n".join(problems)


INPUT = "&CONTROL\ntitle t\n\n&Molecule\nci   {}\nspin {}\ncoupling {}\n\n&md\nstep 3\n"


def test_the_input_beside_the_file_tells_multiplicities_and_pairs(tmp_path):
    table = made(num_states=4, num_nac=2, num_soc=3)
    path = written(tmp_path / "a.json", table)
    (tmp_path / "notes.txt").write_text("nothing\n")
    (tmp_path / "input").write_text(INPUT.format("2 2", "0 1", "3 1, 2 4, 1 2, 4 3, 2 3"))
    (each,), problems = read(path)
    facts = each.system
    assert not problems and facts.multiplicity == (1, 1, 3, 3) and facts.label == ("S0", "S1", "T1", "T2")
    assert facts.root == (0, 1, 0, 1) and facts.nac_pairs == ((0, 1), (2, 3))
    assert facts.soc_pairs == ((0, 2), (1, 3), (1, 2))
    np.testing.assert_allclose(each.columns["soc_magnitude"], np.array(table["soc"]) * INVERSE_CM)
    coupling = np.array(table["nac"]).transpose(0, 2, 1, 3) * HARTREE / BOHR
    np.testing.assert_allclose(each.columns["interstate_coupling"], coupling)
    (tmp_path / "pairs").write_text("1-2\n3 4\n1 3\n2 4\n2 3\n")
    (tmp_path / "input").write_text(INPUT.format("2 2", "0 1", "pairs"))
    assert read(path)[0][0].system == facts


@pytest.mark.parametrize(
    ("ci", "spin", "coupling", "told"),
    [
        ("3", "0", "1 2, 1 3", "input is not its input: it has 3 states and 2 and 0 pairs"),
        ("2 2", "0 1", "1 2", "input is not its input: it has 4 states and 1 and 0 pairs"),
        ("2 2", "0", "1 2, 3 4", "input cannot be read: `ci 2 2` and `spin 0` do not fit"),
        ("2 x", "0 1", "1 2, 3 4", "`ci` or `spin` holds what is no number"),
        ("2 2", "0 1", "1 2, 3 5", "`coupling` joins 3 and 5, which are not two of 4 states"),
        ("2 2", "0 1", "1 2, 3 a", "`coupling` holds '3 a' where two states were expected"),
    ],
)
def test_an_input_that_does_not_fit_is_told_and_nothing_is_claimed(tmp_path, ci, spin, coupling, told):
    path = written(tmp_path / "a.json", made(num_states=4, num_nac=2, num_soc=3))
    (tmp_path / "input").write_text(INPUT.format(ci, spin, coupling))
    (each,), problems = read(path)
    assert told in "\n".join(problems) and each.system.multiplicity == () and each.system.nac_pairs == ()


def test_two_inputs_that_say_different_things_are_told(tmp_path):
    path = written(tmp_path / "a.json", made(num_states=3, num_nac=2, num_soc=0))
    for name, coupling in (("a", "1 2, 2 3"), ("b", "1 2, 2 3"), ("c", "1 2, 1 3")):
        (tmp_path / name).write_text(INPUT.format("3", "0", coupling))
    (each,), problems = read(path)
    assert "a, b is one of 2 inputs that say different states" in "\n".join(problems)
    assert each.system.nac_pairs == ()
    (tmp_path / "c").unlink()
    assert read(path)[0][0].system.nac_pairs == ((0, 1), (1, 2)) and not read(path)[1]


def test_lists_that_are_empty_or_none_of_ours_are_passed(tmp_path):
    table = made() | {"charge": [], "cell": [], "pbc": []}
    assert not read(written(tmp_path / "a.json", table))[1]
    _, problems = read(written(tmp_path / "a.json", table | {"charge": [[0.0] * 4] * 6}))
    assert problems == ["a.json: `charge` is not read: not a quantity of PyRAI2MD"]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_the_text_may_be_cut_anywhere_while_it_is_read(tmp_path, monkeypatch, chunk):
    path = written(tmp_path / "a.json", made(num_frames=3))
    (whole,), _ = read(path)
    monkeypatch.setattr(training_data_raw, "_CHUNK", chunk)
    (pieces,), problems = read(path)
    assert not problems
    for name, values in whole.columns.items():
        np.testing.assert_array_equal(pieces.columns[name], values)


def test_gradients_of_zeros_were_not_computed(tmp_path):
    table = made()
    table["grad"][2][1] = np.zeros((3, 3)).tolist()
    (each,), _ = read(written(tmp_path / "a.json", table))
    assert np.argwhere(np.isnan(each.columns["forces"]).any(axis=(1, 3))).tolist() == [[2, 1]]


def test_entries_that_are_not_whole_are_dropped_or_masked_with_a_line(tmp_path):
    table = made() | {"extra": 1}
    table["xyz"][0][1][2] = "here"
    table["energy"][1] = [1.0]
    table["grad"][2] = [[0.0]]
    table["xyz"][3][0][0] = "Xx"
    del table["soc"][-1]
    (each,), problems = read(written(tmp_path / "a.json", table))
    text = "\n".join(problems)
    assert each.num_frames == 3 and "2 geometries (0, 3, from 0) dropped: no whole geometry" in text
    assert "(1, from 0) dropped: no whole energies" in text and "(2, from 0) without whole `grad`" in text
    assert "(5, from 0) without whole `soc`" in text and "`extra` is not read" in text
    assert np.isnan(each.columns["forces"][0]).all() and np.isnan(each.columns["soc_magnitude"][-1]).all()


def test_a_truncated_file_gives_the_frames_before_its_end(tmp_path):
    path = written(tmp_path / "a.json", made())
    text = path.read_text()
    path.write_text(text[: text.index('"nac":') - 200])
    (each,), problems = read(path)
    assert each.num_frames == 6 and "the file is damaged at character" in problems[0]
    assert "6 of xyz, 6 of energy, 5 of grad" in problems[0]
    assert np.isnan(each.columns["forces"][5]).all() and np.isfinite(each.columns["forces"][:5]).all()
    path.write_text(text[:200])
    with pytest.raises(ValueError, match="no geometry with energies"):
        read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutilated_files_give_what_is_whole_and_a_line_for_the_rest(tmp_path, data):
    path = tmp_path / "a.json"
    text = json.dumps(made())
    at = data.draw(st.integers(0, len(text) - 1))
    path.write_text(text[:at] + data.draw(st.text('[]{},:"0.e-x', max_size=5)) * data.draw(st.integers(0, 1)))
    try:
        trajectories, problems = read(path)
    except ValueError:
        return
    assert sum(each.num_frames for each in trajectories) == 6 or problems


def test_shared_file(shared_data, tmp_path):
    path = shared_data / "surface_hopping" / "pyrai2md_json" / "egs.json"
    assert PYRAI2MD_JSON.matches(path)
    (each,), problems = read(path)
    assert not problems and each.num_frames == 200
    numbers = each.system.atomic_numbers
    assert len(numbers) == 18 and [numbers.count(z) for z in (6, 1, 8)] == [9, 8, 1]
    energy = each.columns["energy"] / HARTREE
    np.testing.assert_allclose(energy[0], [-420.53019861, -420.40680710, -420.42381019, -420.41248848], atol=1e-8)
    assert (np.diff(energy, axis=1) < 0).any(axis=1).all()  # S0 S1 T1 T2: not sorted by energy
    soc = each.columns["soc_magnitude"][0] / INVERSE_CM
    np.testing.assert_allclose(soc, [29.11339, 59.41412, 37.05252, 18.33801], atol=1e-5)
    assert each.system.soc_pairs == ((0, 2), (0, 3), (1, 2), (1, 3)) and each.system.multiplicity == ()
    raw = json.loads(path.read_text())
    np.testing.assert_allclose(
        each.columns["forces"][7, :, 2], -np.array(raw["grad"][7][2]) * HARTREE / BOHR, rtol=1e-12
    )
    nearest = np.linalg.norm(each.columns["positions"][0, 0] - each.columns["positions"][0, 1:], axis=-1).min()
    assert 1.0 < nearest < 1.6  # angstrom
    report = import_sources([path], tmp_path / "a.h5")
    assert report.num_frames == 200 and HDF5Dataset(tmp_path / "a.h5").num_states == 4
