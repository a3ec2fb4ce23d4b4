"""Newton-X: every whole frame with the state it ended in, forces of the active state alone, what was lost is said."""

import re

import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.data.importers.newtonx.log import lower_triangle
from mlff.data.importers.newtonx.raw import read_dyn
from mlff.data.importers.newtonx.run import NEWTON_X
from mlff.units import BOHR, HARTREE

from .newtonx_files import NUMBERS, Run, read


def test_a_run_is_read_in_the_units_of_the_package(tmp_path):
    run = Run()
    folder = run.write(tmp_path / "TRAJ1")
    assert NEWTON_X.matches(folder) and NEWTON_X.matches(folder / "RESULTS") and not NEWTON_X.matches(tmp_path)
    trajectory = read(folder)
    columns, facts = trajectory.columns, trajectory.system
    assert (trajectory.name, trajectory.dt, trajectory.status, trajectory.problems) == ("TRAJ1", 0.5, "complete", [])
    assert facts.atomic_numbers == NUMBERS and facts.masses == (12.0, 1.007825) and facts.num_states == 4
    assert np.allclose(columns["positions"], run.positions * BOHR, atol=1e-8)
    assert np.allclose(columns["energy"], run.energy * HARTREE, atol=3e-8)
    assert np.allclose(columns["kinetic_energy"], run.kinetic * HARTREE, atol=3e-8)
    moved = np.diff(columns["positions"], axis=0) / 0.5
    assert np.allclose(columns["velocities"][1:], moved, rtol=1e-3, atol=1e-6)
    assert columns["time"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5] and columns["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert columns["coefficients"].shape == (6, 4) and columns["coefficients"][5, 1] == 1 + 0.1j
    assert read(folder / "RESULTS").name == "TRAJ1"


def test_a_hop_is_on_the_frame_of_en_dat_not_one_later_as_in_dyn_out(tmp_path):
    run = Run(hop_at=3)
    dyn = read_dyn(run.write(tmp_path / "TRAJ1") / "RESULTS" / "dyn.out")
    assert dyn.state_before.tolist() == [3, 3, 3, 3, 2, 2]
    columns = read(tmp_path / "TRAJ1").columns
    assert columns["active_state"].tolist() == [2, 2, 2, 1, 1, 1] and columns["hop"].tolist() == [0, 0, 0, 1, 0, 0]
    (tmp_path / "TRAJ1" / "RESULTS" / "en.dat").unlink()  # dyn.out's own energies say it too
    without = read(tmp_path / "TRAJ1")
    assert without.columns["active_state"].tolist() == [2, 2, 2, 1, 1, 1]
    assert len(without.problems) == 1 and "en.dat is missing" in without.problems[0]


def test_states_of_one_energy_are_told_apart_by_the_name_that_the_next_frame_gives(tmp_path):
    run = Run(hop_at=3, degenerate=True)
    columns = read(run.write(tmp_path / "TRAJ1")).columns
    assert columns["active_state"].tolist()[:5] == [2, 2, 2, 1, 1]


def test_a_rejected_hop_is_a_frustrated_one_of_the_frame_before(tmp_path):
    run = Run(hop_at=99)
    text = run.dyn()
    for k in (4, 5):
        text = re.sub(rf"(STEP +{k} [^\n]*\n[^\n]*rejec\. hoppings =    )0", r"\g<1>1", text)
    assert read(run.write(tmp_path / "TRAJ1", dyn=text)).columns["hop"].tolist() == [0, 0, 0, 2, 0, 0]


def test_mass_times_acceleration_is_the_force_of_the_active_state_and_zeros_are_missing(tmp_path):
    run = Run(hop_at=3)
    forces = read(run.write(tmp_path / "TRAJ1")).columns["forces"]
    known = np.isfinite(forces).all(axis=(1, 3))
    assert [np.flatnonzero(each).tolist() for each in known] == [[2], [2], [2], [], [1], [1]]
    for k in (0, 1, 2, 4, 5):
        s = run.active[k]
        assert np.allclose(forces[k, :, s], -run.gradient[k][:, s] * HARTREE / BOHR, atol=0.007)
    old = read(run.write(tmp_path / "TRAJ2", log=run.log([], version="2.2")))
    assert "forces" not in old.columns and "before version 2.6" in old.problems[0]


def test_the_log_gives_gradients_and_couplings_in_lower_triangle_order(tmp_path):
    run = Run(hop_at=3)
    assert [(a + 1, b + 1) for a, b in lower_triangle(4)] == [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)]
    log = run.log([2, 3, 4, 5], zero=(2,))
    trajectory = read(run.write(tmp_path / "TRAJ1", dyn=run.dyn(acceleration=False), log=log))
    forces, nac, pairs = trajectory.columns["forces"], trajectory.columns["nac"], trajectory.system.nac_pairs
    for k in (2, 4, 5):
        s = run.active[k]
        assert np.allclose(forces[k, :, s], -run.gradient[k][:, s] * HARTREE / BOHR, atol=1e-6)
    assert np.isnan(forces[[0, 1, 3]]).all()
    assert len(trajectory.problems) == 1 and "gradient of 1 frames with a hop left out" in trajectory.problems[0]
    assert np.isnan(nac[:2]).all() and np.isnan(nac[:, :, pairs.index((1, 2))]).all()
    for p, (a, b) in enumerate([(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]):
        if (a, b) != (2, 1):  # what is printed is <a|d/dR|b> with a > b
            assert np.allclose(nac[2:, :, pairs.index((b, a))], -run.nac[2:, p] / BOHR, atol=2e-8)
    assert trajectory.system.phase == "tracked"
    raw = read(run.write(tmp_path / "TRAJ2", log=run.log(version="2.6", tracked=False)))
    assert raw.system.phase == "raw" and np.allclose(raw.columns["nac"][:, :, 0], run.nac[:, 0] / BOHR, atol=2e-8)


def test_a_run_without_a_log_is_of_the_same_system_as_one_with_it(tmp_path):
    run = Run()
    assert read(run.write(tmp_path / "A", log=run.log())).system == read(run.write(tmp_path / "B")).system


def test_a_restarted_run_counts_steps_again_and_its_repeated_frames_come_once(tmp_path):
    run = Run()
    text = run.dyn(range(5)) + "".join(run.step(k, number=k - 3) for k in range(3, 6))
    trajectory = read(run.write(tmp_path / "TRAJ1", dyn=text, en=run.en(range(5)) + run.en(range(3, 6))))
    assert trajectory.columns["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert np.allclose(trajectory.columns["positions"], run.positions * BOHR, atol=1e-8)
    assert len(trajectory.problems) == 1 and "2 frames of dyn.out dropped, whose times the" in trajectory.problems[0]


def test_a_crashed_run_and_one_that_wrote_nothing_say_so(tmp_path):
    run = Run()
    crashed = read(run.write(tmp_path / "TRAJ1", tmax=50))
    assert crashed.status == "crashed" and crashed.problems == ["TRAJ1: ends at 2.5 fs of 50 fs"]
    ended = read(run.write(tmp_path / "TRAJ2", tmax=50, log=run.log(version="2.6")))
    assert ended.status == "complete" and "ended by itself" in ended.notes[-1]
    folder = tmp_path / "TRAJ3"
    folder.mkdir()
    for name in ("control.dyn", "geom", "veloc"):
        (folder / name).write_text("")
    assert NEWTON_X.matches(folder)
    with pytest.raises(ValueError, match=r"no RESULTS/dyn.out; it wrote no frame"):
        read(folder)


def test_lines_of_en_dat_and_frames_that_have_no_partner_are_said(tmp_path):
    run = Run()
    more = read(run.write(tmp_path / "TRAJ1", dyn=run.dyn(range(4))))
    assert any("2 steps of en.dat, the first at 2 fs, have no frame" in each for each in more.problems)
    fewer = read(run.write(tmp_path / "TRAJ2", en=run.en(range(3)) + "    broken\n"))
    assert any("1 lines of en.dat cannot be read" in each for each in fewer.problems)
    assert any("3 frames, the first at 1.5 fs, have no line in en.dat" in each for each in fewer.problems)
    assert fewer.columns["active_state"].tolist() == [2, 2, 2, 1, 1, 1]


def test_charge_and_level_of_theory_come_from_the_input_of_orca_or_bagel(tmp_path):
    folder = Run().write(tmp_path / "TRAJ1")
    (folder / "JOB_AD").mkdir()
    (folder / "JOB_AD" / "orca.inp").write_text(
        "! PBE0 def2-TZVP ENGRAD\n%tddft\n tda true\nend\n*xyzfile -1 2 geom.xyz\n"
    )
    facts = read(folder).system
    assert facts.charge == -1 and facts.multiplicity == (2, 2, 2, 2) and facts.label[0] == "D0"
    assert facts.level_of_theory == "PBE0 def2-TZVP TDA-TDDFT"
    (folder / "JOB_NAD").mkdir()
    (folder / "JOB_NAD" / "bagelinput.part1.inp").write_text(
        '"basis" : "cc-pvdz", "charge" : 1, "method" : "caspt2", "ms" : "true", "xms" : "true"'
    )
    facts = read(folder).system
    assert facts.level_of_theory == "XMS-CASPT2/cc-pvdz" and facts.charge == 1 and not facts.multiplicity


def test_a_folder_of_runs_is_imported_whole_and_a_run_without_frames_is_reported(tmp_path):
    run = Run(num_frames=12)
    run.write(tmp_path / "runs" / "TRAJ1")
    run.write(tmp_path / "runs" / "TRAJ2", log=run.log(version="2.6"))
    empty = run.write(tmp_path / "runs" / "TRAJ3", dyn=run.dyn([]))
    assert {recognise(tmp_path / "runs" / f"TRAJ{k}") for k in (1, 2, 3)} == {"newton-x"}
    report = import_sources([tmp_path / "runs"], tmp_path / "out.h5", charge=0)
    dataset = HDF5Dataset(tmp_path / "out.h5")
    assert [(each.name, each.count) for each in dataset.trajectories] == [("TRAJ1", 12), ("TRAJ2", 12)]
    assert len(dataset.systems) == 1
    assert any(str(empty) in each and "dyn.out has no whole frame" in each for each in report.problems)
    valid = dataset.systems[0].read("forces_valid", slice(0, 24))
    assert (valid.sum(axis=1) == 1 - dataset.systems[0].read("hop", slice(0, 24))).all()
