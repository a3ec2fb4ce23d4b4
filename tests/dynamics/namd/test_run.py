"""Runs of surface hopping: what their files hold, kills, restarts, processes, trajectories that stop, mistakes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.dynamics.namd import HoppingSettings, SurfaceHopping
from mlff.dynamics.namd.initial import InitialConditions, difference_hessian, from_frames, from_minimum
from mlff.dynamics.namd.run import run_namd

from .lvc import CartesianLVC

SETTINGS = HoppingSettings(timestep=0.1, max_energy_jump=None)


@pytest.fixture(scope="module")
def model() -> CartesianLVC:
    return CartesianLVC(charges=True, gap=1.0)


@pytest.fixture(scope="module")
def initial(model) -> InitialConditions:
    return from_minimum(model, model.start, distribution="wigner", temperature=300, number=6, start_state=1, seed=0)


def read(folder) -> dict[str, np.ndarray]:
    system = HDF5Dataset(folder / "trajectories.h5").systems[0]
    return {name: system.read(name) for name in system.names}


@pytest.fixture(scope="module")
def whole(model, initial, tmp_path_factory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run_namd(model, initial, out=folder, time=6, settings=SETTINGS, interval=3)
    return read(folder)


def test_the_file_holds_what_the_engine_did(model, initial, tmp_path):
    run = run_namd(model, initial, out=tmp_path / "run", time=3, settings=SETTINGS)
    dataset = HDF5Dataset(tmp_path / "run" / "trajectories.h5")
    assert [each.name for each in dataset.trajectories] == [f"trajectory-{k:05d}" for k in range(6)]
    assert all(each.status == "complete" and each.count == 31 for each in dataset.trajectories)
    system = dataset.systems[0]
    assert system.state_labels == ("S0", "S1") and system.nac_pairs == ((0, 1),) and system.phase == "tracked"
    dynamics = SurfaceHopping(model, SETTINGS)
    swarm = dynamics.start(initial.positions, initial.velocities, initial.states)
    columns = read(tmp_path / "run")
    for step in range(31):
        rows = step + 31 * np.arange(6)
        np.testing.assert_array_equal(columns["positions"][rows], swarm.positions)
        np.testing.assert_array_equal(columns["energy"][rows], swarm.surfaces.energies)
        np.testing.assert_array_equal(columns["active_state"][rows], swarm.active)
        np.testing.assert_array_equal(columns["hop"][rows], swarm.hop)
        np.testing.assert_allclose(columns["population"][rows], swarm.populations)
        np.testing.assert_allclose(columns["kinetic_energy"][rows], swarm.kinetic_energy)
        np.testing.assert_allclose(columns["time"][rows], 0.1 * step)
        np.testing.assert_allclose(columns["nac"][rows], swarm.surfaces.nac, rtol=1e-6)
        for k, row in enumerate(rows):
            active = swarm.active[k]
            np.testing.assert_allclose(columns["forces"][row, :, active], swarm.surfaces.forces[k], rtol=1e-6)
            assert columns["forces_valid"][row].tolist() == [state == active for state in range(2)]
        swarm = dynamics.step(swarm)
    np.testing.assert_array_equal(run.swarm.positions, columns["positions"][30::31])


def test_frames_come_at_the_interval_and_after_hops(whole):
    assert (whole["hop"] == 1).any()
    regular = whole["step"] % 3 == 0
    assert (whole["hop"][~regular] == 1).all() and (regular.sum() == 6 * 21)
    changed = np.diff(whole["active_state"]) != 0
    same = np.diff(whole["trajectory"]) == 0
    np.testing.assert_array_equal(whole["hop"][1:][same] == 1, changed[same])


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("kill", [False, True])
def test_a_run_that_stopped_goes_on_as_if_it_had_not(model, initial, whole, tmp_path, monkeypatch, kill):
    monkeypatch.setattr("mlff.dynamics.namd.advance.SAVE_EVERY", 0.0)
    copied = tmp_path / "as the kill left it"
    folder = tmp_path / "run"

    def stop(progress):
        if progress.step == 25:
            if kill:
                shutil.copytree(folder, copied)
                (copied / "state.npz").write_bytes(states[-3])  # frames are written before the state
            raise Interrupted
        states.append((folder / "state.npz").read_bytes())

    states: list[bytes] = []
    with pytest.raises(Interrupted):
        run_namd(model, initial, out=folder, time=6, settings=SETTINGS, interval=3, callback=stop)
    if kill:
        folder = copied
    growing = HDF5Dataset(folder / "trajectories.h5")
    assert len(growing.trajectories) > 6 and growing.systems[0].read("step").max() <= 25
    run = run_namd(model, out=folder, time=6, resume=True)
    assert run.settings == SETTINGS
    for name, values in read(folder).items():
        np.testing.assert_array_equal(values, whole[name], err_msg=name)


def test_a_finished_run_can_be_made_longer(model, initial, whole, tmp_path):
    run_namd(model, initial, out=tmp_path / "run", time=3, settings=SETTINGS, interval=3)
    run_namd(model, out=tmp_path / "run", time=6, resume=True)
    for name, values in read(tmp_path / "run").items():
        np.testing.assert_array_equal(values, whole[name], err_msg=name)
    with pytest.raises(ValueError, match="has 6 fs already, more than the 3 fs asked for"):
        run_namd(model, out=tmp_path / "run", time=3, resume=True)


def test_several_processes_do_what_one_does(model, initial, whole, tmp_path):
    told = []
    run = run_namd(model, initial, out=tmp_path / "run", time=6, settings=SETTINGS, interval=3, processes=2,
                   callback=told.append)  # fmt: skip
    assert len(run.swarm) == 6 and (run.swarm.steps == 60).all()
    left = sorted(each.name for each in (tmp_path / "run").iterdir() if each.name[0] != ".")
    assert left == ["run.json", "state.npz", "trajectories.h5"]
    for name, values in read(tmp_path / "run").items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert all(each.counts.sum() == 6 for each in told)


def test_other_numbers_add_to_a_run(model, initial, whole, tmp_path):
    last = InitialConditions(initial.positions[4:], initial.velocities[4:], initial.states[4:], "the last two")
    run_namd(model, last, out=tmp_path / "run", time=6, settings=SETTINGS, interval=3, first=4)
    columns = read(tmp_path / "run")
    np.testing.assert_allclose(columns["positions"], whole["positions"][whole["trajectory"] >= 4], atol=1e-9)


class Failing(CartesianLVC):
    """Fails in one trajectory after a while."""

    def __init__(self) -> None:
        super().__init__(charges=True, gap=1.0)
        self.calls = 0

    def surfaces(self, positions, states, *, couplings):
        found = super().surfaces(positions, states, couplings=couplings)
        self.calls += 1
        if self.calls > 12 and len(positions) == 6:
            found.energies[2] = np.nan
        return found


def test_a_trajectory_that_fails_stops_and_the_others_go_on(model, initial, whole, tmp_path):
    run = run_namd(Failing(), initial, out=tmp_path / "run", time=6, settings=SETTINGS, interval=3)
    dataset = HDF5Dataset(tmp_path / "run" / "trajectories.h5")
    assert [each.status for each in dataset.trajectories] == ["complete"] * 2 + ["crashed"] + ["complete"] * 3
    assert "trajectory-00002 stopped after step" in dataset.report[0] and "not finite" in dataset.report[0]
    assert run.swarm.stopped[2] and (run.swarm.stopped[[0, 1, 3, 4, 5]] == "").all()
    columns = read(tmp_path / "run")
    for k in (0, 5):
        mine, theirs = (each["positions"][each["trajectory"] == k] for each in (columns, whole))
        np.testing.assert_allclose(mine, theirs, atol=1e-9)


def test_initial_conditions_from_a_run_and_from_structures(model, initial, whole, tmp_path):
    import ase.io
    from ase import Atoms

    run_namd(model, initial, out=tmp_path / "run", time=1, settings=SETTINGS)
    path = tmp_path / "run" / "trajectories.h5"
    options = {"temperature": 300.0, "start_state": None, "seed": 3}
    found = from_frames(path, model, number=4, **options)
    columns = read(tmp_path / "run")
    for positions, velocities, state in zip(found.positions, found.velocities, found.states):
        row = np.flatnonzero((columns["positions"] == positions).all(axis=(1, 2)))[0]
        np.testing.assert_array_equal(velocities, columns["velocities"][row])
        assert state == columns["active_state"][row]
    assert len(np.unique(found.positions, axis=0)) == 4
    everything = from_frames(path, model, number=66, **options)
    np.testing.assert_array_equal(everything.positions, columns["positions"])

    ase.io.write(tmp_path / "frames.xyz", [Atoms("CHH", positions) for positions in initial.positions])
    still = from_frames(tmp_path / "frames.xyz", model, number=8, **options | {"start_state": 1})
    momenta = np.einsum("n,tnx->tx", model.masses, still.velocities)
    np.testing.assert_allclose(momenta, 0, atol=1e-12)
    assert "8 of 6 frames" in still.source and "velocities at 300 K" in still.source and (still.states == 1).all()
    with pytest.raises(ValueError, match="--start-state"):
        from_frames(tmp_path / "frames.xyz", model, number=8, **options)
    ase.io.write(tmp_path / "other.xyz", Atoms("HCH", initial.positions[0]))
    with pytest.raises(ValueError, match="has a structure HCH; the model's atoms are CHH?2?"):
        from_frames(tmp_path / "other.xyz", model, number=8, **options)
    with pytest.raises(ValueError, match="neither `wigner` nor `thermal`"):
        from_frames(tmp_path / "none.xyz", model, number=8, **options)


def test_the_hessian_of_differences_is_that_of_the_model(model):
    flat = replace_coupling(model)
    second = difference_hessian(flat, model.start, 0)
    np.testing.assert_allclose(second, model.stiffness, atol=1e-6)


def replace_coupling(model: CartesianLVC) -> CartesianLVC:
    flat = CartesianLVC()
    flat.coupling = np.zeros(9)
    return flat


def test_mistakes_end_in_sentences(model, initial, tmp_path):
    run_namd(model, initial, out=tmp_path / "run", time=0.2, settings=SETTINGS)
    other = CartesianLVC()
    other.atomic_numbers = np.array([7, 1, 1])
    wrong = replace(initial, states=np.full(6, 2))
    unsendable = CartesianLVC()
    unsendable.function = lambda: None
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    for arguments, words in [
        ((model, initial, {"out": "run", "time": 1}), "holds a run of surface hopping already; resume it"),
        ((model, initial, {"out": "full", "time": 1}), "is not empty; give another one"),
        ((model, wrong, {"out": "new", "time": 1}), "the potential has the states 0 to 1"),
        ((model, None, {"out": "new", "time": 1}), "`initial` is missing"),
        ((unsendable, initial, {"out": "new", "time": 1, "processes": 2}), "cannot be sent to other processes"),
        ((model, initial, {"out": "new", "time": 0}), "`time` is 0 fs"),
        ((model, initial, {"out": "new", "time": 1, "interval": 0}), "`interval` is 0; give a whole number, 1 or more"),
        ((model, None, {"out": "new", "time": 1, "resume": True}), "there is no run of surface hopping in"),
        ((other, None, {"out": "run", "time": 1, "resume": True}), "are not those of the potential"),
        ((model, None, {"out": "run", "time": 1, "resume": True, "settings": SETTINGS}), "keeps its settings"),
    ]:
        potential, start, options = arguments
        with pytest.raises(ValueError, match=words):
            run_namd(potential, start, **options | {"out": tmp_path / options["out"]})
    assert not (tmp_path / "new").exists()


def test_vibrations_that_no_molecule_has_are_warned_of():
    stiff = CartesianLVC(gap=1.0)
    stiff.stiffness = 100 * stiff.stiffness
    drawn = {"distribution": "wigner", "temperature": 300, "number": 1, "start_state": 1, "seed": 0}
    with pytest.warns(UserWarning, match=r"of the 3 frequencies, up to .* lie above the 4,401 1/cm of H2"):
        from_minimum(stiff, stiff.start, **drawn)


class Unsure(CartesianLVC):
    """A committee, so to speak, that disagrees by what the atoms moved."""

    def surfaces(self, positions, states, *, couplings):
        found = super().surfaces(positions, states, couplings=couplings)
        return replace(found, disagreement=self.moved(positions))

    def moved(self, positions):
        return np.linalg.norm(positions - self.start, axis=2).max(axis=1)


def test_a_trajectory_stops_where_the_committee_disagrees_and_that_frame_is_kept(initial, tmp_path):
    unsure = Unsure(charges=True, gap=1.0)
    settings = replace(SETTINGS, max_disagreement=float(1.2 * unsure.moved(initial.positions).max()))
    run = run_namd(unsure, initial, out=tmp_path / "run", time=6, settings=settings, interval=7)
    dataset = HDF5Dataset(tmp_path / "run" / "trajectories.h5")
    stopped = [each.status == "crashed" for each in dataset.trajectories]
    assert any(stopped) and not all(stopped)
    system = dataset.systems[0]
    for each, early in zip(dataset.trajectories, stopped, strict=True):
        rows = slice(each.first, each.first + each.count)
        moved, steps = unsure.moved(system.read("positions", rows)), system.read("step", rows)
        assert (moved[:-1] <= settings.max_disagreement).all() and (np.diff(steps) > 0).all()
        assert (moved[-1] > settings.max_disagreement) == early and (early or steps[-1] == 60)
    assert [bool(reason) for reason in run.swarm.stopped] == stopped
    assert sum("stopped after step" in line and "committee" in line for line in dataset.report) == sum(stopped)
    # Stopped in between and resumed, the files are the same.
    run_namd(unsure, initial, out=tmp_path / "two", time=1.4, settings=settings, interval=7)
    run_namd(unsure, out=tmp_path / "two", time=6, resume=True)
    for name, values in read(tmp_path / "run").items():
        np.testing.assert_array_equal(read(tmp_path / "two")[name], values)


def test_the_last_good_frame_of_a_trajectory_whose_energy_jumps_is_kept_once(model, initial, tmp_path):
    settings = replace(SETTINGS, max_energy_jump=1.2e-4)
    run = run_namd(model, initial, out=tmp_path / "run", time=6, settings=settings, interval=7)
    dataset = HDF5Dataset(tmp_path / "run" / "trajectories.h5")
    assert any(run.swarm.stopped != "")
    for each, end, reason in zip(dataset.trajectories, run.swarm.steps, run.swarm.stopped, strict=True):
        steps = dataset.systems[0].read("step", slice(each.first, each.first + each.count))
        assert steps[-1] == end and (np.diff(steps) > 0).all() and ((each.status == "crashed") == bool(reason))
