"""Traces of mudslide: snapshots in the package's units, atoms from the kinetic energies, damage told."""

import lzma

import numpy as np
import pytest
import yaml
from ase.data import atomic_masses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.data.importers.mudslide.trace import MUDSLIDE
from mlff.data.importers.trajectory import ImportOptions
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, ELECTRON_MASS, HARTREE

SLOW_OK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS, STATES, PITCH, DT = [6, 8, 1, 1], 3, 4, 20.0
SIZE = 3 * len(NUMBERS)


class Run:
    """Snapshots of D degrees of freedom, made up; each hop is told at the time before its step."""

    def __init__(self, frames=10, masses=None, size=SIZE, states=STATES, seed=0):
        rng = np.random.default_rng(seed)
        mass = np.repeat(atomic_masses[NUMBERS], 3) / ELECTRON_MASS if masses is None else np.array(masses)
        self.mass, self.frames = mass, frames
        self.time = 5.0 + DT * np.arange(frames)
        spread = 4.0 * np.repeat(np.arange(size // 3), 3) if size % 3 == 0 else 0.0
        self.position = spread + rng.normal(size=(frames, size))
        self.velocity = rng.normal(scale=1e-3, size=(frames, size))
        self.kinetic = (self.mass * self.velocity**2).sum(axis=1) / 2
        self.energy = np.sort(rng.normal(size=(frames, states)), axis=1) - 78
        self.force = rng.normal(size=(frames, states, size))
        coupling = rng.normal(size=(frames, states, states, size))
        self.coupling = coupling - coupling.swapaxes(1, 2)
        wave = rng.normal(size=(frames, states)) + 1j * rng.normal(size=(frames, states))
        wave /= np.linalg.norm(wave, axis=1, keepdims=True)
        self.density = np.einsum("fi,fj->fij", wave, wave.conj())
        self.active = np.array([2, 2, 2, 1, 1, 1, 1, 0, 0, 0])[np.arange(frames) % 10] % states
        self.events = [
            {
                "event": "hop",
                "time": float(self.time[k - 1]),
                "from": int(self.active[k - 1]),
                "to": int(self.active[k]),
            }
            for k in range(1, frames)
            if self.active[k] != self.active[k - 1]
        ]

    def snapshot(self, k, momenta=False, surfaces=True):
        electronics = {
            "nstates": self.energy.shape[1],
            "ndof": self.position.shape[1],
            "position": self.position[k].tolist(),
            "hamiltonian": np.diag(self.energy[k]).tolist(),
            "force": self.force[k].tolist(),
            "derivative_coupling": self.coupling[k].tolist(),
        }
        moving = ("momentum", self.mass * self.velocity[k]) if momenta else ("velocity", self.velocity[k])
        held = {
            "time": float(self.time[k]),
            "position": self.position[k].tolist(),
            moving[0]: moving[1].tolist(),
            "kinetic": float(self.kinetic[k]),
            "electronics": electronics,
        }
        if not surfaces:
            return held
        density = np.ascontiguousarray(self.density[k]).view(np.float64).tolist()
        return held | {"density_matrix": density, "active": int(self.active[k]), "hopping": 0.0, "zeta": 0.5}

    def write(self, folder, name="traj-0", *, packed=False, old=False, compact=False, **options):
        """The main file, its logs of PITCH snapshots and its events, as YAMLTrace lays them out."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = [
            yaml.safe_dump([self.snapshot(k, momenta=old, **options)], default_flow_style=None if compact else False)
            for k in range(self.frames)
        ]
        logs = []
        for k in range(0, self.frames, PITCH):
            path = folder / f"{name}-log_{k // PITCH}.yaml"
            data = "".join(texts[k : k + PITCH]).encode()
            if packed and k + PITCH < self.frames:
                path = path.with_name(path.name + ".xz")
                data = lzma.compress(data)
            path.write_bytes(data)
            logs.append(path.name)
        main = {"name": name, "logfiles": logs, "nlogs": len(logs), "log_pitch": PITCH, "weight": 1.0}
        events = f"{name}-events.yaml" if old else f"{name}-hops.yaml"
        main |= {"event_log": events} if old else {"hop_log": events, "event_logs": {}}
        (folder / events).write_text("".join(yaml.safe_dump([event]) for event in self.events))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(main))
        return folder / f"{name}.yaml"


def read(path):
    (trajectory,) = MUDSLIDE.read([path], ImportOptions())
    return trajectory


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("layout", [{}, {"packed": True}, {"compact": True}])
def test_every_number_of_a_trace_is_read(tmp_path, old, layout):
    run = Run()
    path = run.write(tmp_path, old=old, **layout)
    assert recognise(path) == "mudslide" and not MUDSLIDE.matches(tmp_path / "traj-0-hops.yaml")
    trajectory = read(path)
    columns, facts = trajectory.columns, trajectory.system
    assert trajectory.status == "complete" and not trajectory.problems and trajectory.name == "traj-0"
    assert facts.atomic_numbers == tuple(NUMBERS) and facts.num_states == STATES and facts.charge is None
    np.testing.assert_allclose(facts.masses, atomic_masses[NUMBERS], rtol=1e-6)
    close = {"rtol": 1e-8, "atol": 1e-12}
    shape = (run.frames, len(NUMBERS), 3)
    np.testing.assert_allclose(columns["positions"], run.position.reshape(shape) * BOHR, **close)
    np.testing.assert_allclose(columns["velocities"], run.velocity.reshape(shape) * ATOMIC_VELOCITY, **close)
    np.testing.assert_allclose(columns["time"], run.time * ATOMIC_TIME, **close)
    assert trajectory.dt == pytest.approx(DT * ATOMIC_TIME)
    np.testing.assert_allclose(columns["energy"], run.energy * HARTREE, **close)
    np.testing.assert_allclose(columns["kinetic_energy"], run.kinetic * HARTREE, **close)
    forces = run.force.reshape(run.frames, STATES, -1, 3).transpose(0, 2, 1, 3) * HARTREE / BOHR
    np.testing.assert_allclose(columns["forces"], forces, **close)
    for p, (i, j) in enumerate(facts.nac_pairs):
        np.testing.assert_allclose(columns["nac"][:, :, p], run.coupling[:, i, j].reshape(shape) / BOHR, **close)
    assert facts.nac_pairs == ((0, 1), (0, 2), (1, 2))
    np.testing.assert_allclose(columns["population"], np.einsum("fii->fi", run.density).real, **close)
    assert columns["active_state"].tolist() == run.active.tolist()
    assert columns["hop"].tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]


def test_a_trace_goes_into_the_native_file(tmp_path):
    for k in range(2):
        Run(seed=k).write(tmp_path / "runs", name=f"traj-{k}")
    report = import_sources([tmp_path / "runs"], tmp_path / "out.h5", workers=2)
    assert report.num_frames == 20 and not [each for each in report.problems if "same file" in each]
    assert [each.name for each in HDF5Dataset(tmp_path / "out.h5").trajectories] == ["traj-0", "traj-1"]
    assert all(row.figures["kinetic_ratio"] == pytest.approx(1, abs=1e-6) for row in report.rows)


def test_a_run_on_one_surface_has_no_hops(tmp_path):
    run = Run(states=1)
    run.events = []
    trajectory = read(run.write(tmp_path, surfaces=False))
    assert trajectory.system.nac_pairs == () and "nac" not in trajectory.columns
    assert trajectory.columns["active_state"].tolist() == [0] * 10 and "hop" not in trajectory.columns
    assert "population" not in trajectory.columns


def test_what_was_not_computed_is_missing(tmp_path):
    run = Run()
    run.force[2, 1] = 0
    run.coupling[3, 0, 2] = 0
    columns = read(run.write(tmp_path)).columns
    assert np.argwhere(np.isnan(columns["forces"]).any(axis=(1, 3))).tolist() == [[2, 1]]
    assert np.argwhere(np.isnan(columns["nac"]).any(axis=(1, 3))).tolist() == [[3, 1]]
    path = run.write(tmp_path / "said")
    log = path.with_name("traj-0-log_0.yaml")
    text = log.read_text().replace("  electronics:\n", "  electronics:\n    forces_available: [false, true, true]\n")
    log.write_text(text)
    columns = read(path).columns
    assert np.isnan(columns["forces"][:4, :, 0]).all() and np.isfinite(columns["forces"][4:, :, 0]).all()


def test_a_frustrated_hop_is_on_the_snapshot_after_its_step(tmp_path):
    run = Run()
    run.events.append({"event": "frustrated_hop", "time": float(run.time[4]), "from": 1, "to": 2})
    trajectory = read(run.write(tmp_path))
    assert trajectory.columns["hop"].tolist() == [0, 0, 0, 1, 0, 2, 0, 1, 0, 0] and not trajectory.problems


def test_hops_that_the_event_log_tells_otherwise_are_told(tmp_path):
    run = Run()
    run.events[1]["to"] = 2
    trajectory = read(run.write(tmp_path))
    assert trajectory.problems == [
        "traj-0: the hops of the event log and the active states differ in 1 snapshots, first 7; the active states are kept"
    ]
    run.active[5] = 7
    assert any(
        "the active state of 1 snapshots is none of the 3" in each for each in read(run.write(tmp_path)).problems
    )


def test_atoms_are_named_by_a_file_where_the_kinetic_energies_do_not_tell(tmp_path):
    run = Run(frames=3)  # fewer than atoms
    path = run.write(tmp_path)
    with pytest.raises(ValueError, match="put the molecule beside it as traj-0.xyz, in the order of its 4 atoms"):
        read(path)
    rows = "".join(f" 0.1 0.2 0.3 {name}\n" for name in ("c", "o", "h", "h"))
    (tmp_path / "run_turbomole-0").mkdir()
    (tmp_path / "run_turbomole-0" / "coord").write_text(f"$coord natoms=4\n{rows}$user-defined bonds\n$end\n")
    trajectory = read(path)
    assert trajectory.system.atomic_numbers == tuple(NUMBERS) and trajectory.system.masses is None
    assert "the atoms are from coord" in trajectory.notes[0]
    (tmp_path / "traj-0.xyz").write_text("4\n\nO 0 0 0\nC 0 0 0\nH 0 0 0\nH 0 0 0\n")
    assert read(path).system.atomic_numbers == (8, 6, 1, 1)
    (tmp_path / "traj-0.xyz").write_text("3\n\nO 0 0 0\nC 0 0 0\nH 0 0 0\n")
    with pytest.raises(ValueError, match="traj-0.xyz has not the 4 atoms of traj-0.yaml"):
        read(path)


def test_atoms_that_a_file_names_in_another_order_are_told(tmp_path):
    path = Run().write(tmp_path)
    (tmp_path / "traj-0.xyz").write_text("4\n\nO 0 0 0\nC 0 0 0\nH 0 0 0\nH 0 0 0\n")
    assert any("the kinetic energies are those of other masses" in each for each in read(path).problems)


def test_a_model_is_no_molecule(tmp_path):
    path = Run(masses=[2000.0], size=1, states=2).write(tmp_path)
    with pytest.raises(ValueError, match="is of a model with 1 degree of freedom, not of a molecule"):
        read(path)
    path = Run(masses=[2000.0] * 3, size=3, states=2).write(tmp_path)
    with pytest.raises(ValueError, match=r"is of a model, not of a molecule: particles of 1\.097 amu are no atoms"):
        read(path)


def test_a_log_that_is_gone_is_told_and_one_whose_packing_was_cut_off_is_found(tmp_path):
    path = Run().write(tmp_path)
    log = tmp_path / "traj-0-log_1.yaml"
    log.with_name(log.name + ".xz").write_bytes(lzma.compress(log.read_bytes()))
    log.unlink()
    assert read(path).num_frames == 10 and not read(path).problems
    log.with_name(log.name + ".xz").unlink()
    trajectory = read(path)
    assert trajectory.num_frames == 6
    assert "traj-0: traj-0-log_1.yaml is not there: its contents are lost" in trajectory.problems


def test_snapshots_that_a_restart_wrote_again_are_there_once(tmp_path):
    run = Run()
    run.time[5:] -= 2 * DT
    trajectory = read(run.write(tmp_path))
    np.testing.assert_allclose(trajectory.columns["time"], (5.0 + DT * np.arange(8)) * ATOMIC_TIME)
    np.testing.assert_allclose(trajectory.columns["positions"][3].ravel(), run.position[5] * BOHR)
    assert any("2 snapshots dropped that the restarted run wrote again" in each for each in trajectory.problems)


def test_a_main_file_that_is_none_is_refused(tmp_path):
    path = Run().write(tmp_path)
    path.write_text("logfiles: [\nlog_pitch: 3\n")
    assert MUDSLIDE.matches(path)
    with pytest.raises(ValueError, match="traj-0.yaml is not a whole main file of mudslide"):
        read(path)
    (tmp_path / "other.yaml").write_text("model: painn\n")
    assert not MUDSLIDE.matches(tmp_path / "other.yaml")


@SLOW_OK
@given(cut=st.floats(0, 1), packed=st.booleans())
def test_a_trace_cut_anywhere_gives_its_whole_snapshots(tmp_path_factory, cut, packed):
    folder = tmp_path_factory.mktemp("cut")
    run = Run(frames=8)
    path = run.write(folder)
    (folder / "coord").write_text("$coord\n" + "".join(f"0 0 0 {name}\n" for name in "cohh") + "$end\n")
    log = folder / "traj-0-log_1.yaml"
    data = log.read_bytes()
    part = data[: round(cut * len(data))]
    if packed:
        log.unlink()
        log.with_name(log.name + ".xz").write_bytes(lzma.compress(data)[: round(cut * len(lzma.compress(data)))])
    else:
        log.write_bytes(part)
    trajectory = read(path)
    count = trajectory.num_frames
    np.testing.assert_allclose(trajectory.columns["positions"].reshape(count, -1), run.position[:count] * BOHR)
    if not packed:
        begun = part.count(b"\n- ") + part.startswith(b"- ")
        assert 4 + begun - 1 <= count <= 4 + begun
        assert trajectory.problems or count == 4 + begun
    else:
        assert trajectory.problems or count == 8


@SLOW_OK
@given(data=st.data())
def test_a_mutilated_log_loses_only_the_snapshots_that_were_touched(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("hole")
    run = Run(frames=8)
    path = run.write(folder, compact=data.draw(st.booleans()))
    (folder / "coord").write_text("$coord\n" + "".join(f"0 0 0 {name}\n" for name in "cohh") + "$end\n")
    log = folder / "traj-0-log_0.yaml"
    text = log.read_text()
    first = data.draw(st.integers(0, len(text) - 1))
    last = data.draw(st.integers(first, min(len(text), first + 300)))
    log.write_text(text[:first] + data.draw(st.sampled_from(["", "\n", "- ", "nan", "x: [", ": 1"])) + text[last:])
    trajectory = read(path)
    number = np.cumsum([line.startswith("- ") for line in text.splitlines(keepends=True)]) - 1
    ends = np.cumsum([len(line) for line in text.splitlines(keepends=True)])
    touched = {int(number[np.searchsorted(ends, at, side="right").clip(max=len(ends) - 1)]) for at in (first, last)}
    touched |= set(range(min(touched), max(touched) + 1)) | {min(touched) - 1}
    kept = {round(float(t / ATOMIC_TIME), 6): k for k, t in enumerate(trajectory.columns["time"])}
    for k in set(range(8)) - touched:
        at = kept[round(float(run.time[k]), 6)]
        np.testing.assert_allclose(trajectory.columns["positions"][at].ravel(), run.position[k] * BOHR)
    assert trajectory.num_frames == 8 or trajectory.problems
