"""The grammar of products: what it means, what it refuses, and that nothing of it is Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.dynamics.namd.products import parse_product, sort_into

POSITIONS = np.array([
    [[0.0, 1, 0], [0, 0, 0], [0, 0, 1.5], [0, 1, 1.5]],  # cis, torsion 0
    [[0.0, 1, 0], [0, 0, 0], [0, 0, 1.5], [0, -1, 1.5]],  # trans, torsion 180
    [[0.0, 0, -1], [0, 0, 0], [0, 0, 1.5], [0, -1, 1.5]],  # three atoms on a line: no torsion
])  # fmt: skip
STATES = np.array([0, 1, 0])


@pytest.mark.parametrize(
    "condition, expected",
    [
        ("abs(dihedral(0,1,2,3)) > 90", [False, True, False]),
        ("dihedral(0, 1, 2, 3) < 90", [True, False, False]),
        ("distance(0,3) <= 1.5", [True, False, False]),
        ("angle(0,1,2) == 90", [True, True, False]),
        ("dihedral(0,1,2,3) != 0", [False, True, False]),
        ("state == 0", [True, False, True]),
        ("state == 0 and angle(0,1,2) > 120", [False, False, True]),
        ("state == 1 or state == 0 and distance(0,2) > 2", [False, True, True]),
        ("(state == 1 or state == 0) and distance(0,2) > 2", [False, False, True]),
        ("dihedral(0,1,2,3) > -1e1 AND distance(0,1) < .5e1", [True, True, False]),
    ],
)
def test_conditions_mean_what_they_say(condition, expected):
    product = parse_product(f"name: {condition}", 4)
    assert product.name == "name" and product.matches(POSITIONS, STATES).tolist() == expected


def test_the_first_product_that_fits_counts():
    products = [parse_product("trans: abs(dihedral(0,1,2,3)) > 90"), parse_product("any ground state: state == 0")]
    assert sort_into(products, POSITIONS, STATES).tolist() == [1, 0, 1]
    assert sort_into(products[:1], POSITIONS, STATES).tolist() == [-1, 0, -1]
    assert products[0].atoms == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "text, words",
    [
        ("dihedral(0,1,2,3) > 90", "names no product"),
        ("a: dihedral(0,1,2) > 90", "dihedral takes 4 different atoms"),
        ("a: distance(1,1) > 90", "distance takes 2 different atoms"),
        ("a: distance(1,9) > 90", "there is no atom 9: the 4 atoms are counted from 0"),
        ("a: distance(1,2)", "it ends where a comparison"),
        ("a: distance(1,2) > ", "it ends where a number"),
        ("a: distance(1,2) > x", "'x' is no number"),
        ("a: distance(1,2) = 3", "'=' was not expected"),
        ("a: length(1,2) > 3", "'length' is no coordinate"),
        ("a: distance(1,2) > 3 4", "'4' was not expected there"),
        ("a: __import__('os')", "was not expected"),
        ("a: (state == 1", "it ends where"),
        ("a: " + "(" * 1000, "1001 characters; up to 400"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(text, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(") if "(" in words else words):
        parse_product(text, 4)


@given(st.text(alphabet="abs(distance0123.,<>=!- :andortuple)", max_size=60))
def test_any_text_is_a_product_or_a_sentence(text):
    try:
        product = parse_product(text, 4)
    except ValueError as error:
        assert "a product is" in str(error)
    else:
        assert product.matches(POSITIONS, STATES).shape == (3,)
