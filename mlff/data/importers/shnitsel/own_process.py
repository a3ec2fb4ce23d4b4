"""A generator in a process of its own: where a library ends the process on damaged input, this one goes on.

The process is a Python of its own (``python -m``), not a copy of this one, so that threads and scripts without a guard do
no harm; what the generator yields comes through a pipe, one item at a time.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")


def in_own_process(generate: Callable[[Path], Iterator[_T]], path: Path) -> Iterator[_T]:
    """What ``generate(path)`` yields; its errors are raised here. ValueError where its process ended without a word.

    ``generate`` is a function of a module, and its items can be pickled.
    """
    program = [sys.executable, "-m", __name__, generate.__module__, generate.__qualname__, str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            while True:
                try:
                    kind, item = pickle.load(child.stdout)
                except (EOFError, pickle.UnpicklingError):
                    raise ValueError(f"{path.name} is damaged: reading it ended with {_ending(child.wait())}") from None
                if kind == "end":
                    return
                if kind == "error":
                    raise item
                yield item
        finally:
            child.kill()  # where the reading stopped before the end


def _ending(code: int) -> str:
    """How a process ended, for people."""
    try:
        return f"the signal {signal.Signals(-code).name}"
    except ValueError:
        return f"exit code {code}"


def _send(module: str, name: str, path: str, pipe: BinaryIO) -> None:
    """Put what the generator yields, then its end or its error, into the pipe."""
    generate = getattr(importlib.import_module(module), name)
    try:
        for item in generate(Path(path)):
            pickle.dump(("item", item), pipe, protocol=pickle.HIGHEST_PROTOCOL)
            pipe.flush()
        pickle.dump(("end", None), pipe)
    except (ValueError, OSError) as error:
        pickle.dump(("error", type(error)(*error.args)), pipe)
    pipe.flush()


if __name__ == "__main__":
    _send(sys.argv[1], sys.argv[2], sys.argv[3], sys.stdout.buffer)
