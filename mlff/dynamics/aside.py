"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """The path of a new file beside `path`, which takes its place when the block ends well and goes when it does not."""
    aside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        aside.unlink(missing_ok=True)
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
