"""What stands in for a shipped model is of its settings; the report compares with the fastest mode and tells of failures."""

import pytest
from rich.console import Console

from benchmarks.peers.opponents import OPPONENTS, SHIPPED
from benchmarks.peers.report import best_records, print_report
from mlff import load_potential
from mlff.benchmarks.candidates import build_potential


def record(peer_mode, milliseconds, workload="azobenzene", **more):
    result = {
        "processor_milliseconds": {"median": milliseconds}, "peak_megabytes": 400.0, "rounds": 3,
        "frames_per_processor_second": 20.0,
    }  # fmt: skip
    return {
        "peer": "nequip-l1", "peer_mode": peer_mode, "model": "painn", "mode": "compiled", "workload": workload,
        "peer_result": result, "mlff_result": result, "memory_ratio": 0.5,
        "processor_ratio": {"median": milliseconds / 2, "lower_quartile": 1.0, "upper_quartile": 9.0},
    } | more  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_stand_ins_have_the_settings_of_the_shipped_models(name):
    assert build_potential(SHIPPED[name]).config.model == load_potential(name).config.model


def test_shipped_models_meet_what_they_know(tmp_path):
    nequip = OPPONENTS["nequip-l1"]
    assert set(SHIPPED) < set(nequip.our_models("azobenzene", training=False, folder=tmp_path))
    on_water = nequip.our_models("water-192", training=False, folder=tmp_path)
    assert set(SHIPPED.values()) < set(on_water) and not set(SHIPPED) & set(on_water)
    assert set(nequip.our_models("azobenzene", training=True, folder=tmp_path)) == set(SHIPPED.values())


def test_ours_stand_beside_the_fastest_mode():
    records = [record("eager", 12.0), record("compiled", 6.0), record("eager", 100.0, "water-192")]
    assert [each["peer_mode"] for each in best_records(records)] == ["compiled", "eager"]


def test_a_failure_is_told_in_its_row_and_in_a_line():
    failed = record("eager", 1.0, "water-1536", errors={"peer": "RuntimeError: can't allocate memory\nin a long text"})
    console = Console(width=200, record=True, quiet=False)
    with console.capture() as captured:
        print_report([record("eager", 12.0), failed], console)
    text = captured.get()
    assert "6.00 (1.00-9.00)" in text and "| azobenzene | nequip-l1, eager | painn | 12.0 | 12.0 |" in text and "failed" in text
    assert "! water-1536, nequip-l1 eager: RuntimeError: can't allocate memory" in text and "long text" not in text
