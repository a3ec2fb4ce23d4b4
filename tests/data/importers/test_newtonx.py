"""Newton-X: every whole frame with the state it ended in, forces of the active state alone, what was lost is said."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import ImportOptions, import_sources, recognise
from mlff.data.importers.newtonx.log import lower_triangle
from mlff.data.importers.newtonx.raw import read_dyn
from mlff.data.importers.newtonx.run import NEWTON_X, read_newtonx
from mlff.units import ATOMIC_TIME, BOHR, ELECTRON_MASS, HARTREE, KINETIC

MASSES = np.array([12.0, 1.00782504])
NUMBERS = (6, 1)
DT = 0.5
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Run:
    """A made-up run: two atoms on parabolas, one for each state, along a straight line, printed as Newton-X prints."""

    def __init__(self, num_frames=6, num_states=4, hop_at=3, degenerate=False):
        self.num_frames, self.num_states = num_frames, num_states
        time = np.arange(num_frames) * DT / ATOMIC_TIME
        start = np.array([[0.1, -0.2, 0.3], [0.2, 1.9, -0.4]])
        velocity = np.array([[1e-4, 2e-4, -1e-4], [-12e-4, 20e-4, 8e-4]])
        self.velocities = np.repeat(velocity[None], num_frames, axis=0)
        self.positions = start + velocity * time[:, None, None]
        stiff = 0.4 + 0.1 * np.arange(num_states)
        away = self.positions[:, 1] - self.positions[:, 0] - np.array([0.0, 2.0, 0.0])
        self.energy = -40 + 0.1 * np.arange(num_states) + stiff / 2 * (away**2).sum(axis=1)[:, None]
        if degenerate:
            self.energy[:, 1] = self.energy[:, 2]
        pull = stiff[:, None] * away[:, None]  # [F,S,3]
        self.gradient = np.stack([-pull, pull], axis=1)  # [F,N,S,3]
        self.active = np.where(np.arange(num_frames) >= hop_at, 1, 2)
        self.kinetic = 0.5 * (MASSES[:, None] * self.velocities**2).sum(axis=(1, 2)) / ELECTRON_MASS
        self.nac = np.random.default_rng(1).normal(size=(num_frames, len(lower_triangle(num_states)), 2, 3))

    def step(self, k, *, number=None, acceleration=True):
        before = self.active[max(k - 1, 0)] + 1
        hops = int(k > 0 and (self.active[1:k] != self.active[: k - 1]).sum())
        word = "Initial" if k == 0 else "New"
        atoms = "".join(
            f" {'CH'[a]}     {NUMBERS[a]:.1f}{x[0]:14.8f}{x[1]:14.8f}{x[2]:14.8f}{MASSES[a]:14.8f}\n"
            for a, x in enumerate(self.positions[k])
        )
        text = (
            f"STEP {k if number is None else number:8d}    Molecular dynamics on state {before:2d}    "
            f"TIME = {k * DT:10.2f} fs\nType of dyn. =    4    N. of hoppings = {hops:4d}    N. of rejec. hoppings =    0"
            f"\n \n  {word} geometry: \n{atoms} \n  {word} velocity: \n{table(self.velocities[k])}"
        )
        if acceleration:
            hopped = k > 0 and self.active[k] != self.active[k - 1]
            value = -self.gradient[k][:, self.active[k]] / MASSES[:, None] * ELECTRON_MASS * (not hopped)
            text += f" \n  {word} acceleration: \n{table(value)}"
        total = self.kinetic[k] + self.energy[k, self.active[k]]
        text += f" \n     Time    Etot         Ekin       Epot E0,      E1, ...\n%{k * DT:11.3f}{total:16.9f}"
        text += f"{self.kinetic[k]:16.9f}{numbers(self.energy[k])}\n"
        text += "Etot variation =   0.000000 au    Worse conservation =   0.000000 au\n \n"
        text += "".join(
            f" Wave function state {s + 1:2d}: {float(s == self.active[k]):24.14f} {0.1 * s:24.14f}\n"
            for s in range(self.num_states)
        )
        return text + " \n ------------\n \n"

    def dyn(self, steps=None, **options):
        steps = range(self.num_frames) if steps is None else steps
        head = f" \n      *** Molecular Dynamics ***\n \nOutput printed at each kt=   1 steps ( {DT:.2f} fs).\n \n"
        return head + "".join(self.step(k, **options) for k in steps)

    def en(self, steps=None):
        steps = range(self.num_frames) if steps is None else steps
        return "".join(
            f"{k * DT:10.3f}{numbers(self.energy[k])}{self.energy[k, self.active[k]]:16.9f}"
            f"{self.kinetic[k] + self.energy[k, self.active[k]]:16.9f}\n"
            for k in steps
        )

    def log(self, steps=None, *, version="2.2", zero=(), tracked=True):
        text = f"    Newton-X version {version} (build 5, 2018-04-11)\n"
        for k in range(self.num_frames) if steps is None else steps:
            before = self.active[max(k - 1, 0)]
            pairs = np.where(np.isin(np.arange(len(self.nac[k])), zero)[:, None, None], 0, self.nac[k]).reshape(-1, 3)
            text += f"\n run-bagel.pl: //// GRAD  \nGradient vectors (a.u.) = \n{table(self.gradient[k][:, before])}"
            text += (
                f"\n run-bagel.pl: //// NONAD \nNACME vectors (a.u.) = \n{table(-pairs)}The global phase is:  -1\n\n"
            )
            if tracked:
                text += f"Nonadiabatic coupling vectors after phase adjustment (a.u.):\n{table(pairs)} \n"
            text += (
                f"            FINISHING STEP {k}, TIME {k * DT:.4f} fs on SURFACE {self.active[k] + 1}            \n"
            )
        return text + "          ====================== NEWTON-X ends here ==================  \n"

    def write(self, folder, *, dyn=None, en=None, log=None, tmax=None):
        (folder / "RESULTS").mkdir(parents=True, exist_ok=True)
        (folder / "RESULTS" / "dyn.out").write_text(self.dyn() if dyn is None else dyn)
        if en is not False:
            (folder / "RESULTS" / "en.dat").write_text(self.en() if en is None else en)
        if log is not None:
            (folder / "moldyn.log").write_text(log)
        tmax = (self.num_frames - 1) * DT if tmax is None else tmax
        (folder / "control.dyn").write_text(f"&input\n nat = 2\n dt = {DT}\n tmax = {tmax}\n/\n")
        return folder


def table(rows):
    return "".join("".join(f"{x:14.8f}" for x in row) + "\n" for row in np.reshape(rows, (-1, 3)))


def numbers(values):
    return "".join(f"{x:16.9f}" for x in values)


def read(folder):
    (trajectory,) = read_newtonx([folder], ImportOptions())
    return trajectory


# -- made-up runs ------------------------------------------------------------------------------------------------------


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


# -- damaged files -----------------------------------------------------------------------------------------------------


def kept_frames(run, trajectory):
    """Which frames of the run these are; all numbers as in the whole run."""
    rows = [int(round(time / DT)) for time in trajectory.columns["time"]]
    assert np.allclose(trajectory.columns["positions"], run.positions[rows] * BOHR, atol=1e-8)
    assert np.allclose(trajectory.columns["velocities"] / BOHR * ATOMIC_TIME, run.velocities[rows], atol=1e-8)
    assert np.allclose(trajectory.columns["energy"], run.energy[rows] * HARTREE, atol=3e-8)
    assert rows == sorted(set(rows))
    return rows


@SLOW
@given(data=st.data())
def test_dyn_out_cut_at_any_byte_gives_every_whole_frame_and_says_what_was_lost(tmp_path, data):
    run = Run()
    text = run.dyn()
    cut = data.draw(st.integers(0, len(text)))
    folder = run.write(tmp_path / "TRAJ", dyn=text[:cut])
    whole = len(re.findall(r"(?m)^%.*\n", text[:cut]))
    if not whole:
        with pytest.raises(ValueError, match="no whole frame"):
            read(folder)
        return
    trajectory = read(folder)
    assert kept_frames(run, trajectory) == list(range(whole))
    complete = np.isfinite(trajectory.columns["coefficients"]).all() if "coefficients" in trajectory.columns else False
    assert trajectory.problems or (whole == run.num_frames and complete)


@SLOW
@given(data=st.data())
def test_dyn_out_with_lines_lost_loses_only_their_frames_and_says_so(tmp_path, data):
    run = Run()
    lines = run.dyn().splitlines(keepends=True)
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1, max_size=4))
    folder = run.write(tmp_path / "TRAJ", dyn="".join(line for k, line in enumerate(lines) if k not in gone))
    step = np.cumsum([line.startswith("STEP") for line in lines]) - 1
    touched = {int(step[k]) for k in gone}
    trajectory = read(folder)
    kept = kept_frames(run, trajectory)
    assert set(range(run.num_frames)) - touched <= set(kept)
    assert trajectory.problems or len(kept) == run.num_frames


@SLOW
@given(data=st.data())
def test_garbage_in_any_file_never_stops_the_reading(tmp_path, data):
    run = Run()
    files = {"dyn": run.dyn(), "en": run.en(), "log": run.log(version="2.6")}
    which = data.draw(st.sampled_from(sorted(files)))
    text = files[which]
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(len(text), first + 400)))
    files[which] = text[:first] + data.draw(st.text(alphabet="0123456789.-+*E_nai \n%", max_size=30)) + text[last:]
    try:
        trajectory = read(run.write(tmp_path / "TRAJ", **files))
    except ValueError:
        return
    assert trajectory.num_frames >= (1 if which == "dyn" else run.num_frames)
    assert np.isfinite(trajectory.columns["positions"]).all()


@SLOW
@given(cut=st.floats(0, 1))
def test_a_log_cut_at_any_byte_gives_the_finished_steps(tmp_path, cut):
    run = Run(hop_at=99)
    text = run.log(version="2.2")
    part = text[: round(cut * len(text))]
    trajectory = read(run.write(tmp_path / "TRAJ", dyn=run.dyn(acceleration=False), log=part))
    finished = len(re.findall(r"FINISHING STEP.*\n", part))
    forces = trajectory.columns.get("forces", np.full((run.num_frames, 2, 4, 3), np.nan))
    assert np.isfinite(forces[:, :, 2]).all(axis=(1, 2)).tolist() == [k < finished for k in range(run.num_frames)]
    if "phase adjustment" in part[part.rfind("FINISHING") :]:
        assert any("ends within a step" in each for each in trajectory.problems)


# -- the shared data -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hopping(shared_data):
    folder = shared_data / "surface_hopping"
    if not folder.is_dir():
        pytest.skip(f"there are no surface-hopping data at {folder}")
    return folder


@pytest.fixture(scope="module")
def pyrazine(hopping):
    return read(hopping / "newtonx_cs26_pyrazine_orca" / "TRAJ1")


@pytest.fixture(scope="module")
def restarted(hopping):
    return read(hopping / "newtonx_v22_R02a_bagel" / "TRAJ1")


@pytest.fixture(scope="module")
def without_log(hopping):
    return read(hopping / "newtonx_R02b_bagel" / "TRAJ49")


def slope_and_correlation(columns):
    """Of dE against -F.dx, where one state's forces are known on two frames in turn."""
    moved = np.diff(columns["positions"], axis=0)
    mean = (columns["forces"][1:] + columns["forces"][:-1]) / 2
    expected = -np.einsum("fasx,fax->fs", mean, moved)
    use = np.isfinite(expected)
    change, expected = np.diff(columns["energy"], axis=0)[use], expected[use]
    return change @ expected / (expected @ expected), np.corrcoef(change, expected)[0, 1]


