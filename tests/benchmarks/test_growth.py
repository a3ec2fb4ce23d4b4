"""Powers are those of the data, boxes that memory would not hold are left out, and the picture is one."""

import numpy as np
import pytest

from mlff.benchmarks import growth
from mlff.benchmarks.contest import Timing, WorkerError


@pytest.fixture
def measured(monkeypatch):
    """Measurements of a model whose time grows as N^1.5 and whose memory as N, without a process."""
    asked = []

    def take_turns(commands, rounds):
        (command,) = commands
        number = int(command.args[0].workload.removeprefix("water-"))
        asked.append(number)
        if number > 5000:
            return [WorkerError("it was killed")]
        seconds = 1e-5 * number**1.5
        return [Timing(1, 1, {"atoms": number}, [], 1.0, 10**8, 0, 10**8 + 10**6 * number, 0.0, [seconds] * 3, [seconds] * 3)]

    monkeypatch.setattr(growth, "take_turns", take_turns)
    return asked


def test_the_power_is_that_of_the_data():
    sizes = np.array([192, 1536, 12000])
    assert growth.fitted_power(sizes, 3.0 * sizes**1.25) == pytest.approx(1.25)
    assert growth.fitted_power([192], [1.0]) is None


def test_growth_is_measured_fitted_and_drawn(measured, monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "free_memory", lambda: 1e12)
    (record,) = growth.measure_growth(["painn"], ["eager"], [1536, 24, 192])
    assert record["atoms"] == [24, 192, 1536]
    assert record["time_exponent"] == pytest.approx(1.5) and record["memory_exponent"] == pytest.approx(1.0)
    growth.plot_growth([record], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["growth.png"]


def test_a_box_that_would_not_fit_is_left_out_and_a_failure_ends_the_row(measured, monkeypatch):
    monkeypatch.setattr(growth, "free_memory", lambda: 1e9)
    (record,) = growth.measure_growth(["painn"], ["eager"], [192, 648, 1536])
    assert measured == [192, 648] and record["left_out"] == ["1536 atoms would take 1.6 GB, and 1.0 GB are free"]
    monkeypatch.setattr(growth, "free_memory", lambda: 1e12)
    (record,) = growth.measure_growth(["painn"], ["eager"], [192, 5184, 12000])
    assert record["atoms"] == [192] and record["left_out"] == ["5184 atoms: it was killed"]
    assert record["time_exponent"] is None
