"""Newton-X: damaged files give every whole frame, and what was lost is said."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.units import ATOMIC_TIME, BOHR, HARTREE

from .newtonx_files import DT, Run, read

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
