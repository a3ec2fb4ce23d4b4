"""PyRAI2MD logs: whole steps, gradients of the states that have one, the old state's on the frame of a hop."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data.importers import ImportOptions
from mlff.data.importers.pyrai2md.log import PYRAI2MD_LOG, read_pyrai2md_log
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, HARTREE, INVERSE_CM, KINETIC

DT = 20.67  # atomic units
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DASHES = "-" * 79 + "\n"
RNG = np.random.default_rng(2)
POSITIONS = RNG.normal(size=(9, 3, 3))
VELOCITIES = RNG.normal(scale=1e-3, size=(9, 3, 3))
GRADIENTS = RNG.normal(scale=0.1, size=(9, 3, 3))
COUPLINGS = RNG.normal(size=(9, 3, 3))
ENERGIES = -94 + np.sort(RNG.normal(scale=0.1, size=(9, 3)), axis=1)
KINETIC_ENERGIES = RNG.uniform(0.05, 0.06, size=9)
SYMBOLS = ("C_", "N", "H")
STATES = (2, 2, 2, 3, 3, 3)  # at the end of each step


def vectors(title, rows):
    text = "".join(f"{s:<2}" + "".join(f"{x:24.16f}" for x in row) + "\n" for s, row in zip(SYMBOLS, rows, strict=True))
    return f"\n  &{title}\n{DASHES}{text}{DASHES}"


def step(k, *, number=None, all_states=False, frustrated=False, couplings=False):
    before = STATES[max(k - 1, 0)]
    energies = "".join(f"{x:28.16f}" for x in (0.1, 0.8, 0.1, *ENERGIES[k], ENERGIES[k, before - 1]))
    what, where = "is not allowed", f"At state: {STATES[k]:3d}"
    if STATES[k] != before:
        what, where = "event happened", f"From state: {before:3d} to state: {STATES[k]:3d} *"
    elif frustrated:
        what = "is frustrated"
    text = (
        f"  Iter: {k + 1 if number is None else number:8d}  Ekin = {KINETIC_ENERGIES[k]:28.16f} au T =   300.00 K "
        f"dt = {int(DT):10d} CI:   3\n  Root chosen for geometry opt {before:3d}\n\n  Gnuplot: {energies}\n"
        f"  **\n  **\n  **\n  A surface hopping {what}\n  **\n  {where}\n\n"
    )
    text += vectors("coordinates in Angstrom", POSITIONS[k]) + vectors("velocities in Bohr/au", VELOCITIES[k])
    for state in (1, 2, 3):
        rows = GRADIENTS[k] * state * (all_states or state == before)
        text += vectors(f"gradient state             {state:3d} in Eh/Bohr", rows)
    if couplings:
        text += vectors("nonadiabatic coupling vectors   1 -   2 in Hartree/Bohr M = 1 / 1", COUPLINGS[k])
        text += f"\n  &nonadiabatic coupling   1 -   3 in Hartree/Bohr M = 1 / 1\n{DASHES}  Not computed\n{DASHES}"
        text += (
            f"\n  &spin-orbit coupling\n{DASHES}  <H>={10 + k:10.4f}              2 -   3 in cm-1 M1 = 1 M2 = 3\n"
            f"  Not computed                1 -   3 in cm-1 M1 = 1 M2 = 3\n{DASHES}"
        )
    return text + f"\n  &surface hopping information\n{DASHES}  No surface hopping is performed\n{DASHES}\n"


def log(steps=range(6), *, ended=True, planned=6, multiplicity="1   1   1", phase=0, **options):
    head = (
        "Nonadiabatic Molecular Dynamics Start:  2025-11-18 13:02:12\n\n        version:   2.4.0\n\n  &md\n"
        f"  Step:                       {planned}       \n  Dt (au):                    {DT}     \n"
        f"  Phase correction            {phase}         \n\n"
        f"  State order:         1   2   3\n  Multiplicity:        {multiplicity}\n\n"
    )
    tail = "\nNonadiabatic Molecular Dynamics End:  2025-11-18 13:12:42 Total:     0 days\n" if ended else ""
    return head + "".join(step(k, **options) for k in steps) + tail


def write(folder, text, name="mai.log"):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(text)
    return folder


def read(path):
    (trajectory,) = read_pyrai2md_log([path], ImportOptions())
    return trajectory


# -- made-up runs ------------------------------------------------------------------------------------------------------


def test_a_log_is_read_in_the_units_of_the_package(tmp_path):
    folder = write(tmp_path / "traj3", log())
    (folder / "other.log").write_text("something else\n")
    assert PYRAI2MD_LOG.matches(folder) and PYRAI2MD_LOG.matches(folder / "mai.log")
    assert not PYRAI2MD_LOG.matches(folder / "other.log") and not PYRAI2MD_LOG.matches(tmp_path)
    trajectory = read(folder)
    columns, facts = trajectory.columns, trajectory.system
    assert (trajectory.name, trajectory.status, trajectory.problems) == ("traj3", "complete", [])
    assert facts.atomic_numbers == (6, 7, 1) and facts.multiplicity == (1, 1, 1) and facts.label == ("S0", "S1", "S2")
    assert facts.program == "PyRAI2MD 2.4.0" and facts.charge is None and facts.phase == "raw"
    assert np.allclose(columns["positions"], POSITIONS[:6], atol=1e-12)
    assert np.allclose(columns["velocities"], VELOCITIES[:6] * ATOMIC_VELOCITY, atol=1e-12)
    assert np.allclose(columns["energy"], ENERGIES[:6] * HARTREE, atol=1e-10)
    assert np.array_equal(columns["population"], np.broadcast_to([0.1, 0.8, 0.1], (6, 3)))
    assert columns["step"].tolist() == [1, 2, 3, 4, 5, 6] and trajectory.dt == pytest.approx(DT * ATOMIC_TIME)
    assert columns["time"][0] == pytest.approx(DT * ATOMIC_TIME)  # the first frame is labelled one step
    assert read(folder / "mai.log").name == "mai"


def test_what_has_no_place_is_told_in_one_line(tmp_path):
    table = f"\n  &derivative coupling matrix\n{DASHES} 0.0 0.1\n -0.1 0.0\n{DASHES}"
    text = log().replace("  No surface hopping is performed\n", "    Random number:   0.5\n") + table
    (note,) = [each for each in read(write(tmp_path / "t", text)).notes if "no place" in each]
    assert note == (
        "t: no place for: time-derivative couplings, random numbers and hopping probabilities of adiabatic states"
    )


def test_a_hop_is_on_the_frame_that_says_it_and_its_gradient_is_the_old_states(tmp_path):
    columns = read(write(tmp_path / "t", log())).columns
    assert columns["active_state"].tolist() == [1, 1, 1, 2, 2, 2] and columns["hop"].tolist() == [0, 0, 0, 1, 0, 0]
    known = np.isfinite(columns["forces"]).all(axis=(1, 3))
    assert [np.flatnonzero(each).tolist() for each in known] == [[1], [1], [1], [1], [2], [2]]
    assert np.allclose(columns["forces"][3, :, 1], -2 * GRADIENTS[3] * HARTREE / BOHR)
    kinetic = columns["kinetic_energy"] / HARTREE
    assert np.allclose(kinetic[[0, 1, 2, 4, 5]], KINETIC_ENERGIES[[0, 1, 2, 4, 5]])
    assert abs(kinetic[3] - KINETIC_ENERGIES[3]) > 1e-3  # the velocities are those after the hop
    assert np.isfinite(read(write(tmp_path / "all", log(all_states=True))).columns["forces"]).all()


def test_a_frustrated_hop_is_marked(tmp_path):
    text = log(range(1)) + step(1, frustrated=True) + step(2)
    assert read(write(tmp_path / "t", text)).columns["hop"].tolist() == [0, 2, 0]


def test_couplings_and_spin_orbit_couplings_are_read_where_they_are(tmp_path):
    trajectory = read(write(tmp_path / "t", log(couplings=True, multiplicity="1   1   3", phase=1)))
    columns, facts = trajectory.columns, trajectory.system
    assert facts.nac_pairs == ((0, 1), (0, 2)) and facts.soc_pairs == ((0, 2), (1, 2))
    assert facts.root == (0, 1, 0) and facts.label == ("S0", "S1", "T1") and facts.phase == "tracked"
    assert np.allclose(columns["interstate_coupling"][:, :, 0], COUPLINGS[:6] * HARTREE / BOHR)
    assert np.isnan(columns["interstate_coupling"][:, :, 1]).all() and np.isnan(columns["soc_magnitude"][:, 0]).all()
    assert np.allclose(columns["soc_magnitude"][:, 1], (10 + np.arange(6)) * INVERSE_CM)


def test_a_restarted_run_gives_each_step_once_and_a_crashed_one_says_where_it_ends(tmp_path):
    text = log(range(4), ended=False) + "".join(step(k) for k in (2, 3, 4, 5))
    trajectory = read(write(tmp_path / "t", text))
    assert trajectory.columns["step"].tolist() == [1, 2, 3, 4, 5, 6] and trajectory.status == "crashed"
    assert trajectory.problems == [
        "t: 2 steps dropped that the restarted run wrote again",
        "t: ends after step 6 of 6",
    ]
    warned = log(range(4)).replace("\nNonadiabatic Molecular Dynamics End", "Trajectory terminated because the QM "
                                   "calculation failed.\nNonadiabatic Molecular Dynamics End")  # fmt: skip
    failed = read(write(tmp_path / "u", warned))
    assert failed.status == "crashed" and "the QM calculation failed" in failed.problems[0]


def test_two_logs_in_a_folder_are_two_trajectories(tmp_path):
    folder = write(write(tmp_path / "t", log()), log(range(3)), "mai-2.log")
    assert [each.name for each in read_pyrai2md_log([folder], ImportOptions())] == ["mai-2", "mai"]


def test_a_log_that_cannot_be_read_does_not_hide_the_others(tmp_path):
    folder = write(write(tmp_path / "t", log()), log(range(0)), "broken.log")
    trajectories = read_pyrai2md_log([folder], ImportOptions())
    assert next(trajectories).name == "mai"
    with pytest.raises(ValueError, match=r"broken.log has no whole step"):
        next(trajectories)


def test_what_a_log_cannot_give_is_said(tmp_path):
    bare = re.sub(r"\n  &coordinates in Angstrom\n-+\n(.*\n){3}-+\n", "", log())
    with pytest.raises(ValueError, match=r"no whole step: its coordinates are missing \(a run with verbose 0"):
        read(write(tmp_path / "t", bare))
    undated = read(write(tmp_path / "u", log().replace("Dt (au)", "Dt")))
    assert np.isnan(undated.columns["time"]).all() and "times are unknown" in undated.problems[0]


def test_charge_and_level_of_theory_come_from_the_input_of_openqp(tmp_path):
    folder = write(tmp_path / "t", log())
    (folder / "mai.openqp").write_text("[input]\nfunctional=bhhlyp\nbasis=6-31g*\ncharge=-1\n\n[tdhf]\ntype=mrsf\n")
    facts = read(folder).system
    assert facts.charge == -1 and facts.level_of_theory == "MRSF-TDDFT BHHLYP/6-31g*"
    (folder / "mai.openqp").write_text("charge = much\n")
    assert read(folder).system.charge is None


# -- damaged files -----------------------------------------------------------------------------------------------------


def kept_steps(trajectory):
    rows = [number - 1 for number in trajectory.columns["step"].tolist()]
    assert np.allclose(trajectory.columns["positions"], POSITIONS[rows], atol=1e-12)
    assert np.allclose(trajectory.columns["energy"], ENERGIES[rows] * HARTREE, atol=1e-10)
    assert np.isfinite(trajectory.columns["forces"]).all(axis=(1, 3)).any(axis=1).all()
    assert rows == sorted(set(rows))
    return rows


@SLOW
@given(cut=st.floats(0, 1))
def test_a_log_cut_at_any_byte_gives_every_whole_step_and_says_that_it_ends(tmp_path, cut):
    text = log()
    part = text[: round(cut * len(text))]
    whole = len(re.findall(r"gradient state +3 in Eh/Bohr\n-+\n(?:\w.*\n){3}-+\n", part))
    if not whole:
        with pytest.raises(ValueError, match="no whole step|no log of a PyRAI2MD run was found"):
            read(write(tmp_path / "t", part))
        return
    trajectory = read(write(tmp_path / "t", part))
    assert kept_steps(trajectory) == list(range(whole))
    assert trajectory.problems or trajectory.status == "complete"


@SLOW
@given(data=st.data())
def test_a_log_with_lines_lost_loses_only_their_steps_and_says_so(tmp_path, data):
    lines = log().splitlines(keepends=True)
    gone = data.draw(st.sets(st.integers(1, len(lines) - 1), min_size=1, max_size=4))
    number = np.cumsum([line.startswith("  Iter:") for line in lines]) - 1
    trajectory = read(write(tmp_path / "t", "".join(line for k, line in enumerate(lines) if k not in gone)))
    kept = kept_steps(trajectory)
    assert set(range(6)) - {int(number[k]) for k in gone} <= set(kept)
    assert trajectory.problems or len(kept) == 6


@SLOW
@given(data=st.data())
def test_garbage_in_a_log_never_stops_the_reading(tmp_path, data):
    text = log(couplings=True)
    first = data.draw(st.integers(40, len(text)))  # after the words by which it is recognised
    last = data.draw(st.integers(first, min(len(text), first + 400)))
    garbage = data.draw(st.text(alphabet="0123456789.-+*E_nai \n&", max_size=30))
    trajectory = read(write(tmp_path / "t", text[:first] + garbage + text[last:]))
    assert trajectory.num_frames >= 4 and np.isfinite(trajectory.columns["positions"]).all()
    assert trajectory.num_frames == 6 or trajectory.problems


# -- the shared data -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openqp(shared_data):
    folder = shared_data / "surface_hopping" / "pyrai2md_ch2nh2_openqp" / "traj3"
    if not folder.is_dir():
        pytest.skip(f"there is no PyRAI2MD run at {folder}")
    return read(folder)


def test_the_openqp_run_is_read_as_its_authors_printed_it(openqp):
    columns, facts = openqp.columns, openqp.system
    assert openqp.num_frames == 200 and openqp.status == "complete" and not openqp.problems and openqp.name == "traj3"
    assert facts.atomic_numbers == (6, 7, 1, 1, 1, 1) and facts.charge == 1 and facts.label == ("S0", "S1", "S2")
    assert np.allclose(columns["energy"][0] / HARTREE, [-94.83092371, -94.57275972, -94.52022821], atol=5e-9)
    assert columns["time"][0] == pytest.approx(20.67 * ATOMIC_TIME) and columns["step"][[0, -1]].tolist() == [1, 200]
    active, hops = columns["active_state"] + 1, np.flatnonzero(columns["hop"])
    assert [(int(active[k - 1]), int(active[k]), int(k)) for k in hops] == [
        (2, 3, 139),
        (3, 2, 176),
        (2, 3, 179),
        (3, 2, 189),
    ]


def test_its_total_energy_is_constant_to_1e_12_and_after_a_hop_with_the_new_state(openqp):
    columns = openqp.columns
    total = (columns["energy"][np.arange(200), columns["active_state"]] + columns["kinetic_energy"]) / HARTREE
    smooth = columns["hop"] == 0
    assert np.ptp(total[smooth]) < 1e-12
    assert np.ptp(total) < 1e-10  # from velocities and standard masses on the frames of a hop
    masses = np.array([12.011, 14.007, 1.008, 1.008, 1.008, 1.008])
    kinetic = KINETIC / 2 * (masses[:, None] * columns["velocities"] ** 2).sum(axis=(1, 2))
    assert np.allclose(kinetic, columns["kinetic_energy"], rtol=1e-8)


def test_its_forces_are_of_the_active_state_of_the_old_one_on_a_hop(openqp):
    columns = openqp.columns
    active, hop = columns["active_state"], columns["hop"]
    known = np.isfinite(columns["forces"]).all(axis=(1, 3))
    old = np.where(hop == 1, np.roll(active, 1), active)
    assert (known.sum(axis=1) == 1).all() and known[np.arange(200), old].all()
    moved = np.diff(columns["positions"], axis=0)
    expected = -np.einsum("fasx,fax->fs", (columns["forces"][1:] + columns["forces"][:-1]) / 2, moved)
    use = np.isfinite(expected)
    change, expected = np.diff(columns["energy"], axis=0)[use], expected[use]
    assert np.median(change / expected) == pytest.approx(1, abs=0.01) and np.corrcoef(change, expected)[0, 1] > 0.95


def test_its_populations_sum_to_one_and_begin_in_its_first_state(openqp):
    population = openqp.columns["population"]
    assert np.allclose(population.sum(axis=1), 1, atol=1e-6) and population[0].tolist() == [0, 1, 0]
    assert population.min() > -2e-5 and population.max() <= 1 and openqp.columns["active_state"][0] == 1
