"""Where compiled code is kept: a folder of this user on this machine, never inside a checkpoint.

Code is found again by a digest of all that it depends on: the kind of model, the sources of mlff, the versions of torch and
Python, and the processor. Weights are arguments of the compiled code, so models of one architecture share it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

import mlff

VARIABLE = "MLFF_CACHE"

def cache_folder() -> Path:
    """The folder that the environment variable ``MLFF_CACHE`` names, or ``mlff`` in the platform's cache folder."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "mlff" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "mlff"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "mlff"


def digest(sources: Iterable[Path], **facts: Any) -> str:
    """A name for code that was made here, of these files and facts (JSON values): 24 hexadecimal digits."""
    everything = facts | {
        "torch": str(torch.__version__),
        "python": sys.version,
        "mlff": mlff.__version__,
        "sources": [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(sources)],
        "processor": _processor(),
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:24]


@contextmanager
def new_file(file: Path) -> Iterator[Path | None]:
    """A path to write a cached file to, which is renamed to ``file`` at the end; None where another process wrote it.

    One process at a time makes a file; the others wait for it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f"{file.name}.lock")):
        if file.is_file():
            yield None
            return
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=file.parent))
        try:
            yield folder / file.name
            os.replace(folder / file.name, file)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _processor() -> str:
    """Name and features of the processor: code is compiled for this one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kept = ("model name", "flags", "Features", "CPU part")
    return " ".join([platform.machine(), *sorted({line for line in lines if line.startswith(kept)})])
