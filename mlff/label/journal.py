"""Journal: what has been labelled so far, a line of JSON a structure, in a file beside the output until that is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np


@dataclass(frozen=True)
class Label:
    """The result for one structure: energy and forces, or the reason why there are none."""

    energy: float = float("nan")  #: eV
    forces: np.ndarray | None = None  #: f4 [N,3] eV/angstrom
    stress: np.ndarray | None = None  #: f4 [6] eV/angstrom^3
    error: str = ""


class Journal:
    """The journal of ``output``, at OUTPUT.labels; a kill loses the line that was being written, no other.

    Its first line tells the calculator and the structures: a journal of another labelling is refused, or, with
    ``overwrite``, begun anew. Two processes that label into one output exclude each other.
    """

    def __init__(self, output: Path, header: Mapping[str, object], *, overwrite: bool = False) -> None:
        """Raises ValueError where another process holds the journal or it is of another labelling."""
        self.path = output.with_name(f"{output.name}.labels")
        self._lock = filelock.FileLock(output.with_name(f".{output.name}.labels.lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise ValueError(f"another process is labelling into {output}; wait for it to end") from error
        try:
            first = json.dumps(dict(header), sort_keys=True)
            size, lines = _whole_lines(self.path)
            if lines and lines[0] != first and not overwrite:
                raise ValueError(
                    f"{self.path} holds {len(lines) - 1} labels of another calculator or of other structures; finish that "
                    f"labelling with its own command, or give `--overwrite` to drop it"
                )
            going_on = bool(lines) and lines[0] == first
            self.done = {int(json.loads(line)["number"]) for line in lines[1:]} if going_on else set()
            self._file = self.path.open("r+" if going_on else "w")
            if going_on:
                self._file.truncate(size)
                self._file.seek(0, os.SEEK_END)
            else:
                self._write(first)
        except BaseException:
            self._lock.release()
            raise

    def add(self, number: int, answer: Mapping[str, Any]) -> None:
        """Keep what a worker said of a structure."""
        self._write(json.dumps({"number": number, **answer}))
        self.done.add(number)

    def labels(self) -> dict[int, Label]:
        """Every structure's label."""
        self._file.flush()
        return {
            int(each["number"]): Label(error=each["error"])
            if "error" in each
            else Label(
                each["energy"],
                np.array(each["forces"], dtype=np.float32).reshape(-1, 3),
                None if each["stress"] is None else np.array(each["stress"], dtype=np.float32),
            )
            for each in map(json.loads, _whole_lines(self.path)[1][1:])
        }

    def close(self, *, remove: bool) -> None:
        """Stop; ``remove`` it once the output holds everything."""
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()


def _whole_lines(path: Path) -> tuple[int, list[str]]:
    """Bytes up to the end of the last whole line, and the lines."""
    if not path.exists():
        return 0, []
    content = path.read_bytes()
    size = content.rfind(b"\n") + 1
    return size, content[:size].decode("utf-8", "replace").splitlines()