def assert_kinetic_energy_and_velocities_agree(trajectory):
    columns, masses = trajectory.columns, np.array(trajectory.system.masses)
    kinetic = KINETIC / 2 * (masses[:, None] * columns["velocities"] ** 2).sum(axis=(1, 2))
    assert np.allclose(kinetic, columns["kinetic_energy"], atol=5e-5)
    moved = (columns["positions"][2:] - columns["positions"][:-2]) / (2 * trajectory.dt)
    assert np.corrcoef(moved.ravel(), columns["velocities"][1:-1].ravel())[0, 1] > 0.9995
    held = columns["energy"][np.arange(len(kinetic)), columns["active_state"]] + columns["kinetic_energy"]
    assert np.abs(np.diff(held)).max() < 0.05 * HARTREE


def test_pyrazine_is_read_as_its_authors_printed_it(pyrazine, hopping):
    columns = pyrazine.columns
    assert pyrazine.num_frames == 201 and pyrazine.dt == 0.5 and pyrazine.status == "complete" and not pyrazine.problems
    first = [-263.93654539, -263.80128239, -263.76728539, -263.74220339, -263.73484839, -263.70492239, -263.69125539]
    assert np.allclose(columns["energy"][0] / HARTREE, first, atol=1e-9)
    assert columns["active_state"][0] == 3 and columns["active_state"][-1] == 1
    hops = [12, 43, 52, 73, 94, 102, 111, 122, 141, 152]
    assert np.flatnonzero(columns["hop"]).tolist() == hops
    dyn = read_dyn(hopping / "newtonx_cs26_pyrazine_orca" / "TRAJ1" / "RESULTS" / "dyn.out")
    assert (np.flatnonzero(np.diff(dyn.state_before)) + 1).tolist() == [hop + 1 for hop in hops]
    assert dyn.acceleration is not None
    assert np.flatnonzero(~dyn.acceleration.any(axis=(1, 2))).tolist() == hops
    facts = pyrazine.system
    assert facts.charge == 0 and facts.multiplicity == (1,) * 7 and facts.level_of_theory == "B3LYP def2-SVP TDDFT"
    assert "Newton-X 2.6" in pyrazine.notes[0]


