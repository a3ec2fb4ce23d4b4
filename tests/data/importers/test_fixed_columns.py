"""Numbers in fixed columns are those of ``float``, bit for bit; anything else is left to the general reader."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.data.importers.xyz.fixed_columns import fixed_numbers


def read(lines):
    """What the reader gives for lines of words, as the table hands them over."""
    text = np.frombuffer(("\n".join(lines) + "\n  ").encode(), np.uint8)
    lengths = np.array([len(line) for line in lines])
    begins = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    blank = np.concatenate([[True], text <= 32])
    starts = np.flatnonzero(blank[:-1] > blank[1:])
    if len(starts) % len(lines):
        return None
    return fixed_numbers(text, starts.reshape(len(lines), -1), begins, begins + lengths)


@given(
    st.lists(st.tuples(*[st.floats(-9e4, 9e4)] * 3), min_size=1, max_size=40),
    st.integers(1, 8),
    st.integers(0, 3),
)
def test_the_numbers_are_those_of_float(values, decimals, room):
    width = decimals + 9 + room
    lines = ["".join(f"{value:{width}.{decimals}f}" for value in row) for row in values]
    exact = np.array([[float(word) for word in line.split()] for line in lines])
    found = read(lines)
    assert found is not None
    assert np.array_equal(found, exact) and np.array_equal(np.signbit(found), np.signbit(exact))


def test_many_rows_are_read_block_by_block():
    values = np.random.default_rng(0).normal(scale=30, size=(20_000, 6))
    lines = ["".join(f"{value:16.8f}" for value in row) for row in values]
    assert np.array_equal(read(lines), np.array([[float(word) for word in line.split()] for line in lines]))


@pytest.mark.parametrize(
    "lines",
    [
        [" 1.50  2.50", " 1.5   2.50"],  # a word that ends elsewhere
        [" 1.50  2.50", " 1.50 2.500"],  # a point elsewhere
        [" 1.50  2.50", " 1.50  +.50"],
        [" 1.50  2.50", " 1.50  2e50"],
        [" 1.50  2.50", " 1.50  -nan"],
        [" 1.50  2.50", " 1.50  2-50"],
        [" 1.50  2.50", " 1.50 --.50"],
        [" 1.50  2.50", " 1.50 10.50 "],  # a longer line
        ["   15    25"],  # integers
        ["123456789012.345  1.0"],  # more digits than float64 holds
    ],
)
def test_what_is_not_in_fixed_columns_is_left_to_the_general_reader(lines):
    assert read(lines) is None
