"""The machine: what it is, how fast it multiplies matrices and copies, and how much memory programs can have."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mlff.fast.training import load_kernels

from .operations import Product

PACKAGES = ("mlff", "torch", "numpy", "ase", "schnetpack", "torchmd-net", "nequip", "mace-torch", "e3nn")
SETTINGS = ("OMP_", "MKL_", "KMP_", "GOMP_", "MALLOC_", "LD_PRELOAD", "TORCH", "PYTORCH")
LARGE = 768
"""Rows and columns of a product that is large enough for the best rate."""
COPIED_BYTES = 64 * 2**20
"""More than the caches hold."""


def describe_machine(threads: int, device: str = "cpu") -> dict[str, Any]:
    """Processor, versions, threads, and the environment variables that speed depends on."""
    return {
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(SETTINGS)},
    }


def versions() -> dict[str, str]:
    """Versions of the packages that are installed here and matter."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def product_rate(
    products: Mapping[Product, int] | None = None, *, dtype: torch.dtype = torch.float32, threads: int = 1, device: str = "cpu"
) -> float:
    """Measured rate of matrix products, FLOP/s: of these shapes, each as often as counted, or of one large product.

    Each shape by the faster of what torch calls and, on a processor with a C++ compiler, the kernel of compiled programs.
    """
    products = products or {(1, LARGE, LARGE, LARGE): 1}
    flop, seconds = 0, 0.0
    with _threads(threads):
        for (batch, rows, inner, columns), times in products.items():
            left = torch.randn(batch, rows, inner, dtype=dtype, device=device)
            right = torch.randn(batch, inner, columns, dtype=dtype, device=device)
            if batch == 1:
                left, right = left[0], right[0]
            out = left @ right
            best = _seconds(lambda: torch.matmul(left, right, out=out), threads, device)  # noqa: B023
            if batch == 1 and not device.startswith("cuda") and load_kernels():
                best = min(best, _seconds(lambda: torch.ops.mlff.product(left, right, None), threads, device))  # noqa: B023
            seconds += times * best
            flop += times * 2 * batch * rows * inner * columns
    return flop / seconds


def copy_rate(*, threads: int = 1, device: str = "cpu") -> float:
    """Measured rate of copying an array that no cache holds, bytes read and written a second."""
    with _threads(threads):
        source = torch.ones(COPIED_BYTES // 4, device=device)
        target = torch.empty_like(source)
        return 2 * COPIED_BYTES / _seconds(lambda: target.copy_(source), threads, device)


def _seconds(action: Callable[[], object], threads: int, device: str, repeats: int = 15) -> float:
    """Median seconds of one call, repeated within a sample until the sample is long enough for the clock."""
    on_gpu = device.startswith("cuda")
    clock = time.process_time if threads == 1 and not on_gpu else time.perf_counter

    def sample(calls: int) -> float:
        begin = clock()
        for _ in range(calls):
            action()
        if on_gpu:
            torch.cuda.synchronize()
        return (clock() - begin) / calls

    sample(2)
    calls = max(1, round(1e-3 / max(sample(2), 1e-7)))
    return median(sample(calls) for _ in range(repeats))


def free_memory() -> float:
    """Bytes that programs can still have; infinite where the system does not say."""
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return float("inf")


def limit_memory(size: float) -> None:
    """Let this process and those that it starts have so many bytes each: asking for more is an error of theirs, on Linux."""
    import resource  # Windows has none, and asks the machine other questions of this file

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = float("inf") if hard == resource.RLIM_INFINITY else float(hard)
    if size < most:
        resource.setrlimit(resource.RLIMIT_DATA, (int(size), hard))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
