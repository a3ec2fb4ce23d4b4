"""SHARC runs in text form, on small runs of our own writing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, HARTREE

from .sharc_files import SharcRun
from .sharc_reading import SINGLETS, SLOW_OK, TRIPLETS, compare, read


@pytest.mark.parametrize("version", ["2.0", "3.0", "4.0"])
@pytest.mark.parametrize("nstates", [SINGLETS, TRIPLETS, [1, 0, 0], [0, 2]])
def test_every_number_of_an_ascii_run_is_read(run_folder, version, nstates):
    run = SharcRun([6, 1, 1], nstates, 4)
    trajectory = read(run_folder(run.ascii(version)))
    compare(trajectory, run, gradients=True)
    assert trajectory.status == "complete" and not trajectory.problems


def test_the_diagonal_state_and_its_probabilities_are_unknown_where_the_run_does_not_say(run_folder):
    run = SharcRun([6, 1, 1], TRIPLETS, 4)
    run.held["hopping_probability"][[0, 2]] = 0  # before the first step, and a step without any chance to hop
    run.held["state"][1] = [6, 0]
    trajectory = read(run_folder(run.ascii()))
    columns = trajectory.columns
    assert np.isnan(columns["hopping_probability"][0]).all() and not columns["hopping_probability"][2].any()
    assert columns["active_diagonal_state"][1] == -1 and columns["active_spin_state"][1] == -1
    assert trajectory.problems == [
        f"TRAJ_00001: the active {basis} state of 1 frames is none of the 5: unknown there"
        for basis in ("MCH", "diagonal")
    ]
    assert trajectory.notes[0].endswith("; no place for: random numbers, run times")


def test_gradients_that_were_not_computed_are_missing_not_zero(run_folder, tmp_path):
    run = SharcRun([6, 1, 1], SINGLETS, 4)
    run.held["gradients"][1:, 0] = 0
    run.held["nac"][2, 0, 1] = run.held["nac"][2, 1, 0] = 0
    folder = run_folder(run.ascii())
    import_sources([folder], tmp_path / "out.h5")
    system = HDF5Dataset(tmp_path / "out.h5").systems[0]
    assert system.read("forces_valid").tolist() == [[True] * 3] + [[False, True, True]] * 3
    assert system.read("nac_valid")[:, 0].tolist() == [True, True, False, True]
    assert np.isnan(system.read("forces")[1:, :, 0]).all()


def test_the_gradient_of_any_component_is_the_gradient_of_its_state(run_folder):
    run = SharcRun([6, 1, 1], TRIPLETS, 2)
    run.held["gradients"][:, 2] = 0  # of T1, M_S = -1
    forces = read(run_folder(run.ascii())).columns["forces"]
    np.testing.assert_allclose(forces[:, :, 2], -run.held["gradients"][:, 3] * HARTREE / BOHR, rtol=1e-9)


def test_step_numbers_may_skip_and_times_may_be_written(run_folder):
    run = SharcRun([6, 1], SINGLETS, 4, step=np.arange(4) * 5)
    trajectory = read(run_folder(run.ascii()))
    assert trajectory.dt == pytest.approx(5 * 0.5, abs=1e-6) and trajectory.columns["step"].tolist() == [0, 5, 10, 15]
    adaptive = read(run_folder(run.ascii(adaptive=True), "adaptive"))
    np.testing.assert_allclose(adaptive.columns["time"], (run.step * run.dtstep + 0.25) * ATOMIC_TIME, rtol=1e-9)


def test_hops_are_of_the_active_state_not_of_its_components(run_folder):
    run = SharcRun([6, 1], TRIPLETS, 5)
    run.held["state"][:, 1] = [2, 3, 4, 5, 1]  # S1, T1 three times, S0
    assert read(run_folder(run.ascii())).columns["hop"].tolist() == [0, 1, 0, 0, 1]


def test_a_restart_that_writes_steps_again_keeps_the_later_ones(run_folder):
    run = SharcRun([6, 1], SINGLETS, 6)
    run.step[:] = [0, 1, 2, 3, 2, 3]
    trajectory = read(run_folder(run.ascii()))
    assert trajectory.columns["step"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(trajectory.columns["positions"], run.held["positions"][[0, 1, 4, 5]] * BOHR, atol=1e-9)
    assert trajectory.problems == ["TRAJ_00001: 2 frames dropped whose steps the restarted run wrote again"]


def test_exponents_without_a_letter_are_read(run_folder):
    run = SharcRun([6, 1], SINGLETS, 2)
    run.held["velocities"][1, 0, 0] = 1.5e-120
    text = run.ascii().replace("1.500000000000E-120", "1.500000000000-120")
    assert "1.500000000000-120" in text
    assert read(run_folder(text)).columns["velocities"][1, 0, 0] == pytest.approx(1.5e-120 * ATOMIC_VELOCITY, rel=1e-6)


def test_charge_is_read_from_the_input_else_from_the_option(run_folder, tmp_path):
    folder = run_folder(SharcRun([6, 1], TRIPLETS, 2).ascii())
    report = import_sources([folder], tmp_path / "none.h5")
    assert "does not say the charge: 0 is stored" in report.text()
    import_sources([folder], tmp_path / "given.h5", charge=2, level_of_theory="CASSCF")
    (folder / "input").write_text("nstates 2 0 1\ncharge 1 0 1\n")
    import_sources([folder], tmp_path / "said.h5", charge=2)
    charges = [HDF5Dataset(tmp_path / f"{name}.h5").systems[0].charge for name in ("none", "given", "said")]
    assert charges == [0, 2, 1] and HDF5Dataset(tmp_path / "given.h5").systems[0].level_of_theory == "CASSCF"


def test_the_same_run_twice_is_told(run_folder, tmp_path):
    text = SharcRun([6, 1], SINGLETS, 3).ascii()
    folders = [run_folder(text, name) for name in ("Singlet_1/TRAJ_00001", "Singlet_2/TRAJ_00001")]
    report = import_sources(folders, tmp_path / "out.h5")
    assert any("Singlet_2/TRAJ_00001: the same file as" in each for each in report.problems)
    assert [row.name for row in report.rows] == ["TRAJ_00001", "Singlet_2/TRAJ_00001"]
    assert HDF5Dataset(tmp_path / "out.h5").report == tuple(report.problems)


def test_workers_write_the_same_file_in_the_same_order(run_folder, tmp_path):
    folders = [run_folder(SharcRun([6, 1], SINGLETS, 3, seed=k).ascii(), f"TRAJ_{k}") for k in range(5)]
    folders[2].joinpath("output.dat").write_text("SHARC_version 3.0\n")
    told = []
    one = import_sources(folders, tmp_path / "one.h5", progress=lambda *each: told.append(each))
    assert told == [(k, 5) for k in range(1, 6)]
    two = import_sources(folders, tmp_path / "two.h5", workers=2)
    assert one == two and any("TRAJ_2: output.dat has no whole SHARC header" in each for each in one.problems)
    first, second = (HDF5Dataset(tmp_path / f"{name}.h5") for name in ("one", "two"))
    assert first.trajectories == second.trajectories
    for name in first.systems[0].names:
        np.testing.assert_array_equal(first.systems[0].read(name), second.systems[0].read(name))
    with pytest.raises(ValueError, match="`workers` is 0"):
        import_sources(folders, tmp_path / "none.h5", workers=0)


def test_a_folder_of_runs_is_searched_and_a_ruined_run_is_a_line(run_folder, tmp_path):
    run = SharcRun([6, 1], SINGLETS, 3)
    for k in range(3):
        run_folder(run.ascii(), f"Singlet_2/TRAJ_{k:05d}")
    ruined = run_folder("SHARC_version 3.0\n natom 2\n", "Singlet_2/TRAJ_00003")
    (tmp_path / "Singlet_2" / "notes").mkdir()
    report = import_sources([tmp_path / "Singlet_2"], tmp_path / "out.h5", every=2)
    assert report.num_frames == 6 and "nstates_m, dtstep, End of settings" not in report.text()
    assert any("TRAJ_00003" in each and "no whole SHARC header" in each for each in report.problems)
    assert [each.name for each in HDF5Dataset(tmp_path / "out.h5").trajectories] == [f"TRAJ_{k:05d}" for k in range(3)]
    with pytest.raises(ValueError, match="`--energy-key` has no effect on sharc data"):
        import_sources([tmp_path / "Singlet_2"], tmp_path / "key.h5", energy_key="E")
    with pytest.raises(ValueError, match="`--strict` was given"):
        import_sources([tmp_path / "Singlet_2"], tmp_path / "strict.h5", strict=True)
    with pytest.raises(ValueError, match="no whole frame was found"):
        import_sources([ruined], tmp_path / "none.h5")


@SLOW_OK
@given(data=st.data())
def test_a_truncated_run_gives_exactly_its_whole_frames(tmp_path_factory, data):
    run = SharcRun([6, 1], data.draw(st.sampled_from([SINGLETS, TRIPLETS])), 4)
    text = run.ascii()
    header = len(run.header())
    length = len(run.frame(0))
    cut = data.draw(st.integers(header + length, len(text)))
    folder = tmp_path_factory.mktemp("cut")
    (folder / "output.dat").write_text(text[:cut])
    trajectory = read(folder)
    whole = (cut - header) // length
    assert trajectory.num_frames == whole
    np.testing.assert_allclose(trajectory.columns["positions"], run.held["positions"][:whole] * BOHR, atol=1e-9)
    assert bool(trajectory.problems) == (cut < len(text))


@SLOW_OK
@given(data=st.data())
def test_a_mutilated_run_loses_no_frame_in_silence(tmp_path_factory, data):
    run = SharcRun([6, 1], SINGLETS, 5)
    text, header, length = run.ascii(), len(run.header()), len(run.frame(0))
    first = data.draw(st.integers(header, len(text) - 2))
    last = data.draw(st.integers(first + 1, min(first + 3 * length, len(text))))
    filling = data.draw(st.sampled_from(["", "\n", "****", "nan", "x y z\n", "! 7 Ekin (a.u.)\n"]))
    folder = tmp_path_factory.mktemp("hole")
    (folder / "output.dat").write_text(text[:first] + filling + text[last:])
    try:
        trajectory = read(folder)
    except ValueError as error:
        assert "no whole frame" in str(error)
        return
    touched = range((first - header) // length, (last - 1 - header) // length + 1)
    untouched = [k for k in range(5) if k not in touched]
    assert set(untouched) <= set(trajectory.columns["step"].tolist())
    kept = dict(zip(trajectory.columns["step"].tolist(), trajectory.columns["positions"], strict=True))
    for k in untouched:
        np.testing.assert_allclose(kept[k], run.held["positions"][k] * BOHR, atol=1e-9)
    if trajectory.num_frames < 5:
        assert trajectory.problems
