"""The states of a PyRAI2MD input: multiplicities, and the pairs that couplings join, from its section ``&molecule``.

``ci`` is the number of states of each spin, ``spin`` the spins S, ``coupling`` the pairs of states from 1. Pairs of one
multiplicity are those of ``nac``, the others those of ``soc``, both in the order of the input.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LARGEST = 100_000  # bytes of an input
_SECTION = re.compile(r"^\s*&molecule\b(.*?)(?=^\s*&|\Z)", re.IGNORECASE | re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class InputStates:
    """What an input says of S states, from 0."""

    multiplicity: tuple[int, ...]  #: [S]
    nac_pairs: tuple[tuple[int, int], ...]  #: i < j, in the order of `nac`
    soc_pairs: tuple[tuple[int, int], ...]  #: i < j, in the order of `soc`

    @property
    def root(self) -> tuple[int, ...]:
        """Of each state, within its multiplicity, from 0."""
        return tuple(self.multiplicity[:k].count(each) for k, each in enumerate(self.multiplicity))


def states_beside(path: Path) -> tuple[dict[InputStates, list[str]], list[str]]:
    """What the inputs in the folder of ``path`` say, with the names of those that say it; and what is wrong in others."""
    found: dict[InputStates, list[str]] = {}
    problems: list[str] = []
    for each in sorted(path.resolve().parent.iterdir()):
        if not each.is_file() or each.suffix in (".json", ".log") or each.stat().st_size > _LARGEST:
            continue
        section = _SECTION.search(each.read_text(encoding="utf-8", errors="replace"))
        if section is None:
            continue
        try:
            found.setdefault(_states(section.group(1), each.parent), []).append(each.name)
        except ValueError as error:
            problems.append(f"the states of {each.name} cannot be read: {error}")
    return found, problems


def _states(section: str, folder: Path) -> InputStates:
    keys = {words[0].lower(): words[1:] for line in section.splitlines() if len(words := line.split()) > 1}
    try:
        counts = [int(word) for word in keys.get("ci", ["1"])]
        spins = [float(word) for word in keys.get("spin", ["0"])]
    except ValueError as error:
        raise ValueError("`ci` or `spin` holds what is no number") from error
    if len(counts) > len(spins) or min(counts) < 0 or any(2 * spin % 1 or spin < 0 for spin in spins):
        raise ValueError(f"`ci {' '.join(map(str, counts))}` and `spin {' '.join(keys.get('spin', ['0']))}` do not fit")
    multiplicity = tuple(int(2 * spin + 1) for count, spin in zip(counts, spins, strict=False) for _ in range(count))
    nac: list[tuple[int, int]] = []
    soc: list[tuple[int, int]] = []
    for i, j in _pairs(keys.get("coupling", []), folder):
        if not 1 <= i < j <= len(multiplicity):
            raise ValueError(f"`coupling` joins {i} and {j}, which are not two of {len(multiplicity)} states")
        (nac if multiplicity[i - 1] == multiplicity[j - 1] else soc).append((i - 1, j - 1))
    return InputStates(multiplicity, tuple(nac), tuple(soc))


def _pairs(words: Sequence[str], folder: Path) -> list[tuple[int, int]]:
    """Pairs ``1 2, 2 3`` of the line, or those in the file that it names, one a line."""
    if not words:
        return []
    named = folder / words[0]
    groups = named.read_text(errors="replace").splitlines() if named.is_file() else " ".join(words).split(",")
    pairs = []
    for group in groups:
        numbers = sorted({int(each) for each in re.split(r"[\s-]+", group.strip()) if each.isdigit()})
        if len(numbers) != 2 or re.search(r"[^\d\s-]", group):
            raise ValueError(f"`coupling` holds {group.strip()[:40]!r} where two states were expected")
        pairs.append((numbers[0], numbers[1]))
    return pairs
