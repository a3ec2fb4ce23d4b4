"""The learning rate over a run."""

from __future__ import annotations

import pytest

from mlff.train.config import ScheduleConfig
from mlff.train.schedule import Schedule


def cosine(max_seconds=None, **options) -> Schedule:
    return Schedule(ScheduleConfig(**options), total_steps=1000, max_seconds=max_seconds)


def test_the_cosine_starts_with_a_warm_up_and_ends_at_the_minimum():
    schedule = cosine(warmup_steps=50, minimum=0.01)
    assert schedule.factor(0, 0) == pytest.approx(1 / 51)
    assert schedule.factor(25, 0) < schedule.factor(50, 0) <= 1.0
    assert schedule.factor(1000, 0) == pytest.approx(0.01)
    assert all(schedule.factor(step, 0) >= schedule.factor(step + 1, 0) for step in range(50, 1000))


def test_the_warm_up_takes_a_tenth_of_the_run_at_most():
    assert Schedule(ScheduleConfig(warmup_steps=100), 50, None).factor(5, 0) > 0.9


def test_the_cosine_ends_at_the_time_limit_where_that_comes_first():
    schedule = cosine(max_seconds=60.0, warmup_steps=0)
    assert schedule.factor(100, 60.0) == pytest.approx(0.0)
    assert schedule.factor(100, 30.0) == pytest.approx(0.5)
    assert schedule.factor(100, 1.0) == cosine(warmup_steps=0).factor(100, 0)  # steps are further than time
    assert schedule.progress(5000, 0) == 1.0


def test_the_plateau_lowers_the_rate_when_validation_stalls_and_not_below_the_minimum():
    schedule = cosine(kind="plateau", patience=1, factor=0.1, minimum=0.05, warmup_steps=0)
    for loss in (3.0, 2.0, 2.5):
        schedule.after_validation(loss)
    assert schedule.factor(900, 0) == 1.0
    schedule.after_validation(2.5)
    assert schedule.factor(900, 0) == pytest.approx(0.1)
    for _ in range(4):
        schedule.after_validation(2.5)
    assert schedule.factor(900, 0) == pytest.approx(0.05)


def test_a_loaded_schedule_goes_on_where_the_other_was():
    first, second = cosine(kind="plateau", patience=1), cosine(kind="plateau", patience=1)
    for loss in (3.0, 3.5, 3.5, 2.0, 2.5):
        first.after_validation(loss)
    second.load(first.state)
    for schedule in (first, second):
        schedule.after_validation(2.5)
    assert second.state == first.state
