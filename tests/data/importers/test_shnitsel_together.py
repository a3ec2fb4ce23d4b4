"""SHNITSEL files with several trajectories in one group, and spin-orbit couplings."""

import json

import h5py
import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources
from mlff.data.importers.shnitsel.file import SHNITSEL
from mlff.units import ATOMIC_VELOCITY, BOHR, HARTREE, INVERSE_CM

from .shnitsel_files import DT, LENGTHS, close, motion, read, together


@pytest.mark.parametrize("layout", ["stacked", "layered"])
def test_trajectories_in_one_group_are_taken_apart(tmp_path, layout):
    path = together(tmp_path / "a.nc", layout)
    assert SHNITSEL.matches(path)
    trajectories, problems = read(path)
    assert [(each.name, each.num_frames, each.status, each.dt) for each in trajectories] == [
        ("7", 40, "complete", DT),
        ("3", 25, "crashed", DT),
    ]
    assert problems == ["a.nc 3: the run did not complete (25 frames)"]
    for k, (each, length) in enumerate(zip(trajectories, LENGTHS, strict=True)):
        positions, velocities, energy, forces = motion(length, seed=k)
        close(each.columns["positions"], positions * BOHR)
        close(each.columns["velocities"], velocities * ATOMIC_VELOCITY)
        close(each.columns["energy"], energy * HARTREE)
        close(each.columns["forces"], forces.transpose(0, 2, 1, 3) * HARTREE / BOHR)
        close(each.columns["time"], np.arange(length) * DT)
        assert (each.columns["active_state"] == 1).all() and each.system.label == ("S0", "S1", "T1")


def test_stacked_frames_may_be_mixed_but_not_nameless(tmp_path):
    def mix(held):
        mixed = np.argsort(held["time"][0], kind="stable")  # a frame of each in turn
        for name, (array, axes) in held.items():
            if "frame" in axes:
                held[name] = (np.take(array, mixed, axis=axes.index("frame")), axes)

    trajectories, problems = read(together(tmp_path / "a.nc", "stacked", change=mix))
    assert [(each.name, each.num_frames) for each in trajectories] == [("7", 40), ("3", 25)] and len(problems) == 1
    close(trajectories[1].columns["positions"], motion(25, seed=1)[0] * BOHR)

    def nameless(held):
        del held["atrajectory"], held["trajectory"]
        for name in ("completed", "max_ts", "delta_t"):
            del held[name]

    trajectories, problems = read(together(tmp_path / "b.nc", "stacked", change=nameless))
    assert not trajectories and "no variable `atrajectory` or `trajid` says of which each is" in problems[0]

    def alone(held):
        nameless(held)
        for name, (array, axes) in held.items():
            if "frame" in axes:
                held[name] = (np.take(array, range(40), axis=axes.index("frame")), axes)

    trajectories, problems = read(together(tmp_path / "c.nc", "stacked", change=alone))
    assert [each.num_frames for each in trajectories] == [40] and not problems


SOC_PAIRS = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b]


def with_couplings(*, unit="1/cm", full=True, real=False, more=None):
    """Complex elements of all ordered pairs (or magnitudes of the unordered ones), made up."""
    random = np.random.default_rng(5)
    matrix = random.normal(size=(65, 3, 3)) + 1j * random.normal(size=(65, 3, 3))
    matrix = matrix + matrix.conj().swapaxes(1, 2)
    matrix[:, range(3), range(3)] = 0

    def change(held):
        pairs = SOC_PAIRS if full else [pair for pair in SOC_PAIRS if pair[0] < pair[1]]
        i, j = np.array(pairs).T - 1
        axis = "full_statecomb" if full else "statecomb"
        values = matrix[:, i, j]
        held["socs"] = ((np.abs(values) if real else values).T, (axis, "frame"))
        for name, at in (("from", i), ("to", j)):
            held[f"full_statecomb_{name}" if full else name] = (at + 1, (axis,))
        if more is not None:
            more(held)

    return matrix, change, unit


