"""Extended xyz: ASE reads the numbers as they were, our importer too, and what is missing is left out."""

import numpy as np
import pytest
from ase.io import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.exporters import export_frames
from mlff.data.importers import import_sources

from .native_files import compare, written


def as_stored(values):
    """Text of a float32 holds as many digits as the number has, so it is read as another float64."""
    return np.asarray(values, dtype=np.float32)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.3, 0.9]), state=st.integers(0, 2))
def test_ase_reads_every_number_and_nothing_that_is_missing(tmp_path, seed, missing, state):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(seed), missing=missing)
    names = [each.name for each in dataset.trajectories if each.name and each.name.startswith("CH3")]
    export_frames(dataset, tmp_path / "out.xyz", to="extxyz", state=state, trajectories=names, overwrite=True)
    images = read(tmp_path / "out.xyz", index=":")
    frames = [frame for name in names for frame in dataset.trajectory(name)]
    assert len(images) == len(frames)
    for atoms, frame in zip(images, frames, strict=True):
        np.testing.assert_array_equal(atoms.positions, frame.positions)
        np.testing.assert_array_equal(atoms.numbers, frame.atomic_numbers)
        held = atoms.calc.results if atoms.calc else {}
        assert held.get("energy", np.nan) == pytest.approx(frame.energy[state], rel=0, abs=0, nan_ok=True)
        assert ("forces" in held) == frame.forces_valid[state]
        if frame.forces_valid[state]:
            np.testing.assert_array_equal(as_stored(held["forces"]), frame.forces[:, state])
        for k in range(3):
            assert atoms.info.get(f"energy_{k}", np.nan) == pytest.approx(frame.energy[k], rel=0, abs=0, nan_ok=True)
            assert (f"forces_{k}" in atoms.arrays) == frame.forces_valid[k]
            if frame.forces_valid[k]:
                np.testing.assert_array_equal(as_stored(atoms.arrays[f"forces_{k}"]), frame.forces[:, k])
        if frame.velocities is None:
            assert "velocities" not in atoms.arrays
        else:
            np.testing.assert_array_equal(as_stored(atoms.arrays["velocities"]), frame.velocities)
        assert atoms.info.get("active_state", -1) == frame.active_state and atoms.info["hop"] == frame.hop
        assert atoms.info.get("kinetic_energy") == frame.kinetic_energy and atoms.info.get("time") == frame.time
        assert atoms.info["trajectory"] == frame.trajectory and atoms.info["step"] == frame.step
        assert atoms.info["charge"] == 1 and atoms.info["level_of_theory"] == "MR-CI / aug-cc-pVDZ"


HELD = ["positions", "velocities", "cell", "pbc", "energy", "forces", "stress", "time", "step", "active_state", "hop",
        "kinetic_energy"]  # fmt: skip


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.3]), state=st.integers(0, 2))
@pytest.mark.parametrize("system", ["CH3+", "NaCl"])
def test_every_number_comes_back_as_it_was(tmp_path, system, seed, missing, state):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(seed), missing=missing, only=system)
    state = min(state, dataset.num_states - 1)
    export_frames(dataset, tmp_path / "out.xyz", to="extxyz", overwrite=True, state=state)
    import_sources([tmp_path / "out.xyz"], tmp_path / "back.h5", overwrite=True)
    back = HDF5Dataset(tmp_path / "back.h5")
    compare(dataset, back, HELD)
    (a,), (b,) = dataset.systems, back.systems
    assert b.charge == a.charge and b.level_of_theory == a.level_of_theory
    np.testing.assert_allclose(b.masses, a.masses, atol=1e-6)


def test_runs_of_sharc_come_back(tmp_path, shared_data):
    runs = sorted((shared_data / "surface_hopping" / "sharc_v2_ch2nh2").glob("TRAJ*"))
    import_sources(runs, tmp_path / "in.h5", charge=1)
    dataset = HDF5Dataset(tmp_path / "in.h5")
    export_frames(dataset, tmp_path / "out.xyz", to="extxyz")
    report = import_sources([tmp_path / "out.xyz"], tmp_path / "back.h5")
    compare(dataset, HDF5Dataset(tmp_path / "back.h5"), HELD)
    assert not report.problems


def test_a_split_becomes_three_files_that_are_read_as_that_split(tmp_path, azobenzene):
    report = export_frames(azobenzene, tmp_path / "azo.xyz", to="extxyz", split="time", trajectories=["t000", "t001"])
    assert [path.name for path, _ in report.files] == ["azo_train.xyz", "azo_val.xyz", "azo_test.xyz"]
    import_sources([tmp_path], tmp_path / "back.h5", split_name="time")
    back = HDF5Dataset(tmp_path / "back.h5")
    for name in ("t000", "t001"):
        a, b = azobenzene.trajectory(name), back.trajectory(name)
        np.testing.assert_array_equal(b.batch(np.arange(len(b))).positions, a.batch(np.arange(len(a))).positions)
        np.testing.assert_array_equal(b.batch(np.arange(len(b))).forces, a.batch(np.arange(len(a))).forces)
    assert back.split_attrs("time")["kind"] == "time"
    chosen = np.concatenate([azobenzene.trajectory(name).indices for name in ("t000", "t001")])
    for part, indices in azobenzene.split("time").items():
        assert len(back.split("time")[part]) == np.isin(indices, chosen).sum() > 0


def test_what_it_cannot_hold_is_said(tmp_path):
    dataset = written(tmp_path / "in.h5", np.random.default_rng(5), missing=0.0)
    report = export_frames(dataset, tmp_path / "out.xyz", to="extxyz")
    assert report.lines[0].startswith(
        "extended xyz has no place for nac, interstate_coupling, dipole, soc_magnitude, soc,"
    )
    assert report.lines[1] == "extended xyz has no place for the states' multiplicities: left out"


def test_names_with_spaces_and_quotes_and_isotopes_are_kept(tmp_path):
    with HDF5Writer(tmp_path / "in.h5") as writer:
        writer.add_system("H2", [1, 1], masses=[2.014, 1.008])
        writer.add_trajectory("H2", {"positions": np.eye(3)[None, :2], "energy": np.zeros((1, 1))}, name='run "7" = ä')
    export_frames(HDF5Dataset(tmp_path / "in.h5"), tmp_path / "out.xyz", to="extxyz")
    atoms = read(tmp_path / "out.xyz")
    assert atoms.info["trajectory"] == 'run "7" = ä'
    np.testing.assert_array_equal(atoms.get_masses(), [2.014, 1.008])
    assert not atoms.cell.any() and not atoms.pbc.any()
