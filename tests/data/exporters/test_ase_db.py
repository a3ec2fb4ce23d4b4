"""ASE databases: SPaiNN's layout for several states, SchNetPack's for one, read back by our importer and by ASE."""

import ase.db
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.exporters import export_frames
from mlff.data.importers import import_sources
from mlff.units import BOHR, HARTREE

from .native_files import PLACES, SIZES, STATES, compare, random_columns, written

NAMES = ["positions", "energy", "forces", "nac", "interstate_coupling", "dipole"]


def molecule(path, rng, *, multiplicity=(1, 1, 3), num_frames=7, missing=0.0, **pairs):
    facts = STATES | {"multiplicity": list(multiplicity), "spin_states": (), "soc_pairs": ()} | pairs
    sizes = SIZES | {"P": len(facts["nac_pairs"]), "Q": len(facts["dipole_pairs"])}
    columns = random_columns(rng, num_frames, sizes, [*NAMES, "active_state", "time", "step"], missing=missing)
    # as the importer checks it: coupling = nac (E_j - E_i)
    i, j = np.array(facts["nac_pairs"]).T
    gaps = (columns["energy"][:, j] - columns["energy"][:, i])[:, None, :, None]
    columns["interstate_coupling"] = columns["nac"] * gaps
    with HDF5Writer(path, overwrite=True, durable=False) as writer:
        writer.add_system("CH3+", [6, 1, 1, 1], **facts)
        writer.add_trajectory("CH3+", columns, name="t0")
    return HDF5Dataset(path)


def there_and_back(dataset, folder):
    export_frames(dataset, folder / "out.db", to="ase-db", overwrite=True)
    report = import_sources([folder / "out.db"], folder / "back.h5", overwrite=True, charge=1)
    return HDF5Dataset(folder / "back.h5"), report


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.3]))
@pytest.mark.parametrize(
    ("multiplicity", "nac_pairs"),
    [((1, 1, 3), [(0, 1)]), ((1, 1, 1), [(1, 2), (0, 1), (0, 2)]), ((1, 3, 3), [(0, 1), (1, 2)])],
)
def test_every_number_comes_back(tmp_path, multiplicity, nac_pairs, seed, missing):
    dataset = molecule(
        tmp_path / "in.h5",
        np.random.default_rng(seed),
        multiplicity=multiplicity,
        nac_pairs=nac_pairs,
        dipole_pairs=[(0, 0), (0, 1), (1, 1), (2, 2)],
        missing=missing,
    )
    energies = np.isfinite(dataset.systems[0].read("energy"))
    kept = np.flatnonzero(energies.any(axis=1))
    if not len(kept):
        return
    back, _ = there_and_back(dataset, tmp_path)
    a, b = dataset.systems[0], back.systems[0]
    assert b.multiplicities == multiplicity and b.phase == "aligned" and b.charge == 1
    assert b.level_of_theory == a.level_of_theory
    for name in NAMES:
        x, y = a.read(name)[kept], b.read(name)
        if name in ("nac", "interstate_coupling", "dipole"):
            of = (lambda system: system.dipole_pairs) if name == "dipole" else (lambda system: system.nac_pairs)
            if not np.isfinite(x).any():
                continue
            x = np.stack([x[..., of(a).index(pair), :] for pair in of(a)], axis=-2)
            rest = [k for k, pair in enumerate(of(b)) if pair not in of(a)]
            assert np.isnan(y[..., rest, :]).all()
            y = np.stack([y[..., of(b).index(pair), :] for pair in of(a)], axis=-2)
        np.testing.assert_allclose(y, x, rtol=1e-6 if x.dtype == np.float32 else 4e-16, err_msg=name)


def test_rows_have_spainns_layout_and_units(tmp_path):
    dataset = molecule(tmp_path / "in.h5", np.random.default_rng(0), multiplicity=(1, 1, 1))
    export_frames(dataset, tmp_path / "out.db", to="ase-db")
    database = ase.db.connect(tmp_path / "out.db")
    assert database.metadata["_distance_unit"] == "Bohr" and database.metadata["phasecorrected"] is True
    assert database.metadata["states"] == "S S S" and database.metadata["n_singlets"] == 3
    assert database.metadata["_property_unit_dict"] == {
        "energy": "Hartree", "forces": "Hartree/Bohr", "nacs": "1", "smooth_nacs": "1", "dipoles": "1"
    }  # fmt: skip
    rows = list(database.select())
    assert len(rows) == len(dataset)
    for row, frame in zip(rows, dataset, strict=True):
        np.testing.assert_allclose(row.positions, frame.positions / BOHR, rtol=1e-15)
        assert row.data.energy.shape == (1, 3) and row.data.forces.shape == (4, 3, 3)
        np.testing.assert_allclose(row.data.energy[0], frame.energy / HARTREE, rtol=1e-15)
        np.testing.assert_allclose(row.data.forces, frame.forces / (HARTREE / BOHR), rtol=1e-6)
        assert row.data.nacs.shape == (4, 3, 3) and np.isnan(row.data.nacs[:, 1]).all()  # pair (0, 2) is not there
        np.testing.assert_allclose(row.data.nacs[:, [0, 2]], frame.nac * BOHR, rtol=1e-6)
        energy = row.data.energy[0]
        expected = row.data.nacs[:, 0] * (energy[0] - energy[1])
        np.testing.assert_allclose(row.data.smooth_nacs[:, 0], expected, rtol=1e-5)
        assert row.data.dipoles.shape == (6, 3)
        assert row.trajectory == "t0" and row.time == frame.time and row.step == frame.step
    assert len(list(database.select(active_state=1))) == sum(frame.active_state == 1 for frame in dataset)


