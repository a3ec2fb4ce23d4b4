"""Structures go in, their labels come out: in order, whole, and with every failure told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.io import read, write

from mlff import HDF5Dataset, MLFFCalculator
from mlff.data import HDF5Writer
from mlff.label import label

HERE = Path(__file__).parent
SPRING = "calculators_of_tests:Spring"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


def chain(length, offset=0.0):
    return Atoms("H" * length, positions=np.arange(3 * length).reshape(length, 3) * 0.5 + offset)


def copper(seed):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def test_labels_are_those_of_the_calculator_itself(tmp_path):
    structures = [copper(seed) for seed in range(3)] + [Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]])]
    report = label(structures, tmp_path / "out.h5", calculator="emt")
    dataset = HDF5Dataset(tmp_path / "out.h5")
    assert (report.num_frames, report.num_systems, report.failures) == (4, 2, [])
    assert dataset.systems[0].level_of_theory == "EMT"
    assert dataset.systems[0].program.startswith("ase ")
    for atoms, frame in zip(structures, dataset):
        atoms.calc = EMT()
        assert frame.energy[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(frame.forces[:, 0], atoms.get_forces(), atol=1e-6)
        np.testing.assert_array_equal(frame.positions, atoms.positions)
        if atoms.pbc.all():
            np.testing.assert_allclose(frame.stress[0], atoms.get_stress(), atol=1e-8)
            np.testing.assert_array_equal(frame.cell, atoms.cell.array)
        else:
            assert frame.stress is None


def test_order_is_that_of_the_input_whatever_the_workers(tmp_path):
    structures = [chain(4 + 2 * (k % 2), offset=0.01 * k) for k in range(40)]
    for workers in (1, 4):
        label(structures, tmp_path / f"{workers}.h5", calculator=SPRING, workers=workers)
    one, four = (HDF5Dataset(tmp_path / f"{workers}.h5") for workers in (1, 4))
    for a, b in zip(one, four, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        assert a.energy == b.energy
    expected = [each.positions for parity in (0, 1) for each in structures[parity::2]]  # a system after the other
    for frame, positions in zip(one, expected, strict=True):
        np.testing.assert_array_equal(frame.positions, positions)
        assert frame.energy[0] == pytest.approx(0.5 * (positions**2).sum())


def test_structures_that_fail_are_left_out_and_told(tmp_path):
    lengths = [4, 2, 3, 5, 6, 3, 4]
    nowhere = chain(4)
    nowhere.positions[1] = np.nan
    report = label([*map(chain, lengths), nowhere, Atoms()], tmp_path / "out.h5", calculator=SPRING, workers=2)
    dataset = HDF5Dataset(tmp_path / "out.h5")
    assert [len(frame.positions) for frame in dataset] == [4, 4, 6]
    told = dict(each.split(": left out: ") for each in report.failures)
    assert told == {
        "structure 1 (H2)": "the SCF did not converge",
        "structure 2 (H3)": "the calculator ended its process with exit code 7",
        "structure 3 (H5)": "the calculator gave an energy, force or stress that is not a finite number",
        "structure 5 (H3)": "the calculator ended its process with exit code 7",
        "structure 7 (H4)": "a position is not a finite number",
        "structure 8 ()": "there are no atoms",
    }
    assert list(dataset.report) == report.failures
    assert "6 structures were left out" in report.text()


def test_nothing_is_written_where_all_fail(tmp_path):
    with pytest.raises(ValueError, match=r"none of the 2 structures .* did not converge"):
        label([chain(2), chain(2)], tmp_path / "out.h5", calculator=SPRING)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_killed_labelling_goes_on_where_it_was(tmp_path):
    write(tmp_path / "in.xyz", [chain(4, offset=0.01 * k) for k in range(30)])
    program = (
        "from mlff.label import label\n"
        f"print(label(['in.xyz'], 'out.h5', calculator='{SPRING}', settings={{'delay': 0.05}}, workers=2).num_earlier)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    command = [sys.executable, "-c", program]
    journal = tmp_path / "out.h5.labels"
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 6:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out.h5").exists()
    with journal.open("a") as file:
        file.write('{"number": 29, "ener')  # half a line, as a kill leaves it
    with pytest.raises(ValueError, match="labels of another calculator or of other structures"):
        label([tmp_path / "in.xyz"], tmp_path / "out.h5", calculator="lj")
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) >= 5
    dataset = HDF5Dataset(tmp_path / "out.h5")
    np.testing.assert_allclose([frame.positions[0, 0] for frame in dataset], 0.01 * np.arange(30), atol=1e-7)
    assert not journal.exists()


def test_trajectories_times_and_velocities_of_a_native_file_are_kept(tmp_path):
    columns = {
        "positions": np.random.default_rng(0).normal(size=(6, 4, 3)),
        "velocities": np.ones((6, 4, 3)),
        "energy": np.full((6, 1), 99.0),
        "time": 0.5 * np.arange(6),
    }
    with HDF5Writer(tmp_path / "in.h5") as writer:
        writer.add_system("H4", [1] * 4, charge=1.0, multiplicity=[2], masses=[2.014] * 4)
        writer.add_trajectory("H4", columns, name="deuterium", dt=0.5)
    label([tmp_path / "in.h5"], tmp_path / "out.h5", calculator=SPRING, every=2)
    dataset = HDF5Dataset(tmp_path / "out.h5")
    (trajectory,) = dataset.trajectories
    assert (trajectory.name, trajectory.dt, trajectory.count) == ("deuterium", 1.0, 3)
    system = dataset.systems[0]
    assert (system.charge, system.multiplicities, system.masses[0]) == (1.0, (2,), 2.014)
    np.testing.assert_array_equal(system.read("time"), [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(system.read("velocities"), 1.0)
    own = 1.0 + 0.5 * (columns["positions"][::2] ** 2).sum(axis=(1, 2))  # the charge reached the calculator
    np.testing.assert_allclose(system.read("energy")[:, 0], own)


def test_labels_can_be_added_but_not_twice(tmp_path):
    for k in range(2):
        write(tmp_path / f"{k}.xyz", [chain(4, offset=k)])
        label([tmp_path / f"{k}.xyz"], tmp_path / "out.h5", calculator=SPRING, append=True)
    dataset = HDF5Dataset(tmp_path / "out.h5")
    assert (len(dataset), len(dataset.systems)) == (2, 1)
    with pytest.raises(ValueError, match="already, they are not added again"):
        label([tmp_path / "1.xyz"], tmp_path / "out.h5", calculator=SPRING, append=True)
    label([tmp_path / "1.xyz"], tmp_path / "out.h5", calculator="lj", append=True)
    assert len(HDF5Dataset(tmp_path / "out.h5").systems) == 2  # another level of theory


def test_labels_of_a_file_are_left_aside_and_constraints_too(tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.info["energy"] = "no number"
    atoms.arrays["forces"] = np.zeros(len(atoms))
    label([atoms], tmp_path / "out.h5", calculator=SPRING)
    assert HDF5Dataset(tmp_path / "out.h5")[0].energy[0] == pytest.approx(0.5 * (atoms.positions**2).sum())


def test_the_energy_is_the_one_that_the_forces_are_the_derivative_of(tmp_path):
    label([copper(0)], tmp_path / "warm.h5", calculator="calculators_of_tests:Warm")
    label([copper(0)], tmp_path / "cold.h5", calculator="emt")
    warm, cold = (HDF5Dataset(tmp_path / name)[0].energy[0] for name in ("warm.h5", "cold.h5"))
    assert warm == pytest.approx(cold - 1.0, abs=1e-12)


def test_a_function_makes_a_calculator_and_a_worker_has_one_thread(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    label([chain(1)], tmp_path / "out.h5", calculator="calculators_of_tests:threads")
    assert HDF5Dataset(tmp_path / "out.h5")[0].energy[0] == pytest.approx(1.0 + 0.5 * (chain(1).positions ** 2).sum())


def test_a_model_of_the_package_labels(tmp_path):
    trans = read(HERE.parents[1] / "examples" / "structures" / "trans.xyz")
    label([trans], tmp_path / "out.h5", calculator="azobenzene-painn", settings={"compile": False})
    frame = HDF5Dataset(tmp_path / "out.h5")[0]
    trans.calc = MLFFCalculator("azobenzene-painn", compile=False)
    np.testing.assert_allclose(frame.forces[:, 0], trans.get_forces(), atol=1e-4)
    assert HDF5Dataset(tmp_path / "out.h5").systems[0].level_of_theory.startswith("mlff model azobenzene-painn")


def test_tblite_knows_charge_and_multiplicity(tmp_path):
    pytest.importorskip("tblite")
    water = molecule("H2O")
    label([water], tmp_path / "neutral.h5")
    label([water], tmp_path / "cation.h5", charge=1, multiplicity=2)
    label([water], tmp_path / "quartet.h5", charge=1, multiplicity=4)
    neutral, cation, quartet = (HDF5Dataset(tmp_path / f"{name}.h5") for name in ("neutral", "cation", "quartet"))
    assert neutral[0].energy[0] == pytest.approx(-137.9678, abs=1e-3)  # tblite's documentation, GFN2-xTB
    assert 10 < cation[0].energy[0] - neutral[0].energy[0] < 20  # ionisation takes 12.6 eV, GFN2-xTB overestimates it
    assert quartet[0].energy[0] > cation[0].energy[0] + 1
    assert (cation.systems[0].charge, cation.systems[0].multiplicities) == (1.0, (2,))
    assert neutral.systems[0].level_of_theory == "GFN2-xTB"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"calculator": "tbllite"}, "the calculator 'tbllite' is not known; give tblite, xtb, emt, lj"),
        ({"calculator": "no_such_package:Thing"}, "cannot be imported .* pip install no_such_package"),
        ({"calculator": "calculators_of_tests:Nothing"}, "has no 'Nothing'"),
        ({"calculator": "calculators_of_tests:NUMBER"}, "is a int, not a class"),
        ({"calculator": "builtins:dict"}, "gives a dict, which is no calculator"),
        ({"calculator": "calculators_of_tests:threads", "settings": {"a": 1}}, "cannot be made with {'a': 1}"),
        ({"calculator": "tblite:method"}, "the setting 'method' is not KEY=VALUE"),
        ({"calculator": "tblite:method=GFN1-xTB", "settings": {"method": "GFN2-xTB"}}, "`method` is given twice"),
        ({"workers": 0}, "`workers` is 0"),
        ({"every": 0}, "`every` is 0"),
        ({"multiplicity": 0}, "`multiplicity` is 0"),
        ({"multiplicity": 10**20}, "`multiplicity` is 100000000000000000000"),
        ({"charge": float("inf")}, "`charge` is inf"),
        ({"append": True, "overwrite": True}, "not both"),
        ({"structures": ["no.xyz"]}, "there is no file no.xyz"),
        ({"structures": []}, "no structure was given"),
        ({"structures": [__file__]}, "could not be read as structures"),
        ({"structures": [str(HERE)]}, "is a folder"),
        ({"output": "no/folder/out.h5"}, "does not exist"),
        ({"output": str(HERE)}, "is a folder"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(tmp_path, more, sentence):
    request = {"structures": [chain(4)], "output": tmp_path / "out.h5", "calculator": "lj", **more}
    with pytest.raises((ValueError, OSError), match=sentence):
        label(request.pop("structures"), request.pop("output"), **request)
    assert not list(tmp_path.glob("out*"))


def test_an_output_that_exists_is_kept(tmp_path):
    (tmp_path / "out.h5").write_text("mine")
    with pytest.raises(ValueError, match="exists already"):
        label([chain(4)], tmp_path / "out.h5", calculator="lj")
    assert (tmp_path / "out.h5").read_text() == "mine"
    label([chain(4)], tmp_path / "out.h5", calculator="lj", overwrite=True)
    assert len(HDF5Dataset(tmp_path / "out.h5")) == 1