def test_pyrazine_forces_are_of_the_active_state_and_missing_where_it_hops(pyrazine):
    known = np.isfinite(pyrazine.columns["forces"]).all(axis=(1, 3))
    active, hop = pyrazine.columns["active_state"], pyrazine.columns["hop"]
    assert (known.sum(axis=1) == 1 - hop).all() and known[hop == 0, active[hop == 0]].all()
    slope, correlation = slope_and_correlation(pyrazine.columns)
    assert slope == pytest.approx(1.0025, abs=0.001) and correlation > 0.999
    assert_kinetic_energy_and_velocities_agree(pyrazine)


def test_pairs_of_seven_states_are_in_lower_triangle_order(pyrazine, hopping):
    text = (hopping / "newtonx_cs26_pyrazine_orca" / "TRAJ1" / "RESULTS" / "sh.out").read_text()
    terms = np.array([line.split() for line in re.findall(r"\|v\.h\|=(.*)", text)], dtype=float)[:201]
    used = terms[1:].any(axis=0)  # Baeck-An: only between states near in energy
    energy = pyrazine.columns["energy"]

    def widest(pairs):
        return max(np.abs(energy[:, i] - energy[:, j]).min() for (i, j), each in zip(pairs, used, strict=True) if each)

    assert widest(lower_triangle(7)) < 0.5 * widest(list(zip(*np.triu_indices(7, 1), strict=True)))


