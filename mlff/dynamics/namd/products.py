"""Products by a user's criterion on internal coordinates, such as ``trans: abs(dihedral(2,0,1,3)) > 90``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlff.data.internal import internal_values

Mask = NDArray[np.bool_]
Test = Callable[[np.ndarray, np.ndarray], Mask]

COORDINATES = {"distance": 2, "angle": 3, "dihedral": 4}
"""Word -> number of atoms."""
COMPARISONS: dict[str, Callable[[np.ndarray, float], Mask]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
GRAMMAR = (
    "a product is `NAME: COMPARISON`, or several joined by `and` and `or` (`and` binds tighter; parentheses group); a "
    "comparison is such as distance(0,1) < 1.8 (angstrom), angle(0,1,2) > 90 or abs(dihedral(0,1,2,3)) > 90 (degrees), or "
    "state == 0; atoms and states are counted from 0"
)
LONGEST = 400
"""Characters of a condition, which bounds how deep parentheses go."""
_TOKEN = re.compile(r"\s*(?:((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z]+)|(<=|>=|==|!=|[<>(),+-]))")


@dataclass(frozen=True)
class Product:
    """A name and the test that tells which structures it is."""

    name: str
    text: str
    atoms: tuple[int, ...]
    """All atoms that the test names."""
    test: Test

    def matches(self, positions: np.ndarray, active_state: np.ndarray) -> Mask:
        """Which of F structures it is, ``[F]``, from positions ``[F, N, 3]`` (angstrom) and active states ``[F]``.

        A coordinate that is not defined, such as a torsion over atoms on a line, meets no comparison.
        """
        return self.test(np.asarray(positions, dtype=np.float64), np.asarray(active_state))


def parse_product(text: str, num_atoms: int | None = None) -> Product:
    """The product that ``text`` describes (``GRAMMAR``).

    Raises:
        ValueError: text outside the grammar, atoms that are not there or named twice.
    """
    name, colon, condition = text.partition(":")
    name = name.strip()
    if not colon or not name or not re.fullmatch(r"[\w .+'-]+", name):
        raise ValueError(f"{text!r} names no product; {GRAMMAR}")
    parser = _Parser(text, condition, num_atoms)
    return Product(name, condition.strip(), tuple(sorted(parser.atoms)), parser.test)


def sort_into(products: Sequence[Product], positions: np.ndarray, active_state: np.ndarray) -> NDArray[np.int64]:
    """Index of the first product that each of F structures is, ``[F]``; -1 where it is none."""
    found = np.full(len(positions), -1)
    for index in reversed(range(len(products))):
        found[products[index].matches(positions, active_state)] = index
    return found


class _Parser:
    """A recursive descent: either = both {"or" both}; both = single {"and" single}; single = "(" either ")" | comparison."""

    def __init__(self, text: str, condition: str, num_atoms: int | None) -> None:
        self.text, self.num_atoms = text, num_atoms
        if len(condition) > LONGEST:
            raise ValueError(f"the product {text[:40]!r}... has {len(condition)} characters; up to {LONGEST} are read")
        self.atoms: set[int] = set()
        self.tokens = list(self._split(condition))
        self.at = 0
        self.test = self._either()
        if self.at < len(self.tokens):
            raise self._error(f"{self.tokens[self.at]!r} was not expected there")

    def _split(self, condition: str) -> Iterator[str]:
        at, condition = 0, condition.rstrip()
        while at < len(condition):
            found = _TOKEN.match(condition, at)
            if found is None:
                raise self._error(f"{condition[at:].strip()[:1]!r} was not expected")
            yield found.group(found.lastindex or 0)
            at = found.end()

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return lambda positions, state: np.logical_or.reduce([each(positions, state) for each in tests])

    def _both(self) -> Test:
        tests = [self._single()]
        while self._take("and"):
            tests.append(self._single())
        return lambda positions, state: np.logical_and.reduce([each(positions, state) for each in tests])

    def _single(self) -> Test:
        if self._take("("):
            inner = self._either()
            self._expect(")")
            return inner
        value = self._value()
        word = self._next("a comparison such as > or <")
        if word not in COMPARISONS:
            raise self._error(f"{word!r} is no comparison; use one of {', '.join(COMPARISONS)}")
        compare, number = COMPARISONS[word], self._number()

        def test(positions: np.ndarray, state: np.ndarray) -> Mask:
            values = value(positions, state)
            return compare(values, number) & np.isfinite(values)

        return test

    def _value(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        word = self._next("distance(...), angle(...), dihedral(...) or state").lower()
        if word == "state":
            return lambda _, state: state
        if word == "abs":
            self._expect("(")
            inner = self._value()
            self._expect(")")
            return lambda positions, state: np.abs(inner(positions, state))
        if word not in COORDINATES:
            raise self._error(f"{word!r} is no coordinate; use {', '.join(COORDINATES)} or state")
        self._expect("(")
        atoms = [self._atom()]
        while self._take(","):
            atoms.append(self._atom())
        self._expect(")")
        if len(atoms) != COORDINATES[word] or len(set(atoms)) != len(atoms):
            raise self._error(f"{word} takes {COORDINATES[word]} different atoms; got {', '.join(map(str, atoms))}")
        self.atoms.update(atoms)
        return lambda positions, _: internal_values(positions[:, atoms])

    def _atom(self) -> int:
        word = self._next("the number of an atom")
        if not word.isdigit():
            raise self._error(f"{word!r} is no number of an atom")
        if self.num_atoms is not None and int(word) >= self.num_atoms:
            raise self._error(f"there is no atom {word}: the {self.num_atoms} atoms are counted from 0")
        return int(word)

    def _number(self) -> float:
        sign = -1.0 if self._take("-") else 1.0
        word = self._next("a number")
        try:
            return sign * float(word)
        except ValueError:
            raise self._error(f"{word!r} is no number") from None

    def _take(self, word: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at].lower() == word:
            self.at += 1
            return True
        return False

    def _next(self, expected: str) -> str:
        if self.at >= len(self.tokens):
            raise self._error(f"it ends where {expected} was expected")
        self.at += 1
        return self.tokens[self.at - 1]

    def _expect(self, word: str) -> None:
        found = self._next(repr(word))
        if found != word:
            raise self._error(f"{found!r} stands where {word!r} was expected")

    def _error(self, reason: str) -> ValueError:
        return ValueError(f"{self.text!r} describes no product: {reason}; {GRAMMAR}")