def coupled(path, matrix, change, unit):
    together(path, "stacked", change=change)
    if unit is not None:
        with h5py.File(path, "a") as file:
            file["socs"].attrs["units"] = json.dumps(unit)
    return read(path)


@pytest.mark.parametrize("full", [True, False])
def test_spin_orbit_couplings_are_read_with_their_pairs_and_unit(tmp_path, full):
    def magnetic(held):
        held["state_magnetic_number"] = (np.array([0.0, 0.0, -1.0]), ("state",))

    matrix, change, unit = with_couplings(full=full, more=magnetic)
    (first, second), problems = coupled(tmp_path / "a.nc", matrix, change, unit)
    assert not [each for each in problems if "soc" in each]
    close(np.concatenate([first.columns["soc"], second.columns["soc"]]), matrix * INVERSE_CM)
    assert first.system.soc_pairs == ((0, 1), (0, 2), (1, 2))
    assert first.system.spin_states == ((0, 0), (1, 0), (2, -2))
    close(first.columns["soc_magnitude"][:, 1], np.abs(matrix[:40, 0, 2]) * INVERSE_CM)
    import_sources([tmp_path / "a.nc"], tmp_path / "a.h5")
    assert HDF5Dataset(tmp_path / "a.h5").systems[0].read("soc").shape == (65, 3, 3)


def test_magnitudes_and_elements_between_unknown_components_have_their_size_only(tmp_path):
    for k, real in enumerate((True, False)):
        matrix, change, _ = with_couplings(real=real)
        (first, _), _ = coupled(tmp_path / f"{k}.nc", matrix, change, "Hartree")
        assert "soc" not in first.columns and first.system.spin_states == ()
        close(first.columns["soc_magnitude"], np.abs(matrix[:40][:, [0, 0, 1], [1, 2, 2]]) * HARTREE)


def test_components_of_sharc_are_in_its_order(tmp_path):
    def counts(held):
        held["state_types"] = (np.array([3, 3, 3]), ("state",))

    matrix, change, unit = with_couplings(more=counts)
    path = together(tmp_path / "a.nc", "stacked", change=change)
    with h5py.File(path, "a") as file:
        file["socs"].attrs["units"] = json.dumps(unit)
        for name, count in (("singlets", 0), ("doublets", 0), ("triplets", 1)):
            file.attrs[f"num_{name}"] = json.dumps(count)
    (first, _), problems = read(path)
    assert first.system.spin_states == ((0, -2), (1, 0), (2, 2)) and "soc" in first.columns
    assert any("its states are spin components" in each for each in problems)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("unit", "`socs` says no unit: not read"),
        ("pairs", "`socs` does not say which states it joins: not read"),
        ("states", "`socs` joins states that are none of [1, 2, 3]: not read"),
        ("hermitian", "`socs` is not hermitian: not read"),
    ],
)
def test_couplings_that_are_not_certain_are_not_read_and_told(tmp_path, kind, told):
    def spoil(held):
        if kind == "pairs":
            del held["full_statecomb_to"]
        if kind == "states":
            held["full_statecomb_to"] = (np.full(6, 9), ("full_statecomb",))
        if kind == "hermitian":
            held["socs"][0][0] *= -1

    matrix, change, unit = with_couplings(more=spoil)
    trajectories, problems = coupled(tmp_path / "a.nc", matrix, change, None if kind == "unit" else unit)
    assert sum(told in each for each in problems) == 2 and "soc_magnitude" not in trajectories[0].columns


def test_the_diagonal_state_is_kept(tmp_path):
    def diagonal(held):
        held["sdiag"] = (np.full(65, 3), ("frame",))

    trajectories, problems = read(together(tmp_path / "a.nc", "stacked", change=diagonal))
    assert (trajectories[0].columns["active_diagonal_state"] == 2).all() and len(problems) == 1