def test_the_restarted_run_is_one_trajectory_of_400_fs(restarted):
    columns = restarted.columns
    assert restarted.num_frames == 801 and restarted.status == "complete" and not restarted.problems
    assert np.allclose(columns["time"], np.arange(801) * 0.5) and columns["step"].tolist() == list(range(801))
    assert np.allclose(columns["energy"][0] / HARTREE, [-232.577008, -232.406006, -232.387657], atol=1e-9)
    assert np.flatnonzero(columns["hop"]).tolist() == [88]
    assert columns["active_state"].tolist() == [1] * 88 + [0] * 713
    assert_kinetic_energy_and_velocities_agree(restarted)
    assert restarted.system.level_of_theory == "XMS-CASPT2/cc-pvdz" and "Newton-X 2.2" in restarted.notes[0]


def test_the_log_of_the_restarted_run_covers_its_second_half(restarted):
    columns = restarted.columns
    known = np.isfinite(columns["forces"]).all(axis=(1, 3))
    assert not known[:400].any() and known[400:, 0].all() and not known[:, 1:].any()
    slope, correlation = slope_and_correlation(columns)
    assert slope == pytest.approx(1.0022, abs=0.001) and correlation > 0.9998
    coupled = np.isfinite(columns["nac"]).all(axis=(1, 3))
    pairs = restarted.system.nac_pairs
    assert coupled[400:, pairs.index((0, 1))].all() and coupled[400:, pairs.index((0, 2))].all()
    assert not coupled[:400].any() and not coupled[:, pairs.index((1, 2))].any()
    assert columns["nac"][400, 0, 0] * BOHR == pytest.approx([-0.010302, 0.0472612, 0.0067441], abs=1e-9)
    assert restarted.system.phase == "tracked"
    turned = np.einsum("fapx,fapx->fp", columns["nac"][401:], columns["nac"][400:-1])[:, :2]
    assert (turned > 0).all()


