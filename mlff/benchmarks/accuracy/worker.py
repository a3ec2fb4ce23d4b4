"""The process of one run: trains, or goes on training, and writes what memory it took. ``python -m ...worker JSON``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

MEMORY_FILE = ".memory.json"
DIVERGED, INTERRUPTED, ELSEWHERE = 3, 130, 75
"""Exit codes: there is no result; it was stopped and can go on; another process is at it."""


def main(text: str) -> int:
    """Train by the configuration in JSON text until its end, and say by the exit code what became of it."""
    from filelock import FileLock, Timeout

    from mlff.benchmarks.worker import peak_memory
    from mlff.train.config import TrainConfig
    from mlff.train.divergence import TrainingDiverged
    from mlff.train.run_folder import RunFolder, resume_config
    from mlff.train.state import replace_file
    from mlff.train.trainer import train

    config = TrainConfig.build(json.loads(text))
    folder = RunFolder(str(config.out))
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.path / ".lock", timeout=0):
            begun = folder.config.is_file()
            result = train(resume_config(folder.path) if begun else config, resume=begun)
            memory = folder.path / MEMORY_FILE
            peak = max(peak_memory() / 1e6, read_memory(folder.path) or 0.0)
            replace_file(memory, json.dumps({"peak_megabytes": peak}).encode())
    except Timeout:
        return ELSEWHERE
    except TrainingDiverged as error:
        print(f"diverged: {error}", file=sys.stderr)
        return DIVERGED
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return INTERRUPTED if result.stop_reason == "interrupted" else 0


def read_memory(folder: Path) -> float | None:
    """Megabytes that the training in a folder took at most; None where that is not known."""
    path = folder / MEMORY_FILE
    return float(json.loads(path.read_text())["peak_megabytes"]) if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
