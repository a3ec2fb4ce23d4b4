"""Workers take turns, what they print is no answer, and their failures are told in words."""

import sys

import pytest

from mlff.benchmarks.contest import Timing, Worker, WorkerError, ratio_of, take_turns
from mlff.benchmarks.spread import Spread

WORKER = """
from mlff.benchmarks.worker import serve
print("noise at import")
class Task:
    frames_per_step = {frames}
    def facts(self): return {{"atoms": 3}}
    def restore(self): print("noise of a package")
    def run(self, steps):
        with open({log!r}, "a") as log: log.write({name!r} * steps)
        {body}
def build():
    {build}
    return Task(), {{}}
serve(build)
"""


def worker(tmp_path, name, *, body="pass", build="pass", frames=1):
    code = WORKER.format(name=name, log=str(tmp_path / "log"), body=body, build=build, frames=frames)
    return lambda: Worker([sys.executable, "-c", code], 1)


def test_workers_take_turns(tmp_path):
    first, second = take_turns([worker(tmp_path, "a"), worker(tmp_path, "b", frames=4)], rounds=3, steps=2)
    # Warm-up of three steps, then two steps each in turn.
    assert (tmp_path / "log").read_text() == "aaabbb" + "aabb" * 3
    document = first.document()
    assert document["rounds"] == 3 and document["steps_per_round"] == 2 and document["atoms"] == 3
    assert document["peak_megabytes"] >= document["start_megabytes"] > 1
    assert second.frames_per_step == 4


def test_long_steps_warm_up_for_two_and_have_three_rounds(tmp_path, monkeypatch):
    monkeypatch.setattr("mlff.benchmarks.contest.SECONDS_PER_ROUND", 0.0)
    long = worker(tmp_path, "a", body="import mlff.benchmarks.worker as w; w.LONG_STEP = 0.0; sum(range(10000))")
    (timing,) = take_turns([long], rounds=9, most_seconds=0.0)
    assert (tmp_path / "log").read_text() == "aa" + "a" * 3
    assert timing.document()["rounds"] == 3


def test_a_failure_ends_one_worker_and_not_the_others(tmp_path):
    refused = worker(tmp_path, "x", build="raise ValueError('`cutoff` is 0')")
    dying = worker(tmp_path, "y", body="import os; os._exit(7)")
    late = worker(tmp_path, "z", body="if steps == 2: raise RuntimeError('no memory')")
    good, *bad = take_turns([worker(tmp_path, "a"), refused, dying, late], rounds=2, steps=2)
    assert isinstance(good, Timing) and len(good.wall) == 2
    assert [str(error) for error in bad] == [
        "`cutoff` is 0",
        "the measuring process ended early (exit code 7): noise of a package",
        "RuntimeError: no memory",
    ]
    assert all(isinstance(error, WorkerError) for error in bad)


def test_warnings_of_a_task_are_kept(tmp_path):
    build = "import warnings; warnings.warn('runs uncompiled')"
    (timing,) = take_turns([worker(tmp_path, "a", build=build)], rounds=1)
    assert timing.document()["warnings"] == ["runs uncompiled"]


def test_ratios_are_of_frames_and_of_rounds():
    first = Timing(1, 1, {}, [], 0, 0, wall=[1.0, 2.0, 6.0])
    second = Timing(1, 4, {}, [], 0, 0, wall=[2.0, 2.0, 2.0])
    assert ratio_of(first, second, "wall") == Spread(4.0, 3.0, 8.0)


def test_a_spread_is_median_and_quartiles():
    assert Spread.of([5, 1, 2, 3, 4]) == Spread(3.0, 2.0, 4.0)
    assert str(Spread.of([0.012345])) == "0.0123 (0.0123-0.0123)"


def test_a_worker_is_ended_when_its_user_fails(tmp_path):
    started = worker(tmp_path, "a")()
    with pytest.raises(KeyboardInterrupt), started:
        started.run(1)
        raise KeyboardInterrupt
    assert started._process.poll() is not None
