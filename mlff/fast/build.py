"""Compiles ``kernels/`` with the machine's C++ compiler, once a machine and version."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from .cache import cache_folder, digest, new_file

SOURCES = sorted(Path(__file__).with_name("kernels").iterdir())
OPERATORS = Path(__file__).with_name("kernels") / "operators.cpp"
FLAGS = ("-std=c++20", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fPIC", "-shared")


class CompilationError(RuntimeError):
    """There is no compiled code, and none could be made; the message is one line."""


def kernel_library(compile: bool) -> Path:
    """The compiled kernels; where there are none yet they are compiled, which takes some ten seconds.

    Raises:
        CompilationError: there are none and ``compile`` is false, there is no C++ compiler, or it failed.
    """
    library = cache_folder() / f"kernels-{digest(SOURCES, flags=_flags())}.so"
    if library.is_file():
        return library
    if not compile:
        raise CompilationError("the kernels are not compiled yet")
    with new_file(library) as file:
        if file is not None:
            _compile(file)
    return library


def compiler() -> str:
    """The C++ compiler: ``$CXX``, or the first of c++, g++ and clang++ that is installed."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise CompilationError("there is no C++ compiler (c++, g++ or clang++; the variable CXX may name another)")


def _flags() -> tuple[str, ...]:
    native = "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"
    if sys.platform == "darwin":  # its clang has no OpenMP: the kernels run in one thread
        return (*FLAGS, native, "-undefined", "dynamic_lookup")
    return (*FLAGS, native, "-fopenmp")


def _compile(library: Path) -> None:
    root = Path(torch.__file__).parent
    includes = [f"-I{root / 'include'}", f"-I{root / 'include' / 'torch' / 'csrc' / 'api' / 'include'}"]
    libraries = [f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"]
    command = [compiler(), *_flags(), str(OPERATORS), "-o", str(library), *includes, *libraries]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise CompilationError(f"the C++ compiler {command[0]} does not run: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no message"]
        raise CompilationError(f"{command[0]} failed: {lines[0].strip():.300}")
