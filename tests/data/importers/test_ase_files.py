"""ASE's own files: chosen keys, forces without constraints, units of a database, every whole image of a truncated file."""

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io.trajectory import Trajectory
from ase.units import Hartree, kcal, mol
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.data.importers.ase_files.files import AseReader
from mlff.data.importers.ase_files.images import _image_places, unit_factor
from mlff.units import ASE_VELOCITY

NUM_IMAGES = 50  # more than one table of ASE's file format


def image(k, **results):
    """Image ``k``: a water molecule with its number in the energy and the positions."""
    atoms = Atoms("OH2", [[0, 0, 0.01 * k], [0, 0.8, 0.6], [0, -0.8, 0.6]])
    atoms.calc = SinglePointCalculator(atoms, energy=float(k), forces=np.full((3, 3), 0.5 * k), **results)
    return atoms


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A trajectory file."""
    path = tmp_path_factory.mktemp("traj") / "whole.traj"
    with Trajectory(path, "w") as trajectory:
        for k in range(NUM_IMAGES):
            trajectory.write(image(k))
    return path


def run(tmp_path, *sources, **options):
    output = tmp_path / "out.h5"
    report = import_sources(sources, output, overwrite=True, **options)
    return report, HDF5Dataset(output)


def read(path):
    """Energies and heights of the oxygen of all images, and the problems."""
    reader = AseReader(path, energy_key=None, forces_key=None)
    blocks = list(reader)
    energies = [block.columns.get("energy", np.full((len(block), 1), np.nan))[:, 0] for block in blocks]
    heights = [block.columns["positions"][:, 0, 2] for block in blocks]
    return np.concatenate([[], *energies]), np.concatenate([[], *heights]), reader.problems


def test_everything_that_a_trajectory_holds_is_read(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    with Trajectory(tmp_path / "run.traj", "w") as trajectory:
        for k in range(3):
            atoms = image(k)
            atoms.set_cell(np.diag([9.0, 8.0, 7.0]))
            atoms.pbc = (True, True, False)
            atoms.set_velocities(rng.normal(size=(3, 3)))
            atoms.set_masses([16.0, 2.0, 2.0])
            atoms.set_constraint(FixAtoms([0]))
            atoms.info.update(trajectory="t0", time=0.5 * k, charge=1)
            results = {"energy": float(k), "forces": np.full((3, 3), 0.5 * k), "stress": rng.normal(size=6)}
            atoms.calc = SinglePointCalculator(atoms, **results)
            frames.append(atoms)
            trajectory.write(atoms)
    assert recognise(tmp_path / "run.traj") == "ase"
    report, dataset = run(tmp_path, tmp_path / "run.traj")
    assert not report.problems
    (system,) = dataset.systems
    assert system.charge == 1 and system.masses.tolist() == [16, 2, 2]
    assert dataset.trajectories[0].name == "t0" and dataset.trajectories[0].dt == 0.5
    for atoms, frame in zip(frames, dataset, strict=True):
        np.testing.assert_array_equal(frame.positions, atoms.positions)
        np.testing.assert_array_equal(frame.cell, atoms.cell.array)
        assert frame.energy[0] == atoms.calc.results["energy"] and frame.pbc.tolist() == [True, True, False]
        np.testing.assert_allclose(frame.forces[:, 0], atoms.calc.results["forces"])  # of the fixed atom too
        np.testing.assert_allclose(frame.stress[0], atoms.calc.results["stress"], rtol=1e-6)
        np.testing.assert_allclose(frame.velocities, atoms.get_velocities() * ASE_VELOCITY, rtol=1e-6)


def test_a_molecular_dynamics_trajectory_is_one_and_a_collection_is_not(tmp_path):
    for name in ("md", "set"):
        with Trajectory(tmp_path / f"{name}.traj", "w") as trajectory:
            if name == "md":
                trajectory.set_description({"type": "molecular-dynamics"})
            for k in range(4):
                trajectory.write(image(k))
    _, dataset = run(tmp_path, tmp_path / "md.traj")
    assert [(each.name, each.count) for each in dataset.trajectories] == [("md", 4)]
    _, dataset = run(tmp_path, tmp_path / "set.traj")
    assert [(each.name, each.status) for each in dataset.trajectories] == [(None, "unordered")]


@pytest.mark.parametrize("suffix", ["db", "json"])
def test_databases_give_calculators_results_or_chosen_keys(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    with ase.db.connect(path) as database:
        for k in range(4):
            database.write(image(k), key_value_pairs={"dft": 10.0 * k}, data={"own": np.full((3, 3), 7.0 + k)})
    assert recognise(path) == "ase"
    report, dataset = run(tmp_path, path)
    assert dataset.batch(slice(None)).energy[:, 0].tolist() == [0, 1, 2, 3] and "not read: dft, own" in report.text()
    _, dataset = run(tmp_path, path, energy_key="dft", forces_key="own", every=2)
    batch = dataset.batch(slice(None))
    assert batch.energy[:, 0].tolist() == [0, 20] and batch.forces[::3, 0, 0].tolist() == [7, 9]
    with pytest.raises(ValueError, match=f"no frame of rows.{suffix} has the energy key 'mp2'"):
        run(tmp_path, path, energy_key="mp2")


def test_units_that_a_database_states_are_converted(tmp_path):
    path = tmp_path / "kcal.db"
    with ase.db.connect(path) as database:
        database.metadata = {
            "_distance_unit": "Bohr",
            "_property_unit_dict": {"energy": "kcal/mol", "forces": "Hartree/Bohr"},
        }
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.4]])
        database.write(atoms, data={"energy": np.array([2.0]), "forces": np.ones((2, 3))})
    _, dataset = run(tmp_path, path)
    bohr = unit_factor("Bohr")
    np.testing.assert_allclose(dataset[0].energy, [2 * kcal / mol])
    np.testing.assert_allclose(dataset[0].forces, Hartree / bohr, rtol=1e-6)
    np.testing.assert_allclose(dataset[0].positions[1, 2], 1.4 * bohr)
    with ase.db.connect(path) as database:
        database.metadata = {"_distance_unit": "cubit"}
    with pytest.raises(ValueError, match="the unit 'cubit' of the metadata is not known"):
        run(tmp_path, path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("eV", 1), ("eV/Ang", 1), ("kcal/mol", 0.0433641), ("Hartree", 27.211386), ("eV/A^3", 1), ("1/Bohr", 1.8897261)],
)
def test_units_are_taken_apart(text, value):
    assert unit_factor(text) == pytest.approx(value, rel=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_truncated_trajectory_gives_every_whole_image_and_a_sentence(tmp_path, whole, data):
    content = whole.read_bytes()
    stop = data.draw(st.integers(1000, len(content) - 1))
    path = tmp_path / "cut.traj"
    path.write_bytes(content[:stop])
    energies, heights, problems = read(path)
    assert energies.tolist() == list(range(len(energies)))
    np.testing.assert_allclose(heights, 0.01 * energies)
    assert len(energies) == NUM_IMAGES or "the file is truncated" in problems[0] or "ends after" in problems[0]
    ends = [place + 8 + int.from_bytes(content[place : place + 8], "little") for place in _image_places(whole)]
    assert len(energies) == sum(end <= stop for end in ends) and len(ends) == NUM_IMAGES


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutilated_file_is_read_or_refused_with_a_sentence(tmp_path, whole, data):
    content = whole.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=40))
    path = tmp_path / "bad.traj"
    path.write_bytes(content[:at] + garbage + content[at + len(garbage) :])
    energies, heights, problems = read(path)
    assert (len(energies) == NUM_IMAGES or problems) and np.isfinite(heights).all()


def test_a_truncated_database_gives_whole_rows(tmp_path):
    path = tmp_path / "rows.db"
    with ase.db.connect(path) as database:
        for k in range(400):
            database.write(image(k))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    report, dataset = run(tmp_path, path)
    assert 0 < len(dataset) < 400 and any("rows.db" in each for each in report.problems)
    (tmp_path / "no.traj").write_bytes(b"- of Ulm" + bytes(20))
    with pytest.raises(ValueError, match="no.traj: cannot be read: it holds no whole image"):
        run(tmp_path, tmp_path / "no.traj")
