"""Compiled code for these tests: kept between runs in a folder of its own, where its name says all that it depends on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mlff.fast import CompiledPotential, Program
from mlff.fast.program import Energy, Run
from mlff.graph import VerletList
from mlff.potential.potential import Potential

KEPT = Path(tempfile.gettempdir()) / "mlff-compiled-for-tests"


class Interpreted(Program):
    """The function that is compiled otherwise, run by torch operator by operator."""

    def _code(
        self, potential: Potential, module: Energy, state: dict[str, Tensor], constants: list[Tensor], compile: bool
    ) -> Run:
        rest = len(state) + len(constants)
        return lambda tensors: module(constants, *tensors[rest:])

    def __call__(self, state_weights: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._run([*self._fixed, state_weights, *inputs]))


@pytest.fixture(autouse=True)
def kept_code(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("c++") is None and shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("needs a C++ compiler")
    monkeypatch.setenv("MLFF_CACHE", str(KEPT))


@pytest.fixture
def interpreted() -> Callable[..., CompiledPotential]:
    """A potential's fast form without the minute of compilation."""

    def make(potential: Potential, skin: float = 1.0) -> CompiledPotential:
        potential = potential.eval().requires_grad_(False)
        return CompiledPotential(potential, VerletList(potential.cutoff, skin), Interpreted(potential, compile=True))

    return make


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