def test_one_state_is_plain_ase_and_what_schnetpack_asks_for(tmp_path):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(1), only="NaCl", missing=0.3)
    report = export_frames(dataset, tmp_path / "out.db", to="ase-db")
    database = ase.db.connect(tmp_path / "out.db")
    assert database.metadata["_distance_unit"] == "Ang" and database.metadata["atomrefs"] == {}
    assert database.metadata["_property_unit_dict"] == {"energy": "eV", "forces": "eV/Ang"}
    frames = [frame for frame in dataset if frame.energy_valid[0]]
    assert any("frames without any energy were left out" in line for line in report.lines) == (
        len(frames) < len(dataset)
    )
    assert report.files == [(tmp_path / "out.db", len(frames))]
    for row, frame in zip(database.select(), frames, strict=True):
        atoms = row.toatoms()
        np.testing.assert_array_equal(atoms.positions, frame.positions)
        np.testing.assert_array_equal(atoms.cell.array, frame.cell)
        np.testing.assert_array_equal(atoms.pbc, frame.pbc)
        assert atoms.get_potential_energy() == frame.energy[0] == row.data.energy[0]
        assert row.data.forces.shape == (2, 3)
        np.testing.assert_array_equal(row.data.forces.astype("f4"), frame.forces[:, 0])
        if frame.forces_valid[0]:
            np.testing.assert_array_equal(atoms.get_forces().astype("f4"), frame.forces[:, 0])
        if frame.stress is not None:
            np.testing.assert_array_equal(atoms.get_stress().astype("f4"), frame.stress[0])


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_one_state_comes_back_as_it_was(tmp_path, seed):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(seed), only="NaCl", missing=0.0)
    back, _ = there_and_back(dataset, tmp_path)
    compare(dataset, back, ["positions", "cell", "pbc", "energy", "forces", "stress", "time", "step", "kinetic_energy"])


def test_isotopes_are_kept(tmp_path):
    with HDF5Writer(tmp_path / "in.h5") as writer:
        writer.add_system("D2", [1, 1], masses=[2.014, 2.014])
        writer.add_trajectory("D2", {"positions": PLACES[None, :2], "energy": np.zeros((1, 1))})
    export_frames(HDF5Dataset(tmp_path / "in.h5"), tmp_path / "out.db", to="ase-db")
    assert ase.db.connect(tmp_path / "out.db").get_atoms(1).get_masses().tolist() == [2.014, 2.014]


def test_each_system_gets_a_file_and_numbers_as_names_are_told_apart(tmp_path):
    with HDF5Writer(tmp_path / "in.h5") as writer:
        for name, numbers in (("CH3", [6, 1, 1, 1]), ("NH3", [7, 1, 1, 1])):
            writer.add_system(name, numbers)
            writer.add_trajectory(name, {"positions": PLACES[None], "energy": np.zeros((1, 1))}, name="007")
    report = export_frames(HDF5Dataset(tmp_path / "in.h5"), tmp_path / "out.db", to="ase-db")
    assert [path.name for path, _ in report.files] == ["out-CH3.db", "out-NH3.db"]
    assert next(ase.db.connect(tmp_path / "out-NH3.db").select()).trajectory == "trajectory_007"


def test_runs_of_sharc_go_through_spainns_layout(tmp_path, shared_data):
    runs = sorted((shared_data / "surface_hopping" / "sharc_v2_ch2nh2").glob("TRAJ*"))
    import_sources(runs, tmp_path / "in.h5", charge=1)
    dataset = HDF5Dataset(tmp_path / "in.h5")
    back, report = there_and_back(dataset, tmp_path)
    assert not report.problems
    a, b = dataset.systems[0], back.systems[0]
    assert (b.nac_pairs, b.dipole_pairs, b.multiplicities) == (a.nac_pairs, a.dipole_pairs, a.multiplicities)
    for name in ("positions", "energy"):
        np.testing.assert_allclose(b.read(name), a.read(name), rtol=4e-16)
    for name in ("forces", "nac", "dipole"):
        np.testing.assert_allclose(b.read(name), a.read(name), rtol=1e-7, atol=0)
        np.testing.assert_array_equal(b.read(f"{name}_valid"), a.read(f"{name}_valid"))
