"""SHARC ``output.dat`` (versions 2, 3, 4): numbered blocks of numbers, frame after frame, read by the keys present.

Every frame is checked to have the blocks and lines that the run writes; one that has not (a crash, a mutilated file) is
dropped and said, and reading goes on with the next.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from mlff.data.importers.sharc.raw import SharcFrames, SharcHeader, parse_header

_Key = tuple[int, str]
_TWICE: _Key = (-1, "")  # stands for a block that a frame has twice: the mark of the next frame was lost
_WITHOUT_PLACE = {9: "random numbers", 10: "run times", 13: "properties of states", 14: "properties of pairs"}
_END = b"End of header array data"
_BARE_EXPONENT = re.compile(rb"(\d)([+-]\d{3})(?!\d)")  # Fortran drops the E of exponents of three digits


def read_header(path: Path) -> SharcHeader:
    """The header alone."""
    with path.open("rb") as stream:
        return parse_header(_header_text(stream.read(1 << 20)), path.name)


def _header_text(data: bytes) -> str:
    return data.partition(_END)[0].decode("utf-8", errors="replace")


def read_ascii(path: Path) -> tuple[SharcHeader, SharcFrames]:
    """Header and every whole frame of an ``output.dat``."""
    data = path.read_bytes()
    header = parse_header(_header_text(data), path.name)
    body = data.partition(_END)[2]
    before, *chunks = [chunk + b"\n" for chunk in body.split(b"\n! 0 ")]
    if chunks:
        chunks[-1] = chunks[-1][:-1]
    if chunks and not data.endswith(b"\n"):  # the last number may have lost digits
        chunks[-1] += b"cut"
    reader = _Reader(header)
    tables = [_blocks(b"! 0 " + chunk) for chunk in chunks]
    seen = {key for table in tables for key in table}
    required = [key for key in reader.lines if key in seen and key != (4, "")]
    kept: list[dict[_Key, np.ndarray]] = []
    lost = len(before.strip(b"* \n\r"))
    problems = [f"{lost} bytes before the first frame dropped, they begin no frame"] if lost else []
    sizes = Counter(len(words) for table in tables if (words := table[0, ""].split()))
    usual = max(sizes, key=lambda size: (sizes[size], -size), default=1)
    last_whole = True
    for k, table in enumerate(tables):
        merged = len(table[0, ""].split()) != usual  # two frames of which the step's lines run into each other
        frame = "its step cannot be read" if merged else reader.frame(table, required)
        last_whole = not isinstance(frame, str)
        if isinstance(frame, str):
            where = "the last frame" if k == len(tables) - 1 else f"frame {k}"
            problems.append(f"{where} of {len(tables)} dropped, {frame}")
        else:
            kept.append(frame)
        tables[k] = {}
    if not kept:
        raise ValueError(f"{path.name} has no whole frame" + (f": {problems[0]}" if problems else ""))
    frames = _stacked(kept, header, problems, cut=not last_whole)
    numbers = {number for number, _ in seen}
    frames.without_place = tuple(name for number, name in _WITHOUT_PLACE.items() if number in numbers)
    return header, frames


def _blocks(chunk: bytes) -> dict[_Key, bytes]:
    """The blocks of one frame, by number and by what follows it (x y z, state, pair of states)."""
    result: dict[_Key, bytes] = {}
    for block in chunk.split(b"!")[1:]:
        title, _, data = block.partition(b"\n")
        words = title.split()
        if not words or not words[0].isdigit():
            continue
        number = int(words[0])
        if number == 3:
            which = next((word for word in ("X", "Y", "Z") if word.encode() in words), "")
        elif number in (15, 16):
            which = " ".join(word.decode() for word in words if word.isdigit())[3:]
        else:
            which = ""
        result[_TWICE if (number, which) in result else (number, which)] = data
    return result


class _Reader:
    """Turns the blocks of a frame into arrays, all numbers of a frame in one conversion."""

    def __init__(self, header: SharcHeader) -> None:
        num, atoms = header.num_spin_states, len(header.atomic_numbers)
        matrix, vector = (num, num, 2), (atoms, 3)
        shapes: dict[_Key, tuple[int, ...]] = {(1, ""): matrix, (2, ""): matrix}
        shapes |= {(3, axis): matrix for axis in "XYZ"}
        shapes |= {
            (4, ""): matrix,
            (5, ""): (num, 2),
            (6, ""): (num, 1),
            (7, ""): (1,),
            (8, ""): (2,),
            (11, ""): vector,
            (12, ""): vector,
        }
        if "write_grad" in header.written:
            shapes |= {(15, str(a)): vector for a in range(1, num + 1)}
        if "write_nacdr" in header.written:
            shapes |= {(16, f"{a} {b}"): vector for a in range(1, num + 1) for b in range(1, num + 1)}
        self.shapes = shapes
        self.sizes = {key: math.prod(shape) for key, shape in shapes.items()}
        self.lines = {key: 1 if len(shape) == 1 else shape[0] for key, shape in shapes.items()}

    def frame(self, table: dict[_Key, bytes], required: list[_Key]) -> dict[_Key, np.ndarray] | str:
        """The arrays of one frame, with its (step, time, dt) under key 0; or why it is not whole."""
        if _TWICE in table:
            return "it runs into another frame"
        wanted = [*required, (4, "")] if (4, "") in table else required
        for key in wanted:
            if key not in table:
                return f"block {key[0]} {key[1]}".rstrip() + " is missing"
            data = table[key]
            if data.count(b"\n") != self.lines[key]:
                return f"block {key[0]} {key[1]}".rstrip() + f" has not {self.lines[key]} lines"
        values = _numbers(b" ".join([table[key] for key in wanted]), sum(self.sizes[key] for key in wanted))
        step = _numbers(table[0, ""], None)
        if values is None or step is None or not len(step):
            return "a number cannot be read"
        result, end = {}, 0
        for key in wanted:
            first, end = end, end + self.sizes[key]
            result[key] = values[first:end].reshape(self.shapes[key])
        if not np.isfinite(result[11, ""]).all():
            return "a position is NaN or infinite"
        result[0, ""] = step
        return result


def _numbers(data: bytes, count: int | None) -> np.ndarray | None:
    """The numbers of a text, ``count`` of them; None if it holds anything else."""
    for repaired in (False, True):
        text = _BARE_EXPONENT.sub(rb"\1E\2", data).replace(b"D", b"E") if repaired else data
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                values = np.fromstring(text, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            continue
        if count is None or len(values) == count:
            return values
    return None


def _stacked(kept: list[dict[_Key, np.ndarray]], header: SharcHeader, problems: list[str], *, cut: bool) -> SharcFrames:
    num = header.num_spin_states

    def real(*keys: _Key) -> np.ndarray | None:
        if any(key not in kept[0] for key in keys):
            return None
        stacked = [np.stack([frame[key] for frame in kept]) for key in keys]
        return stacked[0] if len(keys) == 1 else np.stack(stacked, axis=1)

    def cplx(*keys: _Key) -> np.ndarray | None:
        values = real(*keys)
        return None if values is None else np.ascontiguousarray(values).view(np.complex128)[..., 0]

    overlap = None
    if any((4, "") in frame for frame in kept):
        absent = np.full((num, num, 2), np.nan)
        overlap = np.stack([frame.get((4, ""), absent) for frame in kept]).view(np.complex128)[..., 0]
    probability, kinetic, states, nac = real((6, "")), real((7, "")), real((8, "")), None
    pairs = [(16, f"{a} {b}") for a in range(1, num + 1) for b in range(1, num + 1)]
    if (flat := real(*pairs)) is not None:
        nac = flat.reshape(len(kept), num, num, -1, 3)
    positions = real((11, ""))
    assert positions is not None
    step = np.array([int(frame[0, ""][0]) for frame in kept], dtype=np.int64)
    return SharcFrames(
        step=step,
        time=np.array([
            frame[0, ""][1] if len(frame[0, ""]) > 1 else number * header.dtstep
            for frame, number in zip(kept, step, strict=True)
        ]),
        positions=positions,
        hamiltonian=cplx((1, "")),
        transformation=cplx((2, "")),
        dipole=cplx((3, "X"), (3, "Y"), (3, "Z")),
        overlap=overlap,
        coefficients=cplx((5, "")),
        hopping_probability=None if probability is None else probability[:, :, 0],
        kinetic_energy=None if kinetic is None else kinetic[:, 0],
        diagonal_state=None if states is None else states[:, 0].astype(np.int64),
        mch_state=None if states is None else states[:, 1].astype(np.int64),
        velocities=real((12, "")),
        gradients=real(*((15, str(a)) for a in range(1, num + 1))) if num > 1 else _one(real((15, "1"))),
        nac=nac,
        problems=problems,
        cut=cut,
    )  # fmt: skip


def _one(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else values[:, None]
