"""Hops, conservation of energy, yields and the files of an analysis equal what was put in by hand."""

import csv

import ase.io
import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.plots.shown import select
from mlff.dynamics.namd.analysis import energy_conservation, find_hops, find_yields
from mlff.dynamics.namd.gather import gathered
from mlff.dynamics.namd.products import parse_product
from mlff.dynamics.namd.report import analyse

TIMES = 0.5 * np.arange(41)


@pytest.fixture
def dataset(tmp_path) -> HDF5Dataset:
    """Four trajectories of H2: 0 and 1 hop and break up, 2 stays, 3 stops early; total energies drift by 2 k meV/ps."""
    with HDF5Writer(tmp_path / "run.h5", durable=False) as writer:
        writer.add_system("H2", [1, 1], num_states=2, label=["S0", "S1"], multiplicity=[1, 1], root=[0, 1])
        for k in range(4):
            count = 21 if k == 3 else 41
            time = TIMES[:count]
            active = np.where((time >= 5.0 + k) & (k < 2), 0, 1)
            lower = -30 + 0.1 * np.sin(time)
            energy = np.stack([lower, lower + 1 + 0.1 * k], axis=1)
            potential = energy[np.arange(count), active]
            columns = {
                "positions": np.zeros((count, 2, 3)), "time": time, "step": np.arange(count), "energy": energy,
                "active_state": active, "hop": np.append(0, np.diff(active) != 0),
                "kinetic_energy": -28 + 2e-6 * k * time - potential, "population": np.eye(2)[active],
            }  # fmt: skip
            columns["positions"][:, 1, 0] = 0.7 + (k < 2) * time
            writer.add_trajectory("H2", columns, name=f"t{k}", dt=0.5, status="crashed" if k == 3 else "complete")
    return HDF5Dataset(tmp_path / "run.h5")


def table(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_hops_are_those_of_the_active_state(dataset):
    hops = find_hops(select(dataset, None, None))
    assert hops.trajectory.tolist() == [0, 1] and hops.time.tolist() == [5.0, 6.0]
    assert hops.before.tolist() == [1, 1] and hops.after.tolist() == [0, 0]
    np.testing.assert_allclose(hops.gap, [1.0, 1.1])
    np.testing.assert_array_equal(dataset.systems[0].read("hop", hops.row), [1, 1])


def test_drift_is_the_slope_of_the_total_energy(dataset):
    found = energy_conservation(select(dataset, None, None))
    np.testing.assert_allclose(found.drift, [0, 2, 4, 6], atol=1e-6)
    np.testing.assert_allclose(found.largest, 0.002 * np.arange(4) * np.array([20, 20, 20, 10]), atol=1e-8)
    np.testing.assert_allclose(found.rms, 0, atol=1e-8)
    np.testing.assert_allclose(found.duration, [20, 20, 20, 10])


def test_yields_are_of_trajectories_that_came_to_their_end(dataset):
    products = [parse_product("atoms: distance(0,1) > 2 and state == 0"), parse_product("excited: state == 1")]
    found = find_yields(select(dataset, None, None), products)
    assert found.product.tolist() == [0, 0, 1, -2] and found.stopped == 1
    assert found.names == ("atoms", "excited", "none of them") and found.count.tolist() == [2, 1, 0]
    np.testing.assert_allclose(found.share, [2 / 3, 1 / 3, 0])
    assert found.low[0] == 0 and found.high[0] == 1 and found.high[2] == 0


def test_the_files_hold_it(dataset, tmp_path):
    out = tmp_path / "analysis"
    report = analyse(dataset, out, products=["atoms: distance(0,1) > 2"])
    names = {"populations.csv", "populations.png", "energy.csv", "energy.png", "hops.csv", "hops.xyz", "hops.png"}
    names |= {"products.csv", "stopped.xyz"}
    assert {each.name for each in report.files} == {each.name for each in out.iterdir()} == names
    populations = table(out / "populations.csv")
    assert len(populations) == 41 and populations[-1]["running"] == "3"
    assert float(populations[-1]["S0_classical"]) == pytest.approx(2 / 3) == float(populations[-1]["S0_quantum"])
    assert float(populations[0]["S1_classical_low"]) == 1
    assert [row["trajectory"] for row in table(out / "hops.csv")] == ["t0", "t1"]
    assert [row["product"] for row in table(out / "products.csv")] == ["atoms", "atoms", "none of them", "stopped early"]
    hops = ase.io.read(out / "hops.xyz", ":")
    assert [each.get_distance(0, 1) for each in hops] == pytest.approx([5.7, 6.7])
    assert hops[0].info["from_state"] == "S1" and hops[0].info["gap"] == pytest.approx(1.0)
    assert len(ase.io.read(out / "stopped.xyz", ":")) == 1
    text = "\n".join(report.lines)
    assert "4: 3 complete, 1 stopped early" in text and "2: S1 to S0 2" in text and "0.667 (0.667 to" not in text
    assert "1 that stopped early left out" in text


def test_runs_are_taken_together_and_pieces_put_together(dataset, tmp_path):
    path = dataset.path
    with gathered([path]) as one:
        assert one.path == path
    system = dataset.systems[0]
    for name, offset in (("first", 0), ("second", 4)):
        with HDF5Writer(tmp_path / f"{name}.h5") as writer:
            writer.add_system("H2", [1, 1], num_states=2, label=["S0", "S1"], multiplicity=[1, 1], root=[0, 1])
            for part in (slice(0, 10), slice(10, None)):
                for k, each in enumerate(dataset.trajectories):
                    rows = np.arange(each.first, each.first + each.count)[part]
                    columns = {key: system.read(key, rows) for key in system.names if key != "trajectory"}
                    writer.add_trajectory("H2", columns, name=f"t{k + offset}", dt=0.5, status="truncated")
            writer.close()
    with gathered([tmp_path / "first.h5", tmp_path / "second.h5"]) as both:
        assert [each.name for each in both.trajectories] == [f"t{k}" for k in range(8)]
        assert [each.count for each in both.trajectories] == [41, 41, 41, 21] * 2
        assert find_hops(select(both, None, None)).trajectory.tolist() == [0, 1, 4, 5]
    with pytest.raises(ValueError, match="both have a trajectory t[0-3]; number those of further runs on"):
        with gathered([path, tmp_path / "first.h5"]):
            pass


def test_trajectories_without_energies_or_states_are_said_to_lack_them(tmp_path):
    with HDF5Writer(tmp_path / "bare.h5", durable=False) as writer:
        writer.add_system("H2", [1, 1], num_states=1)
        writer.add_trajectory("H2", {"positions": np.zeros((3, 2, 3)), "time": np.arange(3.0)}, name="a")
    report = analyse(HDF5Dataset(tmp_path / "bare.h5"), tmp_path / "out")
    assert {each.name for each in report.files} == {"energy.csv", "hops.csv"}
    assert "neither active states nor quantum populations are known" in "\n".join(report.lines)
    with pytest.raises(ValueError, match="there is no atom 7"):
        analyse(HDF5Dataset(tmp_path / "bare.h5"), tmp_path / "out", products=["a: distance(0,7) > 1"])