def test_the_run_without_a_log_has_energies_and_states(without_log):
    columns = without_log.columns
    assert without_log.num_frames == 1601 and without_log.dt == 0.25 and not without_log.problems
    assert np.allclose(columns["energy"][0] / HARTREE, [-232.577060, -232.406044, -232.377380], atol=1e-9)
    assert np.flatnonzero(columns["hop"]).tolist() == [353] and columns["active_state"][[352, 353]].tolist() == [1, 0]
    assert "forces" not in columns and "nac" not in columns
    assert_kinetic_energy_and_velocities_agree(without_log)


def test_the_printed_coupling_of_pair_a_b_is_that_of_a_with_the_derivative_of_b(without_log, hopping):
    """The printed wave function (interaction picture) follows dc/dt = -T c with T_ab = v.h as printed, a > b."""
    text = (hopping / "newtonx_R02b_bagel" / "TRAJ49" / "RESULTS" / "sh.out").read_text()
    term = np.array([line.split() for line in re.findall(r"\|v\.h\|=(.*)", text)], dtype=float)
    c, energy = without_log.columns["coefficients"], without_log.columns["energy"] / HARTREE
    dt = 0.25 / ATOMIC_TIME
    phase = np.zeros(3)
    told, found = [], []
    for k in range(40):
        change = np.zeros(3, dtype=complex)
        for part in (np.arange(20) + 0.5) / 20:
            level = (1 - part) * energy[k] + part * energy[k + 1]
            phase = phase + (level - level[1]) * dt / 20
            matrix = np.zeros((3, 3))
            for (a, b), value in zip(lower_triangle(3), (1 - part) * term[k + 1] + part * term[k + 2], strict=True):
                matrix[a, b], matrix[b, a] = value, -value
            change -= (matrix * np.exp(1j * np.subtract.outer(phase, phase))) @ c[k] * dt / 20
        told.append(change[[0, 2]])
        found.append((c[k + 1] - c[k])[[0, 2]])
    told, found = np.array(told), np.array(found)
    assert np.vdot(told, found).real / np.linalg.norm(told) / np.linalg.norm(found) > 0.9
