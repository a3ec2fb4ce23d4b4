"""Checks: sound trajectories pass, each defect that real files had is told, and the figures are kept in the file."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.main import main
from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.checks import FIGURES, check_trajectory
from mlff.data.importers import import_sources
from mlff.units import BOHR, KINETIC

MASSES = np.array([12.0, 1.0])


def oscillator(num_frames=60, dt=0.5):
    """Two atoms on a spring, exactly solved: every figure of a sound trajectory is known."""
    reduced = MASSES.prod() / MASSES.sum() * KINETIC  # eV fs^2/angstrom^2
    stiffness, amplitude = 20.0, 0.2  # eV/angstrom^2, angstrom
    omega = np.sqrt(stiffness / reduced)
    time = np.arange(num_frames) * dt
    stretch, rate = amplitude * np.cos(omega * time), -amplitude * omega * np.sin(omega * time)
    share = np.array([-MASSES[1], MASSES[0]]) / MASSES.sum()
    positions = np.zeros((num_frames, 2, 3))
    positions[:, :, 0] = np.outer(stretch, share) + [0.0, 1.1]
    velocities = np.zeros_like(positions)
    velocities[:, :, 0] = np.outer(rate, share)
    forces = np.zeros((num_frames, 2, 2, 3))
    forces[:, :, 0, 0] = np.outer(-stiffness * stretch, [-1, 1])
    forces[:, :, 1] = np.nan
    energy = np.stack([stiffness * stretch**2 / 2, np.full(num_frames, 3.0)], axis=1)
    nac = np.zeros((num_frames, 2, 1, 3))
    nac[:, 0, 0, 0], nac[:, 1, 0, 0] = 1.0, -1.0
    return {
        "positions": positions,
        "velocities": velocities,
        "forces": forces,
        "energy": energy,
        "nac": nac,
        "interstate_coupling": nac * (energy[:, 1] - energy[:, 0])[:, None, None, None],
        "soc": np.tile([[0, 1e-3j], [-1e-3j, 0]], (num_frames, 1, 1)),
        "time": time,
        "kinetic_energy": reduced * rate**2 / 2,
        "active_state": np.zeros(num_frames, int),
        "hop": np.zeros(num_frames, int),
    }


def check(columns, name="t0"):
    return check_trajectory(columns, MASSES, name=name, owner=f"trajectory {name}", labels=("S0", "S1"), pairs=[(0, 1)])


def test_a_sound_trajectory_has_the_figures_that_it_must_have():
    found = check(oscillator())
    assert not found.problems
    assert found.figures.keys() == FIGURES.keys()
    expected = {"force_slope": 1, "force_fit": 1, "velocity_slope": 1, "velocity_fit": 1, "nac_net": 0}
    expected |= {"coupling_slope": 1, "soc_asymmetry": 0}
    expected |= {"kinetic_ratio": 1, "hop_mismatch": 0, "num_hops": 0, "total_energy_span": 0}
    for figure, value in expected.items():
        assert found.figures[figure] == pytest.approx(value, abs=0.01), figure
    assert found.figures["smallest_distance"] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (lambda c: c | {"forces": -c["forces"]}, "S0: dE is -1.00 times -F.dx, 1 was expected; they look like gradients"),
        (lambda c: c | {"forces": c["forces"] * BOHR}, "S0: dE is 1.89 times -F.dx, 1 was expected; check their unit"),
        (lambda c: c | {"velocities": c["velocities"] * BOHR}, "the kinetic energy is 3.571 times 1/2 m v"),
        (lambda c: c | {"velocities": c["velocities"] * BOHR, "kinetic_energy": np.full(60, np.nan)},
         "dx/dt is 1.90 times the velocity, correlation 1.00"),
        (lambda c: c | {"velocities": c["velocities"][:, ::-1]}, "the atoms do not go where their velocities point"),
        (lambda c: c | {"positions": c["positions"] * BOHR**2, "velocities": c["velocities"] * 0},
         "atoms closer than 0.5 angstrom in 60 frames, first in frame 0"),
        (lambda c: c | {"hop": np.eye(60, dtype=int)[20]}, "hops and active states disagree in 1 frames, first in frame 20"),
        (lambda c: c | {"nac": -c["nac"]},
         "the interstate coupling is -1.00 times nac (E_j - E_i), correlation -1.00; 1 and 1 were expected; the pairs"),
        (lambda c: c | {"interstate_coupling": c["nac"]}, "times nac (E_j - E_i), correlation"),
        (lambda c: c | {"soc": np.abs(c["soc"]) * 1j}, "the spin-orbit couplings are not hermitian, by 2.0e+00 of the largest"),
        (lambda c: c | {"active_state": np.arange(60) // 30}, "hops and active states disagree in 1 frames, first in frame 30"),
    ],
)  # fmt: skip
def test_each_defect_is_one_sentence(defect, words):
    problems = check(defect(oscillator())).problems
    assert any(each.startswith("trajectory t0") and words in each for each in problems), problems


def test_missing_quantities_give_no_figures():
    columns = oscillator()
    assert check({"positions": columns["positions"]}).figures.keys() == {"smallest_distance"}
    assert "force_slope" not in check(columns, name=None).figures


def wrapped(columns, box=1.0):
    """The oscillator in a small box, its atoms put back into it wherever they leave it."""
    positions = columns["positions"] + np.linspace(0, 3, 60)[:, None, None]
    cell = np.tile(np.diag([50.0, box, box]), (60, 1, 1))
    positions[:, :, 1:] %= box
    velocities = columns["velocities"] + (3 / 59) / 0.5
    pbc = np.tile([False, True, True], (60, 1))
    held = {name: columns[name] for name in ("energy", "forces", "time")}
    return held | {"positions": positions, "velocities": velocities, "cell": cell, "pbc": pbc}


def test_wrapped_atoms_are_followed_through_the_walls_of_the_cell():
    columns = wrapped(oscillator())
    assert (np.abs(np.diff(columns["positions"], axis=0)) > 0.5).any()
    found = check(columns)
    for figure in ("force_slope", "force_fit", "velocity_slope", "velocity_fit"):
        assert found.figures[figure] == pytest.approx(1, abs=0.01), figure
    turned = check(columns | {"forces": -columns["forces"]})
    assert any("they look like gradients" in each for each in turned.problems)
    growing = columns | {"cell": columns["cell"] * np.linspace(1, 1.1, 60)[:, None, None]}
    assert "force_slope" not in check(growing).figures  # the energy changes with the cell too


def test_couplings_of_one_kind_have_their_sum_too():
    columns = oscillator()
    del columns["nac"]
    columns["interstate_coupling"][:, 1] = 0
    assert check(columns).figures["nac_net"] == pytest.approx(1)


def test_frustrated_hops_are_no_hops():
    columns = oscillator() | {"hop": 2 * np.eye(60, dtype=int)[20]}
    assert not check(columns).problems


def test_figures_and_problems_are_kept_through_appending(tmp_path):
    path = tmp_path / "frames.h5"
    for k, mode in enumerate("xa"):
        with HDF5Writer(path, mode) as writer:
            if not k:
                writer.add_system(
                    "CH", [6, 1], num_states=2, masses=MASSES, nac_pairs=[(0, 1)], spin_states=[(0, 0), (1, 0)]
                )
            writer.add_trajectory("CH", oscillator(), name=f"t{k}", checks={"force_slope": 1.0 + k})
            writer.add_report([f"problem {k}"])
    with HDF5Writer(path, "a") as writer:
        writer.add_trajectory("CH", oscillator(), name="t2")
    dataset = HDF5Dataset(path)
    assert dataset.report == ("problem 0", "problem 1")
    assert dataset.checks["force_slope"][:2].tolist() == [1.0, 2.0]
    assert not (dataset.checks["force_slope"][2:] == 0).any()


def test_an_import_prints_a_table_and_stores_it(tmp_path):
    frames = []
    columns = oscillator()
    for name, sign in (("good", 1), ("bad", -1)):
        for k in range(60):
            rows = "".join(
                " ".join(map(str, [s, *columns["positions"][k, a], *(sign * columns["forces"][k, a, 0])])) + "\n"
                for a, s in enumerate("CH")
            )
            frames.append(
                f"2\nProperties=species:S:1:pos:R:3:forces:R:3 energy={columns['energy'][k, 0]} "
                f"trajectory={name} time={columns['time'][k]}\n{rows}"
            )
    (tmp_path / "m.xyz").write_text("".join(frames))
    report = import_sources([tmp_path / "m.xyz"], tmp_path / "m.h5")
    assert [row.name for row in report.rows] == ["good", "bad"] and "dE/-Fdx" in report.text()
    assert report.rows[1].figures["force_slope"] == pytest.approx(-1, abs=0.01)
    (problem,) = report.problems
    assert problem.startswith("trajectory bad: dE is -1.0")
    dataset = HDF5Dataset(tmp_path / "m.h5")
    assert dataset.report == (problem,)
    np.testing.assert_allclose(dataset.checks["force_slope"], [1, -1], atol=0.01)
    text = CliRunner().invoke(main, ["data", "info", str(tmp_path / "m.h5")]).output
    assert "problems found on import: 1 " in text and "trajectory bad" in text
    shown = json.loads(CliRunner().invoke(main, ["data", "info", str(tmp_path / "m.h5"), "--json"]).output)
    assert shown["trajectories"][1]["checks"]["force_slope"] == pytest.approx(-1, abs=0.01)
    with pytest.raises(ValueError, match="`--strict` was given"):
        import_sources([tmp_path / "m.xyz"], tmp_path / "strict.h5", strict=True)


def test_the_embedded_set_has_no_defect(azobenzene):
    system = azobenzene.systems[0]
    for each in azobenzene.trajectories[:5]:
        rows = slice(each.first, each.first + each.count)
        columns = {name: system.read(name, rows) for name in ("positions", "energy", "forces", "time")}
        assert not check_trajectory(columns, system.masses, name=each.name, owner=str(each.name)).problems
