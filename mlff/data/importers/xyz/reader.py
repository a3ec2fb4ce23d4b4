"""Extended xyz: every whole frame of a file, with the same numbers as ASE's reader, and a line for each one dropped.

The reader is our own because published files are truncated and mutilated, which stops ASE's at the first bad frame, and
because it is several times faster: frames that look whole are read many at a time, and whatever does not fit is read
again line by line. It holds a window of the file. Keys: https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlff.data.importers.xyz.comment import CommentReader, Layout, parse_properties, shortened
from mlff.data.importers.xyz.frame_block import FrameBlock, lacking
from mlff.data.importers.xyz.lines import Lines, Source
from mlff.data.importers.xyz.quantities import Quantities, trajectory_names, velocities_of
from mlff.data.importers.xyz.table import bytes_as_table, words_as_table

CHUNK = 1 << 22  #: bytes of a window
_LARGEST = 1 << 28  # bytes of a frame that is read at once; a larger one, or a wrong count, goes line by line
_DEFAULT = "species:S:1:pos:R:3"


@dataclass(slots=True)
class _Head:
    """Where a frame begins, and what its first two lines say."""

    line: int  # from the current one
    num_atoms: int
    keys: tuple[str, ...]
    values: tuple[str, ...]


class ExtxyzReader:
    """Iterating gives the whole frames of a file, or every ``every``-th of them, as blocks in the file's order.

    Afterwards ``problems`` says what was dropped or is missing and where, and ``quantities`` which names were read and
    which were not. Frames that lack energy or forces are masked, and counted.
    """

    def __init__(
        self,
        source: Source,
        *,
        energy_key: str | None = None,
        forces_key: str | None = None,
        every: int = 1,
        chunk: int = CHUNK,
    ) -> None:
        self.quantities = Quantities(energy_key, forces_key)
        self.problems: list[str] = []
        self.num_frames = 0  #: that were given
        self._lines = Lines(source, chunk)
        self._comments = CommentReader()
        self._layouts: dict[str, Layout | str] = {}
        self._every = every
        self._num_whole = 0
        self._lacking = {"energy": [0, 0], "forces": [0, 0]}  # frames, line of the first

    @property
    def unread(self) -> dict[str, None]:
        """Keys and columns that were there and not read."""
        return self.quantities.unread

    def names(self) -> list[str]:
        """Which names energy and forces were read from, for people."""
        return self.quantities.names()

    def __iter__(self) -> Iterator[FrameBlock]:
        lines = self._lines
        while (text := lines.text(0)) is not None:
            if not text.strip():
                lines.drop(1)
                continue
            heads, layout, end = self._walk()
            blocks = self._read(heads, layout, end) if heads and layout else None
            if blocks is not None:
                yield from blocks
                lines.drop(end)
                continue
            until = lines.dropped + max(end, 1)
            while lines.dropped < until and (text := lines.text(0)) is not None:
                if text.strip():
                    yield from self._read_one()
                else:
                    lines.drop(1)
        for what, (count, line) in self._lacking.items():
            if count:
                key = self.quantities.key_of(what)
                why = f"(key `{key}`) " if key else ""
                self.problems.append(
                    f"{what} {why}missing in {count} of {self.num_frames} frames, first at line {line}: masked"
                )

    # -- many frames at a time ----------------------------------------------------------------------------------------

    def _walk(self) -> tuple[list[_Head], Layout | None, int]:
        """The frames from here on that look whole and have one layout, and the line after the last."""
        lines = self._lines
        heads: list[_Head] = []
        layout: Layout | None = None
        end, at, fits = 0, 0, True
        data, (first, last) = lines.data, lines.places(0, len(lines))
        while at < len(first):
            count = data[first[at] : last[at]].strip()
            if not count:
                at += 1
                continue
            fits = count.isdigit() and 0 < len(count) < 10
            num_atoms = int(count) if fits else 0
            after = at + 2 + num_atoms
            if not num_atoms:
                break
            if not heads and after >= len(first) and not lines.at_end and num_atoms * lines.mean_length() < _LARGEST:
                lines.text(after)
                data, (first, last) = lines.data, lines.places(0, len(lines))
            if after > len(first) or (after == len(first) and (not lines.at_end or lines.ends_in_line)):
                break
            keys, values = self._comments(data[first[at + 1] : last[at + 1]].decode("utf-8", errors="replace"))
            own = self._layout(keys, values)
            if isinstance(own, str) or (layout is not None and own is not layout):
                break
            layout = own
            heads.append(_Head(at, num_atoms, keys, values))
            at = end = after
        if heads and not fits:  # what follows is no frame: more atom lines than the last one should have, perhaps
            heads.pop()
            end = heads[-1].line + 2 + heads[-1].num_atoms if heads else 0
        return heads, layout, end

    def _read(self, heads: list[_Head], layout: Layout, end: int) -> list[FrameBlock] | None:
        """The frames as blocks, or None where any of them has to be looked at more closely."""
        lines = self._lines
        first, last = lines.places(heads[0].line, end)
        origin = first[0]
        text = np.frombuffer(lines.data + b"  ", np.uint8, last[-1] - origin + 2, origin).copy()
        text[-2:] = 32
        offset = heads[0].line
        counts = np.array([head.num_atoms for head in heads])
        for head in heads:
            text[first[head.line - offset] - origin : last[head.line - offset + 1] - origin] = 32
        starts = np.array([head.line - offset + 2 for head in heads])
        rows = np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        found = bytes_as_table(text, np.array(first)[rows] - origin, np.array(last)[rows] - origin, layout)
        if found is None:
            return None
        before = self._state()
        blocks: list[FrameBlock] = []
        row = 0
        for run in _runs(heads):
            try:
                blocks += self._blocks(run, *_cut(found, row, run))
            except ValueError:
                self._restore(before)
                return None
            row += len(run) * run[0].num_atoms
        return blocks

    def _blocks(
        self, heads: Sequence[_Head], numbers: np.ndarray, table: dict[str, np.ndarray]
    ) -> Iterator[FrameBlock]:
        """Frames with one number of atoms and one set of keys, those that are kept, by what makes them one system."""
        columns = self.quantities.read(heads[0].keys, [head.values for head in heads], table)
        first = -self._num_whole % self._every
        self._num_whole += len(heads)
        if self._every > 1:
            heads, numbers = heads[first :: self._every], numbers[first :: self._every]
            columns = {name: values[first :: self._every] for name, values in columns.items()}
        if not len(heads):
            return
        self.num_frames += len(heads)
        for what, (count, line) in self._lacking.items():
            missing = np.flatnonzero(lacking(columns, what))
            if len(missing):
                line = line or self._lines.dropped + heads[int(missing[0])].line + 1
                self._lacking[what] = [count + len(missing), line]
        masses, charge = columns.pop("masses", None), columns.pop("charge", None)
        if "momenta" in columns:
            columns["velocities"] = velocities_of(columns.pop("momenta"), numbers, masses)
        keys, values = heads[0].keys, [head.values for head in heads]
        theory = [value[keys.index("level_of_theory")] if "level_of_theory" in keys else "" for value in values]
        trajectories = trajectory_names(keys, values)
        changes = (numbers[1:] != numbers[:-1]).any(axis=1)
        changes |= np.array([a != b for a, b in zip(theory, theory[1:])], dtype=bool)
        if charge is not None:
            changes |= charge[1:] != charge[:-1]
        if masses is not None:
            changes |= (masses[1:] != masses[:-1]).any(axis=1)
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(heads)]
        for start, stop in zip(bounds, bounds[1:]):
            yield FrameBlock(
                numbers[start],
                {name: each[start:stop] for name, each in columns.items()},
                trajectories[start:stop],
                None if masses is None else tuple(masses[start].tolist()),
                None if charge is None else float(charge[start]),
                theory[start],
            )

    # -- one frame, line by line --------------------------------------------------------------------------------------

    def _read_one(self) -> list[FrameBlock]:
        """The frame at the current line, which is left behind; or what is wrong with it among the problems."""
        lines = self._lines
        result = self._one()
        if not isinstance(result, str):
            blocks, count = result
            lines.drop(count)
            return blocks
        begin = lines.dropped + 1
        lines.drop(1)
        while (text := lines.text(0)) is not None and not text.strip().isdecimal():
            lines.drop(1)  # to a line that is a number alone, which no atom line can be
        end = f"to {lines.dropped}" if text is not None else f"to the end, line {lines.dropped}"
        self.problems.append(f"line {begin} {end}: dropped, {result}")
        return []

    def _one(self) -> tuple[list[FrameBlock], int] | str:
        lines = self._lines
        count = (lines.text(0) or "").strip()
        if not count.isdecimal() or len(count) > 18 or int(count) == 0:
            return f"{shortened(count)} is not a number of atoms"
        num_atoms = int(count)
        comment = lines.text(1)
        if comment is None or lines.text(2) is None:
            return f"the file ends after 0 of {num_atoms} atoms"
        keys, values = self._comments(comment)
        layout = self._layout(keys, values)
        if isinstance(layout, str):
            return layout
        words: list[str] = []
        widths: list[int] = []
        for k in range(num_atoms):
            line = lines.text(2 + k)
            if line is None:
                return f"the file ends after {k} of {num_atoms} atoms"
            row = line.split()
            if len(row) == 1 and row[0].isdecimal():
                return f"the frame ends after {k} of {num_atoms} atoms"
            if len(row) != layout.width:
                return f"line {lines.dropped + 3 + k} has {len(row)} columns, {layout.width} were expected"
            words += row
            widths.append(len(line.rstrip("\r")))
        following = lines.text(2 + num_atoms)
        if following is not None and len(following.split()) == layout.width and "=" not in following:
            return f"it has more atom lines than its {num_atoms} atoms"
        if following is None and lines.ends_in_line and len(set(widths[:-1])) == 1 and widths[-1] < widths[0]:
            return "its last line is cut off"
        head = _Head(0, num_atoms, keys, values)
        before = self._state()
        try:
            found = words_as_table(words, layout)
            return list(self._blocks([head], *_cut(found, 0, [head]))), 2 + num_atoms
        except ValueError as error:
            self._restore(before)
            return f"a value cannot be read ({error})"

    # -- bookkeeping --------------------------------------------------------------------------------------------------

    def _layout(self, keys: tuple[str, ...], values: tuple[str, ...]) -> Layout | str:
        text = values[keys.index("Properties")] if "Properties" in keys else _DEFAULT
        if text not in self._layouts:
            self._layouts[text] = parse_properties(text)
        return self._layouts[text]

    def _state(self) -> tuple[int, int, dict[str, list[int]]]:
        return self._num_whole, self.num_frames, dict(self._lacking)

    def _restore(self, state: tuple[int, int, dict[str, list[int]]]) -> None:
        self._num_whole, self.num_frames, self._lacking = state


def _runs(heads: list[_Head]) -> Iterator[list[_Head]]:
    """Consecutive frames with one number of atoms and one set of keys."""
    start = 0
    for k in range(1, len(heads) + 1):
        if k == len(heads) or heads[k].num_atoms != heads[start].num_atoms or heads[k].keys != heads[start].keys:
            yield heads[start:k]
            start = k


def _cut(
    found: tuple[np.ndarray, dict[str, np.ndarray]], row: int, heads: list[_Head]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The rows of a run's atoms, by frame: numbers [F,N] and columns [F,N,width]."""
    numbers, columns = found
    num_frames, num_atoms = len(heads), heads[0].num_atoms
    stop = row + num_frames * num_atoms
    return numbers[row:stop].reshape(num_frames, num_atoms), {
        name: values[row:stop].reshape(num_frames, num_atoms, -1) for name, values in columns.items()
    }
