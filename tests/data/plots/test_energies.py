"""Pictures of energies, gaps and forces show the numbers of the file."""

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.plots import NothingToDraw, plot_energies, plot_forces, plot_gaps
from mlff.data.plots.shown import Shown, select
from mlff.data.plots.states import state_style

from .peroxide import columns, counts, lines


def test_every_state_is_drawn_from_the_lowest_energy_with_the_active_one_bold(dataset):
    figure = plot_energies(dataset, "H2O2")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["t0", "t1", "t2 (crashed)"]
    for k, axes in enumerate(panels):
        held, drawn = columns(k), lines(axes)
        for state, name in enumerate(("S0", "S1", "T1")):
            np.testing.assert_allclose(drawn[name].get_xdata(), held["time"])
            np.testing.assert_allclose(drawn[name].get_ydata(), held["energy"][:, state] + 100.0, atol=1e-9)
            assert drawn[name].get_color() == state_style(state)["color"]
        bold = [drawn[f"_active {name}"] for name in ("S0", "S1", "T1") if f"_active {name}" in drawn]
        assert {line.get_color() for line in bold} == {state_style(s)["color"] for s in held["active_state"]}
        assert all(line.get_linewidth() > 3 for line in bold)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["S0", "S1", "T1", "bold: active", "hop", "frustrated hop"]
    assert "peroxide.h5, H2O2" in figure.get_suptitle()


def test_hops_and_frustrated_hops_are_marked_differently_on_the_new_state(dataset):
    figure = plot_energies(dataset, "H2O2", trajectories=["t0", "t1"])
    for k, axes in enumerate(figure.axes):
        held = columns(k)
        for kind in (1, 2):
            where = np.flatnonzero(held["hop"] == kind)
            if not len(where):
                continue
            marks = lines(axes)[f"_hop {kind}"]
            np.testing.assert_allclose(marks.get_xdata(), held["time"][where])
            np.testing.assert_allclose(marks.get_ydata(), held["energy"][where, held["active_state"][where]] + 100, atol=1e-9)
            assert marks.get_marker() == {1: "o", 2: "x"}[kind]


def test_long_trajectories_are_thinned_but_for_their_hops(tmp_path):
    count = 9001
    hop = np.zeros(count, int)
    hop[[4001, 8003]] = 1
    with HDF5Writer(tmp_path / "long.h5") as writer:
        writer.add_system("H", [1], num_states=2)
        writer.add_trajectory("H", {"positions": np.zeros((count, 1, 3)), "energy": np.zeros((count, 2)), "hop": hop}, name="a")
    dataset = HDF5Dataset(tmp_path / "long.h5")
    rows, stride = select(dataset).drawn_rows(dataset.trajectories[0])
    assert stride == 5 and len(rows) < 2010 and {0, 4000, 4001, 8002, 8003, 9000} <= set(rows.tolist())
    assert "every 5th frame" in plot_energies(dataset).get_supxlabel()
    assert plot_energies(dataset).axes[0].get_xlabel() == "Frame (no times known)"


def test_frames_of_no_trajectory_give_a_distribution(dataset):
    figure = plot_energies(dataset, "H2")
    assert figure.get_suptitle().startswith("Distribution of energies")
    values, edges = counts(figure.axes[0])["_0"]
    assert values.sum() == 3 and edges[0] == pytest.approx(0) and edges[-1] == pytest.approx(0.2)


def test_gaps_are_those_of_neighbouring_states_of_one_multiplicity(dataset):
    figure = plot_gaps(dataset, "H2O2")
    assert set(counts(figure.axes[0])) == {"_1"}  # T1 has no triplet beside it
    assert counts(figure.axes[0])["_1"][0].sum() == 15
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["S1 − S0\n0 below 0.1 eV"]
    assert "no gap is below 0.5 eV" in [text.get_text() for text in figure.axes[1].texts]


def test_forces_are_counted_by_state_and_their_share_is_told(dataset):
    figure = plot_forces(dataset, "H2O2")
    components, norms = (counts(axes) for axes in figure.axes)
    active = np.concatenate([columns(k)["active_state"] for k in range(3)])
    for state in range(3):
        frames = (active == state).sum()
        assert components[f"_{state}"][0].sum() == 12 * frames and norms[f"_{state}"][0].sum() == 4 * frames
    assert norms["_0"][1][-1] == pytest.approx(np.sqrt(3) * 3)
    assert figure.legends[0].get_texts()[0].get_text() == f"S0\nin {100 * (active == 0).mean():.0f} % of frames"


def test_what_is_missing_is_said(dataset):
    with pytest.raises(NothingToDraw, match="there is one state"):
        plot_gaps(dataset, "H2")
    with pytest.raises(NothingToDraw, match="no frame has forces"):
        plot_forces(dataset, "H2")
    with pytest.raises(ValueError, match=r"2 systems; name one of them: H2O2, H2"):
        plot_energies(dataset)
    with pytest.raises(ValueError, match="no system 'H3'; it has: H2O2, H2"):
        plot_energies(dataset, "H3")
    with pytest.raises(ValueError, match="no trajectory 't7'; it has: t0, t1, t2"):
        plot_energies(dataset, "H2O2", trajectories=["t7"])


def test_a_sample_is_even_and_said():
    class Fake:
        num_frames = 80_400

    shown = Shown(None, Fake(), (), False)  # type: ignore[arg-type]
    rows = shown.rows(1000)
    assert len(rows) == 1000 and rows[0] == 0 and rows[-1] == 80_399 and np.ptp(np.diff(rows)) <= 1
    assert shown.sampled(rows) == "1,000 of 80,400 frames, evenly spaced"
