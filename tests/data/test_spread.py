"""Spread: what comes piece by piece is what numpy says of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.data import HDF5Dataset, HDF5Writer, spread
from mlff.data.spread import Spread
from mlff.data.summary import summarise


@given(st.lists(st.lists(st.floats(-1e4, 1e4) | st.just(float("nan"))), min_size=1), st.floats(-1e4, 1e4))
def test_pieces_are_the_whole(pieces, offset):
    seen = Spread()
    for piece in pieces:
        seen.add(np.array(piece) + offset)
    whole = np.concatenate(pieces) + offset
    whole = whole[np.isfinite(whole)]
    assert seen.count == len(whole)
    if len(whole):
        assert (seen.lowest, seen.highest) == (whole.min(), whole.max())
        assert seen.mean == pytest.approx(whole.mean(), abs=1e-9)
        assert seen.standard_deviation == pytest.approx(whole.std(), rel=1e-6, abs=1e-3)
        assert seen.rms == pytest.approx(np.sqrt((whole**2).mean()), rel=1e-6, abs=1e-3)


def test_total_energies_keep_their_small_deviation():
    energies = -9000.0 + 1e-3 * np.sin(np.arange(1000))
    seen = Spread()
    for piece in np.split(energies, 10):
        seen.add(piece)
    assert seen.standard_deviation == pytest.approx(energies.std(), rel=1e-6)


def test_numbers_of_a_damaged_file_may_be_as_large_as_numbers_get():
    seen = Spread()
    seen.add(np.array([0.0, 1e300, -1e300]))
    assert seen.highest == 1e300 and seen.standard_deviation == np.inf
    seen.add(np.array([1e300] * 5))
    assert seen.standard_deviation == seen.rms == np.inf


def test_the_summary_reads_a_file_in_pieces(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    columns = {"positions": rng.normal(size=(100, 2, 3)), "forces": rng.normal(size=(100, 2, 1, 3))}
    with HDF5Writer(tmp_path / "h2.h5") as writer:
        writer.add_system("H2", [1, 1])
        writer.add_trajectory("H2", columns)
    whole = summarise(HDF5Dataset(tmp_path / "h2.h5"))["systems"][0]["quantities"]["forces"]
    monkeypatch.setattr(spread, "_BLOCK_BYTES", 200)
    pieces = summarise(HDF5Dataset(tmp_path / "h2.h5"))["systems"][0]["quantities"]["forces"]
    assert pieces["range"] == whole["range"] and pieces["rms"] == pytest.approx(whole["rms"])
    assert whole["rms"] == pytest.approx(np.sqrt((columns["forces"] ** 2).mean()), rel=1e-6)
