"""Populations equal counts by hand, sum to one, and are of the trajectories that still run."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.plots import NothingToDraw, plot_populations
from mlff.data.plots.populations import read_populations
from mlff.data.plots.shown import select

from .peroxide import lines


def test_populations_equal_counts_by_hand(dataset):
    found = read_populations(select(dataset, "H2O2"))
    np.testing.assert_allclose(found.time, 0.5 * np.arange(6))
    assert found.running.tolist() == [3, 3, 3, 2, 2, 2] and found.ended == 1
    third = 1 / 3
    by_hand = [[0, third, 2 * third], [0, third, 2 * third], [0, 2 * third, third], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    np.testing.assert_allclose(found.fraction, by_hand)
    np.testing.assert_allclose(found.fraction.sum(axis=1), 1.0)
    np.testing.assert_allclose(found.quantum, np.tile([0.4, 0.0, 0.6], (6, 1)))  # the triplet's three components together


def test_the_picture_shows_them_and_how_many_run(dataset):
    found = read_populations(select(dataset, "H2O2"))
    figure = plot_populations(dataset, "H2O2")
    upper, lower = figure.axes
    for state in range(3):
        np.testing.assert_allclose(lines(upper)[f"_active {state}"].get_ydata(), found.fraction[:, state])
        np.testing.assert_allclose(lines(upper)[f"_quantum {state}"].get_ydata(), found.quantum[:, state])
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), found.running)
    caption = " ".join(figure.get_supxlabel().split())
    assert "1 trajectory ends before 2.5 fs and is not counted after that" in caption
    assert "shares are of those still running" in caption and "one standard error" in caption


def test_the_band_is_the_standard_error_and_never_nothing(tmp_path):
    number = 40
    with HDF5Writer(tmp_path / "many.h5", durable=False) as writer:
        writer.add_system("H", [1], num_states=2)
        for k in range(number):
            frames = {"positions": np.zeros((2, 1, 3)), "time": np.arange(2.0), "active_state": np.array([1, int(k % 4 == 0)])}
            writer.add_trajectory("H", frames, name=str(k))
    found = read_populations(select(HDF5Dataset(tmp_path / "many.h5")))
    np.testing.assert_allclose(found.fraction, [[0, 1], [0.75, 0.25]])
    assert (found.high - found.low)[1, 1] / 2 == pytest.approx(np.sqrt(0.25 * 0.75 / number), rel=0.03)
    assert found.low[0, 0] == pytest.approx(0, abs=1e-12) and found.high[0, 0] == pytest.approx(1 / (number + 1))


def test_populations_of_a_program_come_first_and_uneven_steps_meet_on_one_grid(tmp_path):
    path = tmp_path / "uneven.h5"
    with HDF5Writer(path) as writer:
        writer.add_system("H", [1], num_states=2, spin_states=[(0, 0), (1, 0)])
        for name, step, count in (("fine", 0.5, 9), ("coarse", 1.0, 5), ("late", 0.5, 5)):
            time = step * np.arange(count) + (2.0 if name == "late" else 0.0)
            frames = {"positions": np.zeros((count, 1, 3)), "time": time, "active_state": (time >= 2.0).astype(int)}
            frames |= {"population": np.tile([0.3, 0.7], (count, 1)), "coefficients": np.ones((count, 2), complex)}
            writer.add_trajectory("H", frames, name=name)
        writer.add_trajectory("H", {"positions": np.zeros((2, 1, 3)), "active_state": np.zeros(2, int)}, name="untimed")
    found = read_populations(select(HDF5Dataset(path)))
    np.testing.assert_allclose(found.time, 0.5 * np.arange(9))
    assert found.running.tolist() == [2, 2, 2, 2, 3, 3, 3, 3, 3] and found.untimed == 1 and found.ended == 0
    np.testing.assert_allclose(found.fraction[:, 1], [0, 0, 0, 0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(found.quantum, np.tile([0.3, 0.7], (9, 1)))
    caption = " ".join(plot_populations(HDF5Dataset(path)).get_supxlabel().split())
    assert "1 trajectory is left out, with times that are not known" in caption


def test_what_is_missing_is_said(dataset, azobenzene):
    with pytest.raises(NothingToDraw, match="belong to no known trajectory"):
        plot_populations(dataset, "H2")
    with pytest.raises(NothingToDraw, match="neither active states nor quantum populations"):
        plot_populations(azobenzene)


def test_hops_of_real_trajectories_show_where_they_were(shared_data, tmp_path):
    from mlff.data.importers import import_sources

    path = tmp_path / "sharc.h5"
    import_sources([shared_data / "surface_hopping" / "sharc_v2_ch2nh2"], path)
    shown = select(HDF5Dataset(path))
    found = read_populations(shown)
    at = {frame: found.fraction[frame].tolist() for frame in (0, 8, 28, 52)}
    assert at == {0: [0, 0, 1], 8: [0, 0.5, 0.5], 28: [0.5, 0, 0.5], 52: [0.5, 0.5, 0]}
    assert found.running[172] == 2 and found.running[173] == 1
    np.testing.assert_allclose(found.quantum.sum(axis=1), 1.0, atol=1e-4)
